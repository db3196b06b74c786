"""dvc.yaml says what every stage imports, reads and writes: no more and no less."""

import ast
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from imports import module_files

from soundaug.params import Augmentation, Control, Features, Params

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
EVERYTHING = "(everything)"
BESIDE_THE_MELS = {"features.ceiling_db", "features.floor_db", "features.normalization"}
OF_EVERY_ARM = {f"augmentation.{name}" for name in Augmentation.model_fields} - {"augmentation.on_top_of"}


def script(stage: str) -> Path:
    return ROOT / "stages" / f"{stage}.py"


def flat(entries: list[Any]) -> list[str]:
    """Paths of deps, outs, metrics or plots, whose settings follow them in a mapping."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outputs(stage: dict[str, Any]) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in flat(stage.get(kind, []))]


def fill(text: str, item: dict[str, Any]) -> str:
    """``text`` with DVC's ${...} filled in from ``item`` and params.yaml."""

    def value(found: re.Match[str]) -> str:
        node: Any = {"item": item} | PARAMS
        for name in re.findall(r"\w+", found[1]):
            node = node[int(name) if name.isdecimal() else name]
        return str(node)

    return re.sub(r"\$\{([^}]+)\}", value, text)


def items(stage: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a stage's matrix, {} where it has none."""
    matrix = stage.get("matrix", {})
    lists = [PARAMS[values[2:-1]] if isinstance(values, str) else values for values in matrix.values()]
    return [dict(zip(matrix, values, strict=True)) for values in itertools.product(*lists)]


def every(part: str) -> list[tuple[str, str]]:
    """(stage, path) of every dep or output of every stage of every matrix."""
    found = []
    for name, stage in STAGES.items():
        paths = flat(stage["deps"]) if part == "deps" else outputs(stage)
        found += [(name, fill(path, item)) for item in items(stage) for path in paths]
    return found


def inside(path: str, folder: str) -> bool:
    return Path(path) == Path(folder) or Path(folder) in Path(path).parents


def test_a_script_for_every_stage_and_a_stage_for_every_script() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)
    assert len(scripts) == 18


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_modules_that_are_imported(stage: str) -> None:
    imported = module_files(script(stage), ROOT)
    code = [dep for dep in flat(STAGES[stage]["deps"]) if dep.split("/")[0] in ("soundaug", "stages")]
    assert {module for module in imported if not any(inside(module, dep) for dep in code)} == set(), "not listed"
    assert {dep for dep in code if not any(inside(module, dep) for module in imported)} == set(), "not imported"
    assert [dep for dep in code if not (ROOT / dep).exists()] == []
    assert len(code) == len(set(code))


def test_the_walker_follows_an_import_in_a_function() -> None:
    assert {
        "soundaug/sources/directory.py",
        "soundaug/sources/download.py",
        "soundaug/sources/synthetic/sounds.py",
    } <= module_files(script("fetch"), ROOT)


# params


