"""Best of n, by hand; and the selector's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_params

from soundaug.classification.classifier import build_classifier, save_classifier
from soundaug.generation.selection import best_candidates, load_selector
from soundaug.interpolation import Pair
from soundaug.running.errors import StudyError

CLASSES = ["dog_bark", "siren"]


def pair(index: int, class_id: int) -> Pair:
    return Pair(f"{index}.flac", class_id, CLASSES[class_id], "a.wav", "b.wav", "1", "2", 1, 2, 0.5, index)


def test_the_most_believed_candidates_of_each_class_are_kept_in_order() -> None:
    pairs = [pair(index, class_id) for index, class_id in enumerate([0, 0, 0, 1, 1, 1])]
    own = np.array([0.9, 0.2, 0.6, 0.4, 0.7, 0.4])
    probabilities = np.where(np.arange(2) == np.array([[p.class_id] for p in pairs]), own[:, None], 1 - own[:, None])
    kept, figures = best_candidates(pairs, probabilities, 2, CLASSES)
    assert kept.tolist() == [0, 2, 3, 4]  # of two alike the first
    assert figures["dog_bark"] == {
        "accepted": 0.6667,
        "kept": 0.6667,
        "kept_probability": 0.75,
        "lowest_probability": 0.6,
    }
    assert figures["siren"]["accepted"] == 0.3333
    assert figures["siren"]["lowest_probability"] == 0.4


def test_a_class_without_candidates_is_left_out() -> None:
    kept, figures = best_candidates([pair(0, 1)], np.array([[0.1, 0.9]]), 5, CLASSES)
    assert kept.tolist() == [0]
    assert list(figures) == ["siren"]
    assert figures["siren"]["kept"] == 1.0


def test_the_selector_brings_its_own_settings(tmp_path: Path) -> None:
    params, clips = tiny_params(), tiny_clips()
    model = build_classifier(params.classifier, params.features, 3, torch.from_numpy(clips.mel), seed=0).eval()
    save_classifier(tmp_path / "model.safetensors", model)
    (tmp_path / "summary.json").write_text(json.dumps({"classifier": params.classifier.model_dump()}))
    mel = torch.from_numpy(clips.mel)
    assert torch.equal(load_selector(tmp_path, params.features, 3)(mel), model(mel))
    (tmp_path / "summary.json").write_text('{"candidates": 1}')
    with pytest.raises(StudyError, match=r"summary\.json: found no selector's settings \('classifier'\), wanted what"):
        load_selector(tmp_path, params.features, 3)
