"""A batch of sounds to make, in a file: a CSV table or a YAML list, checked before anything is made."""

import csv
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundaug.params import Seed, Unit
from soundaug.running.errors import StudyError
from soundaug.stylizer.pipeline import Wish


class Request(BaseModel):
    """One sound: from text, or from a sound or a spectrogram image; paths are relative to the batch file's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[\w][\w .-]*$")]  # of what is written, without an ending
    prompt: Annotated[str, Field(pattern=r"\S")]
    seed: Seed = 0
    negative_prompt: str = ""
    end_prompt: Annotated[str, Field(pattern=r"\S")] | None = None
    end_seed: Seed | None = None
    alpha: Unit = 0.0
    seconds: Annotated[float, Field(gt=0.0, le=600.0)] | None = None  # of a sound from text
    audio: Path | None = None
    image: Path | None = None
    mask: Path | None = None
    strength: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5

    @property
    def wish(self) -> Wish:
        """What the model is asked for."""
        return Wish(self.prompt, self.seed, self.negative_prompt, self.end_prompt, self.end_seed, self.alpha)


def read_requests(path: Path) -> list[Request]:
    """The requests in a CSV (a column a field, empty cells left out) or YAML file.

    StudyError that names the file, the row and the field for the first thing that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise StudyError(f"{path}: not there, wanted a batch file, .csv or .yaml") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise StudyError(f"{path}: not readable as text, wanted a batch file, .csv or .yaml") from None
    rows = _rows(path, text)
    if not isinstance(rows, list) or not rows:
        raise StudyError(f"{path}: found no requests, wanted a list of them")
    requests = [_request(path, number, row) for number, row in enumerate(rows, 1)]
    names = [request.name for request in requests]
    for number, name in enumerate(names, 1):
        if names.index(name) + 1 < number:
            raise StudyError(f"{path}: request {number}: name: found {name!r} again, wanted every name once")
    return requests


def _rows(path: Path, text: str) -> Any:
    ending = path.suffix.lower()
    if ending == ".csv":
        reader = csv.DictReader(text.splitlines())
        return [{key: value for key, value in row.items() if value not in ("", None)} for row in reader]
    if ending in (".yaml", ".yml", ".json"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    raise StudyError(f"{path}: found the ending {ending!r}, wanted .csv, .yaml or .json")


def _request(path: Path, number: int, row: Any) -> Request:
    where = f"{path}: request {number}"
    if not isinstance(row, dict):
        raise StudyError(f"{where}: found {type(row).__name__}, wanted fields such as name and prompt")
    if None in row:
        raise StudyError(f"{where}: found more cells than columns, wanted a cell a column")
    try:
        request = Request.model_validate({str(key): value for key, value in row.items()})
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "missing":
            raise StudyError(f"{where}: {field}: missing, wanted a value") from None
        if detail["type"] == "extra_forbidden":
            raise StudyError(
                f"{where}: {field}: unknown field, wanted one of {', '.join(Request.model_fields)}"
            ) from None
        wanted = detail["msg"].removeprefix("Input should be ").removeprefix("String should ")
        raise StudyError(f"{where}: {field}: found {detail['input']!r}, wanted {wanted}") from None
    if request.audio is not None and request.image is not None:
        raise StudyError(f"{where}: found both audio and image, wanted one of them or none")
    source = request.audio or request.image
    if source is None and request.mask is not None:
        raise StudyError(f"{where}: mask: found one without audio or image, wanted what it keeps a part of")
    if source is not None and request.seconds is not None:
        raise StudyError(f"{where}: seconds: found {request.seconds} with {source}, wanted none: it is as long as that")
    places = {name: path.parent / file for name in ("audio", "image", "mask") if (file := getattr(request, name))}
    for name, file in places.items():
        if not file.is_file():
            raise StudyError(f"{where}: {name}: found no file {file}, wanted one")
    return request.model_copy(update=places)