def reads(path: Path) -> set[str]:
    """Dotted parameters that a module reads off names that hold the whole Params: `params.data.root` is data.root."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    holders = {"params"} if path.parent.name == "stages" else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Name) and node.annotation.id == "Params":
            holders.add(node.arg)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_params":
            parent = parents[node]  # load_params().features
            found |= section(parent.attr) if isinstance(parent, ast.Attribute) else set()
        if not (isinstance(node, ast.Name) and node.id in holders and isinstance(node.ctx, ast.Load)):
            continue
        parent = parents[node]
        if not isinstance(parent, ast.Attribute):
            handed_on = isinstance(parent, ast.keyword) or (isinstance(parent, ast.Call) and node in parent.args)
            getting = isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id == "getattr"
            found |= set() if handed_on and not getting else {EVERYTHING}
            continue
        names = [parent.attr]
        while isinstance(parents[parent], ast.Attribute) and parents[parent].value is parent:  # type: ignore[attr-defined]
            parent = parents[parent]
            assert isinstance(parent, ast.Attribute)
            names.append(parent.attr)
        found |= section(".".join(names))
    return found


def section(name: str) -> set[str]:
    """What reading ``name`` off Params reads: a property reads what its own code reads, a method everything."""
    first = name.split(".")[0]
    if first in Params.model_fields:
        return {name}
    if first == "arms":
        return {"controls"}
    return {EVERYTHING}


def is_read(declared: str, read: set[str]) -> bool:
    """Whether a section that is declared, or a part of it, is read."""
    return any((name + ".").startswith(declared + ".") or (declared + ".").startswith(name + ".") for name in read)


def read_by(stage: str) -> set[str]:
    return set().union(*(reads(ROOT / module) for module in module_files(script(stage), ROOT)))


def by_parts(read: set[str]) -> set[str]:
    """``read`` with the front end by its parts, but for those that say what the classifier alone sees.

    A generator learns log mels: what they are stored as shows in data/features, and music is not stored.
    """
    parts = {f"features.{name}" for name in Features.model_fields} - {"features.scale", "features.normalization"}
    return read - {"features"} | parts


def beside_the_mels(read: set[str]) -> set[str]:
    """``read`` with what of the front end does not show in data/features, in its place."""
    return read - {"features"} | BESIDE_THE_MELS if "features" in read else read


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_are_read(stage: str) -> None:
    declared = STAGES[stage]["params"]
    names = {fill(name, item) for item in items(STAGES[stage]) for name in declared}
    if "control" in STAGES[stage].get("matrix", {}):  # of those, too, that params.yaml does not list
        names |= {f"control.{control}" for control in get_args(Control)}
    read = read_by(stage)
    if EVERYTHING in read:
        read = (read - {EVERYTHING}) | set(Params.model_fields)
    if stage == "train_control":
        read = read - {"augmentation"} | OF_EVERY_ARM
    if stage == "train_generator":
        read = by_parts(read)
    elif "features" not in names and "data/features" in STAGES[stage]["deps"]:
        read = beside_the_mels(read)
    uncovered = {name for name in read if not any((name + ".").startswith(f"{covers}.") for covers in names)}
    assert uncovered == set(), "read, not declared"
    silent = {
        "control.duplicate",
        "control.mixup",
        "control.slerp",
        "control.resynthesis",
    }  # without settings of their own
    assert {name for name in names - silent if not is_read(name, read)} == set(), "declared, not read"
    assert len(declared) == len(set(declared))


def test_the_walker_sees_what_is_known_to_be_read() -> None:
    assert read_by("featurize") == {
        "data.held_out",
        "data.recordings_share",
        "data.split",
        "data.n_folds",
        "data.root",
        "data.skip",
        "features",
        "folds",
        "generate.single_recording",
        "leakage.max_share",
        "leakage.similarity",
        "seed",
        "workers",
    }
    assert {"data.root", "control.waveform", "control.specaugment", "features"} <= read_by("train_control")
    assert read_by("train_base") == {"classifier", "features", "training"}
    assert read_by("assess_generator") == {
        "classifier",
        "features",
        "generate.method",
        "generator.condition",
        "training",
    }
    assert {"controls", "control.pseudo_label", "control.specaugment", "control.waveform"} <= read_by("assess_controls")
    assert {"data.source", "features", "generator", "seed"} <= read_by("train_generator")
    assert read_by("featurize_generated") == {"features", "workers"}
    assert "controls" in read_by("evaluate")


def test_the_properties_are_those_the_walker_knows() -> None:
    properties = {name for name, value in vars(Params).items() if isinstance(value, property)}
    assert {name for name in properties if not name.startswith("model_") and not name.startswith("_")} == {"arms"}


@pytest.mark.parametrize("stage", STAGES)
def test_declared_params_are_in_params_yaml(stage: str) -> None:
    for item in items(STAGES[stage]):
        for name in STAGES[stage]["params"]:
            node: Any = PARAMS
            for part in fill(name, item).split("."):
                assert part in node, name
                node = node[part]


def test_how_clips_are_trained_on_retrains_neither_base_nor_generators() -> None:
    """The grid's rows that differ in the classifier alone share everything that leads to the clips."""
    readers = {stage for stage in STAGES if any(name.startswith("augmentation") for name in STAGES[stage]["params"])}
    assert readers == {"train_aug", "train_control", "evaluate"}
    for stage in ("train_generator", "train_helper", "train_base"):
        assert not {"augmentation", "generate", "control", "training.steps"} & set(STAGES[stage]["params"]), stage
    assert "generate" not in STAGES["train_generator"]["params"]
    assert not {"augmentation", "classifier", "training"} & set(STAGES["generate"]["params"])


def test_a_control_that_generated_clips_are_added_to_is_not_trained_again() -> None:
    declared = {name for name in STAGES["train_control"]["params"] if name.startswith("augmentation")}
    assert declared == OF_EVERY_ARM
    modules = {module for module in module_files(script("train_control"), ROOT) if module != "soundaug/params.py"}
    assert "soundaug/classification/batches.py" in modules  # what they read of the section is read there
    assert not [module for module in modules if ".on_top_of" in (ROOT / module).read_text(encoding="utf-8")]


# outputs


def test_no_output_is_written_twice_or_inside_another() -> None:
    paths = [path for _, path in every("outs")]
    assert len(paths) == len(set(paths))
    clashes = [(one, other) for one in paths for other in paths if one != other and inside(one, other)]
    assert clashes == []


def test_every_arm_fold_and_seed_has_a_folder() -> None:
    runs = {path for _, path in every("outs") if path.startswith("data/runs/")}
    assert runs == {
        f"data/runs/{arm}/fold{fold}/seed{seed}"
        for arm in ("base", "aug", *PARAMS["controls"])
        for fold in PARAMS["folds"]
        for seed in PARAMS["seeds"]
    }


def test_every_dep_under_data_is_made_by_a_stage() -> None:
    written = [path for _, path in every("outs")]
    for stage, dep in every("deps"):
        if dep.startswith("data/") and dep != PARAMS["data"]["root"]:
            made = [path for path in written if inside(dep, path) or inside(path, dep)]
            assert made, f"{stage}: {dep}"


def test_what_the_generator_is_measured_by_goes_into_the_report() -> None:
    made = {path for stage, path in every("outs") if stage.startswith("assess_")}
    folders = [f"data/generated/fold{fold}" for fold in PARAMS["folds"]]
    assert made == {
        f"{folder}/{name}" for folder in folders for name in ("closest.csv", "quality.json", "controls.json")
    }
    read = [path for stage, path in every("deps") if stage == "evaluate"]
    assert all(any(inside(path, dep) for dep in read) for path in made)
    first = [f"data/runs/base/fold{fold}/seed{PARAMS['seeds'][0]}" for fold in PARAMS["folds"]]
    for assessed in ("assess_generator", "assess_controls"):
        assert [path for stage, path in every("deps") if stage == assessed and "/runs/" in path] == first


def test_evaluate_comes_last() -> None:
    """Time and memory of every other stage are in its report."""
    before, queue = set(), ["evaluate"]
    while queue:
        read = [path for stage, path in every("deps") if stage == queue[-1] and path.startswith(("data/", "reports/"))]
        queue.pop()
        made = {stage for stage, out in every("outs") for path in read if inside(out, path) or inside(path, out)}
        queue += made - before
        before |= made
    assert before == set(STAGES) - {"evaluate"}


def test_a_fold_reads_its_own_fold_only() -> None:
    for name, stage in STAGES.items():
        for item in items(stage):
            for path in map(lambda text, item=item: fill(text, item), flat(stage["deps"]) + outputs(stage)):
                folds = set(re.findall(r"fold(\d+)", path))
                assert folds <= {str(item.get("fold"))}, f"{name}: {path}"


# commands


def arguments(stage: str) -> set[str]:
    """The options that a script's argparse requires, read from its source."""
    found = set()
    for node in ast.walk(ast.parse(script(stage).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            assert isinstance(node.args[0], ast.Constant)
            required = {word.arg: word.value for word in node.keywords}.get("required")
            assert isinstance(required, ast.Constant)
            assert required.value is True
            found.add(node.args[0].value)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_gives_the_arguments_that_are_asked_for(stage: str) -> None:
    words = STAGES[stage]["cmd"].split()
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert set(given) == arguments(stage)
    matrix = STAGES[stage].get("matrix", {})
    fixed = {"--seed": "${seeds[0]}"} if stage.startswith("assess_") else {}  # the first base run's classifier listens
    assert given == {f"--{name}": f"${{item.{name}}}" for name in matrix} | fixed
    code = script(stage).read_text(encoding="utf-8")
    assert code.rstrip().endswith('if __name__ == "__main__":\n    run_stage(main)')


def help_of(stage: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


def test_help_tells_the_arguments() -> None:
    done = help_of("train_base", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: train_base.py [-h] --fold FOLD --seed SEED\n")
    assert "train_base: the classifier trained on real clips alone." in done.stdout
    assert "the fold held out" in done.stdout
