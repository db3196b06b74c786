"""fetch_music: short pieces in several styles with captions, and a prelude by Bach.

Writes data/music; nothing is downloaded.
"""

import argparse
from pathlib import Path

from soundaug.music import play_bach, play_corpus
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole

MUSIC = Path("data/music")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    with whole(MUSIC) as folder:
        pieces = play_corpus(folder, params.music, params.seed)
        bach_seconds = play_bach(folder, params.music, params.seed)
    minutes = sum(piece.seconds for piece in pieces) / 60
    print(
        f"played {len(pieces)} pieces in {len(params.music.styles)} styles, {minutes:.0f} minutes, "
        f"{sum(piece.split == 'held_out' for piece in pieces)} of them held out; Bach, {bach_seconds:.0f} s"
    )


if __name__ == "__main__":
    run_stage(main)
