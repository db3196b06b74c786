"""Batch files: what is read, and one line for each mistake."""

from pathlib import Path

import pytest

from soundaug.running.errors import StudyError
from soundaug.stylizer.requests import Request, read_requests


def test_a_table_and_a_list_say_the_same(tmp_path: Path) -> None:
    table, listed = tmp_path / "batch.csv", tmp_path / "batch.yaml"
    table.write_text("name,prompt,seed,audio,strength\none,lo fi beats,3,,\ntwo,church organ,,in.wav,0.25\n")
    listed.write_text(
        "- {name: one, prompt: lo fi beats, seed: 3}\n"
        "- {name: two, prompt: church organ, audio: in.wav, strength: 0.25}\n"
    )
    with pytest.raises(StudyError, match=r"batch\.csv: request 2: audio: found no file .*in\.wav, wanted one"):
        read_requests(table)
    (tmp_path / "in.wav").touch()
    requests = read_requests(table)
    assert requests == read_requests(listed)
    assert requests[0] == Request(name="one", prompt="lo fi beats", seed=3)
    assert (requests[1].audio, requests[1].strength, requests[1].seed) == (tmp_path / "in.wav", 0.25, 0)
    assert requests[0].wish.prompt == "lo fi beats"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {name: one, prompt: ' '}", r"request 1: prompt: found ' ', wanted"),
        ("- {name: one}", r"request 1: prompt: missing, wanted a value"),
        ("- {name: one, prompt: a, tempo: 3}", r"request 1: tempo: unknown field, wanted one of name, prompt"),
        ("- {name: one, prompt: a, seed: -1}", r"request 1: seed: found -1, wanted greater than or equal to 0"),
        ("- {name: one, prompt: a, strength: 0}", r"request 1: strength: found 0, wanted greater than 0"),
        ("- {name: ../one, prompt: a}", r"request 1: name: found '../one', wanted"),
        ("- {name: one, prompt: a}\n- {name: one, prompt: b}", r"request 2: name: found 'one' again"),
        ("- {name: one, prompt: a, mask: m.png}", r"request 1: mask: found one without audio or image"),
        ("- {name: one, prompt: a, audio: b, image: c}", r"request 1: found both audio and image"),
        ("- {name: one, prompt: a, audio: b, seconds: 3}", r"request 1: seconds: found 3.0 with b"),
        ("- one", r"request 1: found str, wanted fields"),
        ("[]", r"found no requests"),
        ("- {", r"not valid YAML"),
    ],
)
def test_mistakes_are_told_in_a_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "batch.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=message) as caught:
        read_requests(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"gone\.csv: not there"):
        read_requests(tmp_path / "gone.csv")
    (tmp_path / "batch.txt").write_text("x")
    with pytest.raises(StudyError, match=r"found the ending '\.txt', wanted \.csv, \.yaml"):
        read_requests(tmp_path / "batch.txt")
    (tmp_path / "batch.csv").write_text("name,prompt\none,a,b\n")
    with pytest.raises(StudyError, match="request 1: found more cells than columns"):
        read_requests(tmp_path / "batch.csv")
