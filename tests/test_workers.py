"""The same work over threads and over two workers of a Dask cluster: the same bytes, whoever is lost on the way."""

import functools
import os
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import soundfile
import torch
from distributed import LocalCluster
from tiny_pipeline import hashes, run, tiny_params, workspace

from soundaug.inversion.mel_to_audio import MelToAudio, sounds
from soundaug.params import Params, parse_params
from soundaug.running import workers
from soundaug.running.errors import StudyError
from soundaug.running.workers import over_workers
from soundaug.sound.audio import ClipProblem
from soundaug.sound.features import MelFrontEnd, front_end_of, mels_of_files, mels_of_waveforms

PARAMS: Params = parse_params(tiny_params())
FRONT_END = MelFrontEnd(PARAMS.features)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """Two workers on this machine, found as those of a real cluster are: by their scheduler's address."""
    warnings.filterwarnings("ignore", module="distributed")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
    ):
        workers.connect.cache_clear()
        yield
        workers.connect().close()
    workers.connect.cache_clear()


def process_of(number: int) -> tuple[int, int]:
    return number, os.getpid()


def end_once(marker: Path, number: int) -> int:
    """The number; the first to be asked for 5 ends its process."""
    if number == 5 and not marker.exists():
        marker.touch()
        os._exit(1)
    return number


def waveforms(count: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.1, (count, PARAMS.features.n_samples))
    return noise.astype(np.float32)


def test_in_order_by_other_processes_of_which_one_may_be_lost(tmp_path: Path) -> None:
    made = list(over_workers(process_of, range(100), "test", "dask"))
    assert [number for number, _ in made] == list(range(100))
    assert os.getpid() not in {process for _, process in made}
    assert list(over_workers(process_of, [], "test", "dask")) == []
    work = functools.partial(end_once, tmp_path / "marker")
    assert list(over_workers(work, range(20), "test", "dask")) == list(range(20))
    assert (tmp_path / "marker").exists()


def test_features_are_the_same_and_problems_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [Path(f"{number}.wav") for number in range(9)]
    for path, waveform in zip(paths, waveforms(9), strict=True):
        soundfile.write(path, np.stack([waveform, 0.5 * waveform], axis=1), 11025)
    paths[4].write_bytes(b"no sound")
    told: dict[str, list[tuple[int, str, str]]] = {"threads": [], "dask": []}

    def found(side: str, index: int, problem: ClipProblem) -> None:
        told[side].append((index, problem.kind, str(problem)))

    one, other = (mels_of_files(paths, FRONT_END, functools.partial(found, side), "test", side) for side in told)
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1] == other[1] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert told["threads"] == told["dask"]
    assert [entry[:2] for entry in told["dask"]] == [(4, "unreadable")]
    mels = [mels_of_waveforms(waveforms(9), FRONT_END, side) for side in told]
    assert mels[0].tobytes() == mels[1].tobytes()
    assert mels[0].std() > 1


def test_sounds_are_the_same() -> None:
    log_mels = FRONT_END(torch.from_numpy(waveforms(6))).numpy()
    mel_to_audio = MelToAudio(FRONT_END, PARAMS.invert)
    one, other = (list(sounds(log_mels, range(6), mel_to_audio, "test", side)) for side in ("threads", "dask"))
    assert [lost for _, lost in one] == [lost for _, lost in other]
    assert [heard.tobytes() for heard, _ in one] == [heard.tobytes() for heard, _ in other]
    assert len({heard.tobytes() for heard, _ in one}) == 6


def test_a_front_end_is_sent_as_its_settings_alone() -> None:
    sent = pickle.dumps(FRONT_END)
    assert len(sent) < 1000
    assert pickle.loads(sent) is pickle.loads(sent) is front_end_of(PARAMS.features)


def test_the_stages_write_the_same(tmp_path: Path) -> None:
    found = []
    for side in ("threads", "dask"):
        with workspace(tmp_path / side, tiny_params({"workers": side})):
            run("fetch")
            run("featurize")
        found.append({path: digest for path, digest in hashes(tmp_path / side).items() if "features" in path})
    assert found[0] == found[1]
    assert len(found[0]) == 5  # two folds, classes, what was left out, which clips train


def test_where_no_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    uncached = workers.connect.__wrapped__
    monkeypatch.setattr(workers, "connect", uncached)
    settings = {"scheduler-address": "tcp://127.0.0.1:9", "distributed.comm.timeouts.connect": "1s"}
    with dask.config.set(settings), pytest.raises(StudyError, match=r"workers: found no Dask workers at tcp.*:9 \("):
        list(over_workers(process_of, range(2), "test", "dask"))
