"""Embeddings that condition a generator: centred and scaled over the clips they were fitted on, saved and read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug.classification.classifier import build_classifier
from soundaug.classification.encoder import SoundEncoder, embed, load_encoder
from soundaug.running.errors import StudyError

PARAMS, CLIPS = tiny_params(), tiny_clips()


@pytest.fixture
def encoder() -> SoundEncoder:
    model = build_classifier(PARAMS.classifier, PARAMS.features, 3, torch.from_numpy(CLIPS.mel), seed=0).eval()
    return SoundEncoder.fit(model, CLIPS.mel)


def test_embeddings_have_mean_0_and_deviation_1_over_the_clips_they_are_fitted_on(encoder: SoundEncoder) -> None:
    found = encoder(CLIPS.mel)
    assert found.shape == (len(CLIPS), encoder.size) == (18, 8)
    alive = embed(encoder.model, CLIPS.mel).std(axis=0) > 1e-4
    assert alive.sum() >= 4
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(8), atol=1e-4, rtol=0)
    deviation = found.std(dim=0, correction=0).numpy()
    np.testing.assert_allclose(deviation[alive], 1, rtol=1e-3)


def test_an_element_that_never_moves_says_nothing(encoder: SoundEncoder) -> None:
    with torch.no_grad():
        encoder.model.blocks[-2].weight[0] = 0  # its batch norm gives one value for every clip
    found = SoundEncoder.fit(encoder.model, CLIPS.mel)(CLIPS.mel)
    assert torch.isfinite(found).all()
    assert found[:, 0].abs().max() < 1e-2


def test_it_comes_back_as_it_was(encoder: SoundEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder", PARAMS.features)
    assert torch.equal(again(CLIPS.mel), encoder(CLIPS.mel))
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"classifier": None}, "config.json: found no encoder ("),
        ({"mean": "0"}, "config.json: found no encoder ("),
        ({"n_classes": None}, "config.json: found no encoder ("),
        ({"mean": [0.0]}, "config.json: found 1 means and 8 deviations, wanted 8 of each"),
        ({"n_classes": 4}, "model.safetensors: found no such classifier ("),
    ],
)
def test_a_damaged_one_is_one_line(
    changes: dict[str, object], line: str, encoder: SoundEncoder, tmp_path: Path
) -> None:
    encoder.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StudyError) as raised:
        load_encoder(tmp_path, PARAMS.features)
    assert str(raised.value).startswith(f"{tmp_path}/{line}")
    assert "\n" not in str(raised.value)


def test_a_generator_that_is_told_no_sound_has_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"condition": "no sound"}')
    with pytest.raises(StudyError, match=r"config\.json: found no encoder \('classifier'\), wanted what train_helper"):
        load_encoder(tmp_path, PARAMS.features)
