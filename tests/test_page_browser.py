"""The page in Chromium: it loads alone, plays, filters, can be used by keyboard, and lets no name become a program."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_page import ALPHAS, ODD, fake_sounds, page, whole_study
from fake_study import fake_params
from fake_stylized import PROMPTS, STRENGTHS

pytest.importorskip("playwright", reason="playwright is not installed")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

PARAMS = fake_params()
QUICK = Path(__file__).parents[1] / "reports/index.html"
WIDTHS = (375, 1440)
PLAYERS = 46
SCHEMES = ("light", "dark")
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome")
        own = playwright.chromium.executable_path
        path = next(filter(None, map(shutil.which, names)), own if Path(own).exists() else None)
        if path is None:
            pytest.skip("no Chromium: apt-get install chromium, or playwright install --with-deps chromium")
        with playwright.chromium.launch(executable_path=path) as browser:
            yield browser


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    whole_study(folder / "data", PARAMS)
    (folder / "index.html").write_text(page(folder / "data", PARAMS, fake_sounds(PARAMS, len(ODD))), encoding="utf-8")
    return folder / "index.html"


def opened(browser: Browser, path: Path, width: int = 1440, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page with its charts drawn, and what went wrong or was fetched so far: a list that grows."""
    view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    view.set_default_timeout(60_000)
    wrong: list[str] = []
    view.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    view.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    view.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("data:") else None)
    view.goto(path.as_uri())
    view.wait_for_function("document.documentElement.dataset.drawn")
    wrong.remove(path.as_uri())
    return view, wrong


@pytest.fixture
def view(browser: Browser, fake: Path) -> Iterator[Page]:
    found, wrong = opened(browser, fake)
    yield found
    assert wrong == []
    found.close()


def real(path: Path) -> Path:
    if not path.is_file():
        pytest.skip("dvc repro has not made reports/index.html")
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_loads_alone_fits_and_axe_finds_nothing_serious(
    browser: Browser, fake: Path, width: int, scheme: str
) -> None:
    found, wrong = opened(browser, fake, width, scheme)
    assert found.evaluate("document.documentElement.scrollWidth") <= width
    assert found.locator("[data-chart] svg").count() == 11
    assert found.evaluate("document.documentElement.dataset.theme") == scheme
    result = Axe().run(found)
    serious = [one for one in result.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious] == []
    assert len(result.response["passes"]) > 20
    assert wrong == []
    found.close()


def test_on_a_laptop_no_column_of_the_arms_is_out_of_sight(browser: Browser, fake: Path) -> None:
    found, _ = opened(browser, fake, 1200)
    hidden = "[...document.querySelectorAll('#arms .scroll')].map(it => it.scrollWidth - it.clientWidth)"
    assert found.evaluate(hidden) == [0, 0, 0, 0]
    found.close()


def test_no_name_becomes_a_program(view: Page) -> None:
    assert view.locator("#listen h3").all_inner_texts() == list(ODD)
    assert view.locator("#listen option").all_inner_texts() == ["all classes", *ODD]
    view.locator("#classes .plot path[aria-roledescription=bar]").first.hover(force=True)
    tip = view.locator("#vg-tooltip-element")
    tip.wait_for()
    assert any(name in tip.inner_text() for name in ODD)
    assert tip.locator("img, script, b").count() == 0
    assert view.evaluate("window.hacked === undefined")
    assert view.locator("img[src=x]").count() == 0


PLAY_ALL = """async () => {
  const told = [];
  for (const audio of document.querySelectorAll("audio")) {
    audio.muted = true;
    try {
      await audio.play();
      while (!audio.ended && audio.currentTime === 0) await new Promise((done) => setTimeout(done, 5));
      told.push(audio.duration);
    } catch (error) {
      told.push(String(error));
    }
    audio.pause();
  }
  return told;
}"""


def test_every_player_decodes_and_plays(view: Page) -> None:
    view.locator(".play").first.click()  # sound is allowed to those who were clicked
    told = view.evaluate(PLAY_ALL)
    assert len(told) == PLAYERS
    assert all(isinstance(seconds, float | int) for seconds in told), told
    assert told == [pytest.approx(PARAMS.features.clip_seconds, abs=0.25)] * PLAYERS


