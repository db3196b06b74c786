"""What the code may not do with what comes from outside: run it, hand it to a shell, or write where it says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from test_download import Server, server  # noqa: F401 - a fixture
from tiny_pipeline import run, tiny_params, workspace

from soundaug.folds.packed import ClipSet
from soundaug.running.errors import StudyError
from soundaug.sources.download import fetch_archive

ROOT = Path(__file__).parents[1]
CODE = [path for folder in ("soundaug", "stages", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(file and line, dotted name, keyword arguments) of every call in the code."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                words = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), words


def test_no_pickle_is_loaded() -> None:
    loads = [(where, name, words) for where, name, words in calls() if name in ("torch.load", "np.load")]
    assert len(loads) >= 5
    wrong = [where for where, name, words in loads if name == "torch.load" and words.get("weights_only") != "True"]
    wrong += [where for where, name, words in loads if name == "np.load" and words.get("allow_pickle") != "False"]
    assert wrong == []
    unpicklers = ("pickle.load", "pickle.loads", "joblib.load", "pd.read_pickle", "torch.jit.load", "torch.hub.load")
    assert [where for where, name, _ in calls() if name in unpicklers or "Unpickler" in name] == []


def test_networks_of_others_are_read_as_tensors() -> None:
    readers = [(where, words) for where, name, words in calls() if name.endswith(".from_pretrained")]
    for where, words in readers:
        assert "trust_remote_code" not in words, where
        if where.startswith("soundaug/diffusion/pretrained.py"):
            assert words["local_files_only"] == "True"
            assert "use_safetensors" in words


def test_yaml_is_safe() -> None:
    assert {name for _, name, _ in calls() if name.startswith("yaml.")} <= {"yaml.safe_load", "yaml.safe_dump"}


def test_nothing_is_evaluated_and_no_shell_is_asked() -> None:
    forbidden = {"eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput", "__import__"}
    assert [(where, name) for where, name, _ in calls() if name in forbidden or name.startswith("os.exec")] == []
    assert [where for where, _, words in calls() if words.get("shell", "False") != "False"] == []


def test_commands_of_the_pipeline_hold_numbers_and_known_names_alone() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    filled = {name for stage in stages.values() for name in re.findall(r"\$\{([^}]+)\}", stage["cmd"])}
    # folds and seeds are whole numbers, controls a fixed list: the schema of params.yaml sees to it.
    assert filled <= {"item.fold", "item.seed", "item.control", "seeds[0]"}


HOSTILE = ("$(touch pwned)", "`touch pwned`", "a; touch pwned", "a | touch pwned", "-rf", "a\\b", "a'b\"c")


def test_names_that_a_shell_would_run_are_names(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for index, name in enumerate(HOSTILE):
        for recording in ("1", "2", "3", "4"):
            path = folder / name / f"{recording}{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full(8000, 0.1 + 0.1 * index) * np.sin(np.arange(8000)), 8000)
    changes = {"data.source": "directory", "data.root": str(folder), "controls": ["waveform"]}
    changes["leakage.max_share"] = None  # the tones are the same but for their level
    with workspace(tmp_path / "study", tiny_params(changes)):
        run("fetch")
        run("featurize")
        clips = ClipSet.load(Path("data/features/fold1.npz"))
        assert sum("touch pwned" in name for name in clips.name.tolist()) == 8
    assert [path for path in tmp_path.rglob("*") if path.name == "pwned"] == []


@pytest.mark.parametrize("target", ["file:///etc/hostname", "FILE:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_a_download_is_not_led_to_a_file(server: Server, target: str, tmp_path: Path) -> None:  # noqa: F811
    server.status, server.headers = 302, {"Location": target}
    with pytest.raises(StudyError, match=r"found a redirect to .*, wanted http or https"):
        fetch_archive(server.url, "0" * 32, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "١"])
def test_a_length_that_is_none_is_not_believed(server: Server, length: str, tmp_path: Path) -> None:  # noqa: F811
    server.told_length, server.headers = False, {"Content-Length": length}
    with pytest.raises(StudyError):
        fetch_archive(server.url, "0" * 32, tmp_path, wait_seconds=0.0)
