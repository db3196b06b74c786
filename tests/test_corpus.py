"""The table of clips: read, checked, written, and spread over folds."""

from dataclasses import replace
from pathlib import Path

import pytest

from soundaug.running.errors import StudyError
from soundaug.sources.corpus import (
    URBANSOUND8K_CLASSES,
    Clip,
    audio_path,
    class_names,
    folds_of,
    is_inside,
    is_plain,
    keep_present,
    make_folds,
    random_split,
    read_clips,
    read_excluded,
    require_disjoint_recordings,
    write_clips,
    write_excluded,
)

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
GOOD = ["100032-3-0-0.wav,100032,0.0,0.317551,1,5,0,dog_bark", "100263-2-0-117.wav,100263,58.5,62.5,,3,1,siren"]


def clips_of(recordings: int, slices: int, classes: int = 2) -> list[Clip]:
    """``recordings`` of each class with ``slices`` clips each, all in fold 1."""
    return [
        Clip(f"{c}-{r}-{s}.wav", f"{c}-{r}", 1, c, f"class {c}", path=f"class {c}/{r}-{s}.wav", in_root=True)
        for c in range(classes)
        for r in range(recordings)
        for s in range(slices)
    ]


def write_table(folder: Path, *lines: str) -> Path:
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def test_reads_urbansound8ks_columns(tmp_path: Path) -> None:
    assert read_clips(write_table(tmp_path, HEADER, *GOOD)) == [
        Clip(
            "100032-3-0-0.wav",
            "100032",
            5,
            0,
            "dog_bark",
            path="audio/fold5/100032-3-0-0.wav",
            start=0.0,
            end=0.317551,
            salience=1,
        ),
        Clip(
            "100263-2-0-117.wav",
            "100263",
            3,
            1,
            "siren",
            path="audio/fold3/100263-2-0-117.wav",
            start=58.5,
            end=62.5,
        ),
    ]


