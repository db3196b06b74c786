"""train_stylizer: a small Stable Diffusion of spectrogram images, trained on the music's training pieces.

Reads data/music; writes data/models/stylizer, which says no more than its name where stylize.model takes another one.
"""

import argparse
from pathlib import Path

from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_json

MUSIC = Path("data/music")
MODEL = Path("data/models/stylizer")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    if params.stylize.model is not None:  # torch is not even imported
        write_json(MODEL / "summary.json", {"model": params.stylize.model})
        print(f"stylizer: not trained, {params.stylize.model} is used")
        return
    from soundaug.music import PIECES, read_pieces
    from soundaug.stylizer.dataset import draw_windows
    from soundaug.stylizer.training import StylizerTraining

    settings = params.stylizer
    pieces = [piece for piece in read_pieces(MUSIC / PIECES) if piece.split == "train"]
    windows = draw_windows(MUSIC, pieces, settings.image, settings.windows_per_piece, params.seed)
    training = StylizerTraining(settings, windows, params.seed)
    training.run("stylizer")
    training.save(MODEL)
    training.write_history(MODEL / "history.csv")
    training.autoencoder_training.write_history(MODEL / "autoencoder_history.csv")
    summary = training.summary()
    write_json(MODEL / "summary.json", summary)
    training.finish()
    print(f"stylizer: {summary['windows']} windows, {summary['steps']} steps, loss {summary['final_loss']:.4f}")


if __name__ == "__main__":
    run_stage(main)
