"""The model card: Hugging Face reads its front matter, and it says what must be known before the model is used."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_study import fake_params
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load

from soundaug.generator.card import LICENCES, MUSIC_LICENCE, write_card

CLASSES = ("dog_bark", "siren", "drilling")
SUMMARY = {"parameters": 4712345, "train_clips": 72, "steps": 100, "final_loss": 0.1234567, "validation_loss": 0.25}


def card(folder: Path, summary: dict[str, float] = SUMMARY, **changes: Any) -> tuple[ModelCard, str]:
    """The card as Hugging Face's library loads it, and its text below the front matter."""
    write_card(folder / "README.md", 2, [1, 3], CLASSES, fake_params(**changes), summary)
    loaded = ModelCard.load(folder / "README.md")
    return loaded, loaded.text


@pytest.mark.parametrize(
    ("source", "licence", "sentence"),
    [
        ("urbansound8k", "cc-by-nc-3.0", "CC BY-NC 3.0: no commercial use"),
        ("synthetic", "mit", "MIT licence"),
        ("directory", "other", "whoever shares this model states its licence"),
    ],
)
def test_the_front_matter_is_read_with_the_datas_licence(
    source: str, licence: str, sentence: str, tmp_path: Path
) -> None:
    wanted = {"library_name": "diffusers", "license": licence, "tags": ["audio", "diffusion", "mel-spectrogram"]}
    loaded, text = card(tmp_path, data={"source": source})
    assert yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1]) == wanted
    assert metadata_load(tmp_path / "README.md") == wanted
    assert loaded.data.to_dict() == wanted
    assert [line for line in text.splitlines() if "Licence" in line] == [
        f"- Licence of the training data: {LICENCES[source][1]}"
    ]
    assert sentence in LICENCES[source][1]


def test_a_model_of_music_says_that_it_is_one(tmp_path: Path) -> None:
    write_card(tmp_path / "README.md", 2, [], ("jazz_trio", "solo_piano"), fake_params(), SUMMARY)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert metadata_load(tmp_path / "README.md")["license"] == "other"
    assert f"- Licence of the training data: {MUSIC_LICENCE[1]}\n" in text
    assert "- Data: the embedded music, and none of the study's clips." in text
    assert "source `" not in text


def test_licences_are_those_of_sources() -> None:
    sources = fake_params().data.model_fields["source"].annotation.__args__  # type: ignore[union-attr]
    assert set(LICENCES) <= set(sources)  # any other has that of directory


def test_it_says_what_was_held_out_and_what_the_classes_are(tmp_path: Path) -> None:
    text = " ".join(card(tmp_path)[1].split())
    assert "# Diffusion model of log-mel spectrograms, fold 2 held out" in text
    assert "folds 1, 3; **fold 2 is held out**" in text
    assert "Classes by index: 0 dog_bark, 1 siren, 2 drilling; index 3 is no class" in text
    assert "16 x 21 mel spectrograms of 0.5 s at 8000 Hz (hop 200, n_fft 256), -80 to 20 dB" in text


def test_a_model_without_classes_names_none(tmp_path: Path) -> None:
    text = card(tmp_path, generator={"condition": "none"})[1]
    assert "- Not told any class: what it makes is of none in particular.\n" in text
    assert not any(name in text for name in ("Classes by index", *CLASSES))


def test_the_figures_are_the_trainings(tmp_path: Path) -> None:
    text = card(tmp_path)[1]
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", text, flags=re.MULTILINE))
    assert rows.pop("figure") == "value"
    assert rows == {
        "parameters": "4712345",
        "train_clips": "72",
        "steps": "100",
        "final_loss": "0.123457",
        "validation_loss": "0.25",
    }


def test_the_settings_are_the_generators(tmp_path: Path) -> None:
    params = fake_params()
    text = card(tmp_path)[1]
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings == params.generator.model_dump()
    assert params.generator.model_validate(settings) == params.generator


def test_a_hubs_checkpoint_is_the_base_model_a_folder_is_not(tmp_path: Path) -> None:
    name = "teticio/audio-diffusion-ddim-256"
    loaded, _ = card(tmp_path, generator={"pretrained": name})
    assert loaded.data.base_model == name
    loaded, _ = card(tmp_path, generator={"pretrained": str(tmp_path)})
    assert "base_model" not in loaded.data.to_dict()


def test_names_of_any_script_come_through(tmp_path: Path) -> None:
    write_card(tmp_path / "README.md", 1, [2], ["Geräusch", "警笛"], fake_params(), {})
    assert "0 Geräusch, 1 警笛" in ModelCard.load(tmp_path / "README.md").text
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("condition", "network"), [("class", "UNet2DModel"), ("none", "UNet2DModel"), ("sound", "UNet2DConditionModel")]
)
def test_it_says_what_the_network_is_told(condition: str, network: str, tmp_path: Path) -> None:
    text = " ".join(card(tmp_path, generator={"condition": condition})[1].split())
    assert f"`diffusers.{network}.from_pretrained(folder" in text
    assert ("Classes by index: 0 dog_bark" in text) == (condition != "none")
    assert ("the embedding of a sound, by the classifier in encoder/" in text) == (condition == "sound")