def test_reads_what_a_spreadsheet_saves(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    lines = ["fsID,fold,classID,class,slice_file_name,note", '7,1,0,"a, ""b""",x.wav,', "", "8,2,1,щенок,y z.wav,n"]
    table.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert [(clip.name, clip.fs_id, clip.fold, clip.class_name) for clip in read_clips(table)] == [
        ("x.wav", "7", 1, 'a, "b"'),
        ("y z.wav", "8", 2, "щенок"),
    ]


def test_round_trip_with_and_without_path(tmp_path: Path) -> None:
    own = [
        Clip('a "b", c.wav', "r/1", 1, 0, "犬", path='犬/a "b", c.wav', in_root=True, start=0.1, end=1 / 3, salience=2),
        Clip("d.wav", "r/2", 2, 1, "cat", path="cat/d.wav", in_root=True),
    ]
    laid_out = [replace(clip, path=f"audio/fold{clip.fold}/{clip.name}", in_root=False) for clip in own]
    for clips in (own, laid_out):
        write_clips(tmp_path / "metadata" / "t.csv", clips)
        assert read_clips(tmp_path / "metadata" / "t.csv") == clips
    assert read_clips(tmp_path / "metadata" / "t.csv", paths=False) == laid_out
    assert (tmp_path / "metadata" / "t.csv").read_text(encoding="utf-8").splitlines()[0] == HEADER


def test_a_path_column_is_read_only_when_wanted(tmp_path: Path) -> None:
    table = write_table(tmp_path, HEADER + ",path", GOOD[0] + ",/home/me/x.wav", GOOD[1] + ",")
    assert read_clips(table, paths=False)[0].path == "audio/fold5/100032-3-0-0.wav"
    with pytest.raises(StudyError, match=r"row 2: column path: found '/home/me/x.wav', wanted a path that stays in"):
        read_clips(table)


def test_audio_path() -> None:
    clip = Clip("x.wav", "1", 4, 0, "a", path="audio/fold4/x.wav")
    assert audio_path(clip, Path("raw"), Path("root")) == Path("raw/audio/fold4/x.wav")
    assert audio_path(replace(clip, path="a/x.wav", in_root=True), Path("raw"), Path("root")) == Path("root/a/x.wav")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["slice_file_name,fsID,fold,class"],
            "row 1: column classID: not there, found slice_file_name, fsID, fold, class",
        ),
        ([HEADER + ",fold", GOOD[0] + ",1"], "row 1: column fold: found 2 times, wanted once"),
        ([HEADER], "found no clips, wanted one row a clip"),
        ([HEADER, *GOOD, "x.wav,1,,,,1,0"], "row 4: found 7 columns, wanted 8 as in row 1"),
        (
            [HEADER, *GOOD, GOOD[0]],
            "row 4: column slice_file_name: found '100032-3-0-0.wav', wanted every name once (also in row 2)",
        ),
        ([HEADER, "x.wav,1,,,,one,0,a"], "row 2: column fold: found 'one', wanted an integer of at least 1"),
        ([HEADER, "x.wav,1,,,,0,0,a"], "row 2: column fold: found '0', wanted an integer of at least 1"),
        ([HEADER, "x.wav,1,,,,1.0,0,a"], "row 2: column fold: found '1.0', wanted an integer of at least 1"),
        ([HEADER, "x.wav,1,,,,1,-1,a"], "row 2: column classID: found '-1', wanted an integer of at least 0"),
        ([HEADER, "x.wav,1,,,,1,,a"], "row 2: column classID: found '', wanted an integer of at least 0"),
        ([HEADER, "x.wav,1,,,,1,0, "], "row 2: column class: found ' ', wanted a name"),
        ([HEADER, "x.wav,,,,,1,0,a"], "row 2: column fsID: found '', wanted a name"),
        ([HEADER, "x.wav,1,soon,,,1,0,a"], "row 2: column start: found 'soon', wanted seconds, or nothing"),
        ([HEADER, "x.wav,1,,inf,,1,0,a"], "row 2: column end: found 'inf', wanted seconds, or nothing"),
        ([HEADER, "x.wav,1,,,loud,1,0,a"], "row 2: column salience: found 'loud', wanted an integer of at least 0"),
        ([HEADER, "../x.wav,1,,,,1,0,a"], "row 2: column slice_file_name: found '../x.wav', wanted a bare file name"),
        ([HEADER, "..,1,,,,1,0,a"], "row 2: column slice_file_name: found '..', wanted a bare file name"),
        ([HEADER, "/x.wav,1,,,,1,0,a"], "row 2: column slice_file_name: found '/x.wav', wanted a bare file name"),
        ([HEADER, "a/x.wav,1,,,,1,0,a"], "row 2: column slice_file_name: found 'a/x.wav', wanted a bare file name"),
        ([HEADER, ",1,,,,1,0,a"], "row 2: column slice_file_name: found '', wanted a bare file name"),
        (
            [HEADER, "x.wav,1,,,,1,0,a", "y.wav,1,,,,1,0,b"],
            "row 3: column class: found 'b', wanted a, as class id 0 is called in row 2",
        ),
        (
            [HEADER, "x.wav,1,,,,1,0,a", "y.wav,1,,,,1,1,a"],
            "row 3: column classID: found '1', wanted 0, the id of a in row 2",
        ),
        ([HEADER, "x.wav,1,,,,1,0,a", "y.wav,1,,,,1,9,b"], "found class ids 0, 9, wanted every id from 0 to 1"),
        ([HEADER, '"x.wav,1,,,,1,0,a'], "not readable as CSV: unexpected end of data"),
    ],
)
def test_a_bad_table_is_told_in_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    table = write_table(tmp_path, *lines)
    with pytest.raises(StudyError) as error:
        read_clips(table)
    assert str(error.value) == f"{table}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not there, wanted the table of clips in UrbanSound8K's columns"),
        (b"", "found an empty file, wanted the columns slice_file_name, fsID, fold, classID, class"),
        (b"\xff\xfe\x00s", "found bytes that are not UTF-8 (invalid start byte), wanted a UTF-8 table"),
    ],
)
def test_no_table(tmp_path: Path, content: bytes | None, message: str) -> None:
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(StudyError) as error:
        read_clips(table)
    assert str(error.value) == f"{table}: {message}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.wav,1,,,,1,3,dog_brak", f"column class: found 'dog_brak', wanted one of {', '.join(URBANSOUND8K_CLASSES)}"),
        ("x.wav,1,,,,1,2,dog_bark", "column classID: found '2', wanted 3, the id of dog_bark"),
    ],
)
def test_urbansound8ks_classes_are_known(tmp_path: Path, row: str, message: str) -> None:
    table = write_table(tmp_path, HEADER, row)
    with pytest.raises(StudyError) as error:
        read_clips(table, URBANSOUND8K_CLASSES)
    assert str(error.value) == f"{table}: row 2: {message}"


def test_class_names_run_from_zero() -> None:
    clips = clips_of(1, 1, classes=3)
    assert class_names(clips[::-1]) == ["class 0", "class 1", "class 2"]
    with pytest.raises(StudyError, match=r"^corpus: found class ids 0, 2, wanted every id from 0 to 1$"):
        class_names([clips[0], clips[2]])
    with pytest.raises(StudyError, match=r"^corpus: found the class class 2 only, wanted at least two$"):
        class_names([clips[2]])


