"""Settings that the scripts of experiments give DVC, checked before anything runs: presets/subset.yaml with each."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from soundaug.params import Params, load_params, parse_params
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading

PRESET = Path("presets/subset.yaml")


def asked_params(what: str, settings: Iterable[str]) -> Params:
    """The preset with the ``settings``, such as "generate.alpha=[0.2,0.8]"; what comes later wins.

    StudyError, which names ``what`` they are of, for one that the schema does not take, and for data.root, which the
    scripts are given as their folder.
    """
    values = load_params(PRESET).model_dump(mode="json")
    for setting in settings:
        _set(values, setting, what)
    try:
        return parse_params(values)
    except StudyError as error:
        raise StudyError(f"{what}: {error}") from None


def named_params(script: str, kind: str, line: str) -> tuple[str, Params]:
    """Name and params of a ``line``, a name and its settings, of a ``script`` whose experiments are of a ``kind``."""
    name, *settings = line.split()
    return name, asked_params(f"{script}: {kind} {name}", settings)


def wanted_names(script: str, kind: str, names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those of ``names`` that are ``wanted``, all where none is; StudyError for one that is not among them."""
    for one in wanted:
        if one not in names:
            raise StudyError(f"{script}: found the {kind} {one}, wanted one of: {' '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def require_finished(folder: Path, files: Sequence[str], kind: str) -> None:
    """StudyError where one of ``files`` is not in the ``folder`` that an experiment of a ``kind`` is kept in."""
    for file in files:
        if not (folder / file).is_file():
            raise StudyError(f"{folder}: found no {file}, wanted a finished {kind}, or nothing")


def kept_settings(folder: Path) -> list[str]:
    """The settings that what is kept in ``folder`` was made with, one by one."""
    path = folder / "settings.txt"
    with reading(path, "no text", "a setting a line"):
        return path.read_text(encoding="utf-8").split()


def require_same_settings(folder: Path, settings: Sequence[str], kind: str) -> None:
    """StudyError where what is kept in ``folder`` was made with other ``settings``."""
    if kept_settings(folder) != list(settings):
        raise StudyError(f"{folder}: found other settings than {kind} {folder.name} has now, wanted it moved away")


def _set(values: dict[str, Any], setting: str, what: str) -> None:
    key, _, text = setting.partition("=")
    if key == "data.root":
        raise StudyError(f"{what}: {key}: found it among the settings, wanted it as FOLDER")
    *sections, last = key.split(".")
    section: Any = values
    for part in sections:
        section = section.get(part) if isinstance(section, dict) else None
    if not isinstance(section, dict) or last not in section:
        raise StudyError(f"{what}: {key}: unknown parameter, wanted one of {PRESET}'s")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise StudyError(f"{what}: {key}: found {text!r}, wanted a YAML value without spaces") from None
