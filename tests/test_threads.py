"""Work side by side: in order, on every core, with one torch thread each."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from soundaug.running.threads import over_cores, side_by_side


@pytest.fixture
def two_threads() -> None:
    """Torch with two threads, as on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order(two_threads: None) -> None:
    def slow(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0.0)
        return number * number

    assert list(over_cores(slow, range(20), "test")) == [number * number for number in range(20)]
    assert list(over_cores(slow, [], "test")) == []


def test_as_many_work_at_once_as_torch_has_threads(two_threads: None) -> None:
    both = threading.Barrier(2, timeout=10)  # broken unless two wait at a time
    assert len(list(over_cores(lambda _: both.wait(), range(4), "test"))) == 4


def test_torch_has_one_thread_within_and_its_own_number_again(two_threads: None) -> None:
    assert list(over_cores(lambda _: torch.get_num_threads(), range(4), "test")) == [1] * 4
    assert torch.get_num_threads() == 2


def test_an_error_ends_it_and_nothing_more_is_begun(two_threads: None) -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        list(over_cores(fail, range(200), "test"))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_who_takes_no_more_ends_it_too(two_threads: None) -> None:
    begun: list[int] = []

    def note(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    for number in over_cores(note, range(200), "test"):
        if number == 2:
            break
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_only_some_are_held_however_many_there_are(two_threads: None) -> None:
    begun: list[int] = []

    def note(number: int) -> int:
        begun.append(number)
        return number

    taken = 0
    for number in over_cores(note, range(2000), "test"):
        assert number == taken
        taken += 1
        time.sleep(0.001 if taken < 50 else 0)
        assert len(begun) <= taken + 32
    assert taken == len(begun) == 2000


@pytest.mark.parametrize(("items", "threads"), [(1, 2), (2, 1), (5, 1)])
def test_fewer_items_than_cores_have_all_of_them(two_threads: None, items: int, threads: int) -> None:
    assert list(side_by_side(lambda _: torch.get_num_threads(), range(items), "test")) == [threads] * items


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("1000", None)),
        ({"GOMP_SPINCOUNT": "7"}, ("7", None)),
        ({"OMP_WAIT_POLICY": "passive"}, (None, "passive")),
    ],
)
def test_threads_spin_for_a_moment_unless_the_user_says_how_they_wait(
    given: dict[str, str], wanted: tuple[str | None, str | None]
) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = "import soundaug, os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=kept | given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(value) for value in wanted]


@pytest.mark.parametrize(("given", "wanted"), [({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")])
def test_torch_asks_for_huge_pages_unless_the_user_says_not_to(given: dict[str, str], wanted: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", "import soundaug, os; print(os.environ['THP_MEM_ALLOC_ENABLE'])"]
    done = subprocess.run(command, env=kept | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted
