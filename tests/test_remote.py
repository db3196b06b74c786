"""A remote that speaks Amazon's S3, on this machine: push, fresh clone, pull, and nothing is computed again."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from documented import run_shell
from moto.server import ThreadedMotoServer

# As the study's own: a folder of many files, a packed file, figures that git keeps. Every run leaves its name in $RUNS.
PIPELINE = {
    "stages": {
        "generate": {
            "cmd": 'echo generate >> "$RUNS"; mkdir -p data/clips; for n in 1 2 3 4; do echo $n > data/clips/$n; done',
            "params": ["generate"],
            "outs": ["data/clips"],
        },
        "featurize": {
            "cmd": 'echo featurize >> "$RUNS"; cat data/clips/* > data/features',
            "deps": ["data/clips"],
            "outs": ["data/features"],
        },
        "evaluate": {
            "cmd": 'echo evaluate >> "$RUNS"; echo "{\\"clips\\": $(wc -l < data/features)}" > metrics.json',
            "deps": ["data/features"],
            "metrics": [{"metrics.json": {"cache": False}}],
        },
    }
}
SETUP = [
    "git init -q -b main",
    "dvc init -q",
    "dvc config core.analytics false",
    "dvc repro -q",
    "dvc remote add -d store s3://study/outputs",
    "dvc remote modify store endpointurl $ENDPOINT",
    "git add -A",
    "git commit -q -m run",
]
CLONED = [
    "dvc push",
    "git clone -q . ../theirs",
    "cd ../theirs",
    "dvc config core.analytics false --local",
    "dvc pull",
    "dvc status",
    "dvc repro",
]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket ``study``'s server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    import boto3

    endpoint = f"http://127.0.0.1:{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="study")
    yield endpoint
    server.stop()


def test_push_clone_pull_and_nothing_is_computed_again(store: str, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (study / "params.yaml").write_text("generate:\n  per_class: 100\n")
    (study / ".gitignore").write_text("/data/\n")
    identity = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "HOME": str(tmp_path), "RUNS": str(tmp_path / "runs")}
    said = run_shell(
        [*(line.replace("$ENDPOINT", store) for line in SETUP), *CLONED], study, os.environ | identity | settings
    )
    assert (tmp_path / "runs").read_text().split() == ["generate", "featurize", "evaluate"]  # once, in the first clone
    assert "6 files pushed" in said["dvc push"]  # four clips, the list of them, the features
    theirs = tmp_path / "theirs"
    assert sorted(path.read_text() for path in (theirs / "data/clips").iterdir()) == [f"{n}\n" for n in range(1, 5)]
    assert (theirs / "data/features").read_bytes() == (study / "data/features").read_bytes()
    assert (
        said["dvc status"].strip() == said["dvc repro"].strip().splitlines()[-1] == "Data and pipelines are up to date."
    )