def test_one_sound_at_a_time_and_a_second_press_pauses(view: Page) -> None:
    view.evaluate("document.querySelectorAll('audio').forEach((audio) => (audio.loop = true))")
    first, second = view.locator(".play").nth(0), view.locator(".play").nth(1)
    playing = "[...document.querySelectorAll('audio')].flatMap((audio, index) => audio.paused ? [] : [index])"
    assert (first.get_attribute("aria-label") or "").startswith("Play ")
    first.click()
    view.wait_for_function(f"{playing}.join() === '0'")
    expect(first).to_have_attribute("aria-label", re.compile("^Pause "))
    expect(view.locator(".playing")).to_have_count(1)
    second.click()
    view.wait_for_function(f"{playing}.join() === '1'")
    second.press("Enter")
    view.wait_for_function(f"{playing}.length === 0")


def test_the_slider_steps_through_the_alphas(view: Page) -> None:
    box = view.locator(".alphas").first
    slider = box.locator("input")
    slider.focus()
    for key, alpha in (("Home", 0.0), *(("ArrowRight", alpha) for alpha in ALPHAS[1:])):
        slider.press(key)
        assert slider.get_attribute("aria-valuetext") == f"alpha {alpha:g}"
        assert box.locator("output").inner_text() == f"alpha {alpha:g}"
        assert box.locator(".step:visible").get_attribute("data-alpha") == f"{alpha:g}"
    assert view.locator(".alphas").nth(1).locator("output").inner_text() == "alpha 0.5"
    assert view.locator("#music .alphas output").all_inner_texts() == ["strength 0.5"] * len(PROMPTS)


def test_a_class_is_chosen(view: Page) -> None:
    for section in ("listen", "inversion"):
        select, cards = view.locator(f"#{section} select"), view.locator(f"#{section} .card:visible h3")
        assert cards.count() == len(ODD)
        select.select_option(label=ODD[1])
        assert cards.all_inner_texts() == [ODD[1]]
        select.select_option("all")
        assert cards.count() == len(ODD)


def test_arms_and_folds_are_chosen(view: Page) -> None:
    def expect_dots(arms: int, differences: int) -> None:
        for section, wanted in (("arms", arms), ("differences", differences)):
            expect(view.locator(f"#{section} .plot path[aria-roledescription=circle]")).to_have_count(wanted)

    expect_dots(4 * 3, 3 * 3 * 2)
    view.get_by_role("checkbox", name="mixup").uncheck()
    expect_dots(3 * 3, 2 * 3 * 2)
    expect(view.locator("#arms .plot")).not_to_contain_text("mixup")
    view.locator("#fold-filter").select_option("2")
    expect_dots(3, 2 * 2)
    view.get_by_role("checkbox", name="mixup").check()
    view.locator("#fold-filter").select_option("all")
    expect_dots(4 * 3, 3 * 3 * 2)


def test_the_theme_is_switched_with_the_charts(view: Page) -> None:
    colour = "getComputedStyle(document.querySelector('#arms .plot svg text')).fill"
    before = view.evaluate(colour), view.evaluate("getComputedStyle(document.body).backgroundColor")
    view.locator("#theme").press("Enter")
    view.wait_for_function("document.documentElement.dataset.drawn === 'dark'")
    after = view.evaluate(colour), view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before[0] != after[0]
    assert before[1] == "rgb(255, 255, 255)" != after[1]
    assert view.locator("#theme").get_attribute("aria-pressed") == "true"


def test_every_control_is_reached_by_the_keyboard(view: Page) -> None:
    wanted = view.evaluate(
        "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter((one) => one.checkVisibility()).length"
    )
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(wanted + 5):
        reached.add(view.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        view.keyboard.press("Tab")
    assert len(reached) >= wanted


def test_without_programs_the_tables_and_players_are_there(browser: Browser, fake: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    found = context.new_page()
    found.goto(fake.as_uri())
    assert found.locator("audio[controls]").count() == PLAYERS
    assert found.locator(".step:visible").count() == len(ODD) * len(ALPHAS) + len(PROMPTS) * len(STRENGTHS)
    assert "Charts need JavaScript" in found.locator("noscript").inner_text()
    context.close()


def test_the_page_of_the_last_run(browser: Browser) -> None:
    found, wrong = opened(browser, real(QUICK))
    assert re.match(r"[−+]?\d+\.\d+", found.locator(".number").inner_text())
    told = found.evaluate(PLAY_ALL)
    assert [one for one in told if not isinstance(one, float | int)] == []
    assert wrong == []
    found.close()
