"""Files of a model on the Hugging Face hub, or the one line that says why they are not to be had."""

import re
from collections.abc import Sequence
from pathlib import Path

import httpx2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from soundaug.running.errors import StudyError


def local_or_fetched(name: str, files: Sequence[str], param: str) -> Path:
    """The folder ``name`` where it is one, else `fetch`."""
    return Path(name) if name and Path(name).is_dir() else fetch(name, files, param)


def fetch(name: str, files: Sequence[str], param: str) -> Path:
    """The folder in the hub's cache with those of ``files`` (patterns) that ``name`` (owner/model) has.

    Raises StudyError that names ``param`` when the name is none, is not there, or nothing answers and nothing is kept.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise StudyError(f"{param}: found {name!r}, wanted a folder that is there or a hub name such as owner/model")
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except LocalEntryNotFoundError:
        raise StudyError(
            f"{param}: found no folder {name}, no network and no copy of the hub's {name} in the cache, "
            f"wanted one of them: run `hf download {name} --local-dir FOLDER` where there is a network and give FOLDER"
        ) from None
    except (RepositoryNotFoundError, HFValidationError) as error:
        reason = type(error).__name__
        raise StudyError(f"{param}: found {name} neither as a folder nor on the hub ({reason}), wanted one") from None
    except httpx2.HTTPError as error:
        raise StudyError(
            f"{param}: found an error where {name} was wanted from the hub: {' '.join(str(error).split())}"
        ) from None