def test_missing_audio_stops_or_is_left_out(tmp_path: Path) -> None:
    clips = clips_of(1, 2, classes=1)
    first = audio_path(clips[0], tmp_path, tmp_path)
    first.parent.mkdir()
    first.write_bytes(b"x")
    assert keep_present(clips, tmp_path, tmp_path, skip=True) == (clips[:1], [("0-0-1.wav", "missing")])
    with pytest.raises(StudyError) as error:
        keep_present(clips, tmp_path, tmp_path, skip=False)
    assert str(error.value) == (
        f"{tmp_path}/class 0/0-1.wav: not there, wanted the audio of 0-0-1.wav "
        "(data.skip: [missing] leaves such clips out)"
    )
    in_layout = [replace(clip, in_root=False, path=f"audio/fold1/{clip.name}") for clip in clips]
    with pytest.raises(StudyError, match=r"raw/audio/fold1/0-0-0.wav: not there, and neither is any other of 2 clips$"):
        keep_present(in_layout, tmp_path / "raw", tmp_path, skip=True)
    first.unlink()
    with pytest.raises(StudyError, match=r"class 0/0-0.wav: not there, and neither is any other of 2 clips$"):
        keep_present(clips, tmp_path, tmp_path, skip=True)


def test_excluded_round_trip(tmp_path: Path) -> None:
    for excluded in ([], [('a, "b".wav', "missing"), ("犬.wav", "silent")]):
        write_excluded(tmp_path / "excluded.csv", excluded)
        assert read_excluded(tmp_path / "excluded.csv") == excluded
    assert (tmp_path / "excluded.csv").read_text(encoding="utf-8").startswith("name,reason\n")


def test_a_recording_in_two_folds_is_named() -> None:
    clips = clips_of(2, 2)
    require_disjoint_recordings(clips, "t.csv")
    clips[1] = replace(clips[1], fold=2)
    with pytest.raises(StudyError) as error:
        require_disjoint_recordings(clips, "t.csv")
    assert str(error.value) == (
        "t.csv: found recording 0-0 in folds 1 (0-0-0.wav) and 2 (0-0-1.wav), wanted every recording in one fold"
    )


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_made_folds_keep_recordings_together_and_classes_even(n_folds: int) -> None:
    clips = clips_of(recordings=15, slices=4, classes=3)
    folded = make_folds(clips, n_folds, seed=3)
    require_disjoint_recordings(folded, "made")
    assert folds_of(folded) == list(range(1, n_folds + 1))
    assert [replace(clip, fold=1) for clip in folded] == clips
    counts = [sum(clip.fold == k and clip.class_id == c for clip in folded) for k in folds_of(folded) for c in range(3)]
    assert max(counts) - min(counts) <= 4  # at most one recording
    assert folded == make_folds(clips, n_folds, seed=3)
    assert folded != make_folds(clips, n_folds, seed=4)


def test_made_folds_need_a_recording_a_fold() -> None:
    assert folds_of(make_folds(clips_of(3, 2), n_folds=3, seed=0)) == [1, 2, 3]
    with pytest.raises(StudyError, match=r"^data.n_folds: found 2 recordings of class class 0, wanted at least 3, one"):
        make_folds(clips_of(2, 9), n_folds=3, seed=0)


def test_random_split_is_stratified_and_leaky() -> None:
    clips = clips_of(recordings=5, slices=8)
    split = random_split(clips, 10, seed=0)
    assert [replace(clip, fold=1) for clip in split] == clips
    for fold in range(1, 11):
        assert [sum(clip.fold == fold and clip.class_id == c for clip in split) for c in (0, 1)] == [4, 4]
    with pytest.raises(StudyError, match="wanted every recording in one fold"):
        require_disjoint_recordings(split, "random")
    assert split == random_split(clips, 10, seed=0) != random_split(clips, 10, seed=1)
    assert len(random_split(clips_of(recordings=1, slices=5), 5, seed=0)) == 10  # a clip a fold is enough
    with pytest.raises(
        StudyError, match=r"^data.n_folds: found 40 clips of class class 0, wanted at least 41, one a fold$"
    ):
        random_split(clips, 41, seed=0)


def test_only_clips_in_root_have_a_path_in_the_table(tmp_path: Path) -> None:
    one, other = clips_of(recordings=1, slices=1)
    write_clips(tmp_path / "t.csv", [one, replace(other, in_root=False, path="audio/fold1/1-0-0.wav")])
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition(",")[2] for line in lines] == ["path", "class 0/0-0.wav", ""]


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a b.wav", True), ("дождь", True), ("  ", False), ("a\ab", False), ("a\nb", False), ("\ud800", False)],
)
def test_is_plain(text: str, plain: bool) -> None:
    assert is_plain(text) is plain


@pytest.mark.parametrize(
    ("path", "inside"),
    [("a/b.wav", True), ("a..b/.c", True), ("", False), (".", False), ("/a", False), ("//a", False), ("a/../b", False)],
)
def test_is_inside(path: str, inside: bool) -> None:
    assert is_inside(path) is inside
