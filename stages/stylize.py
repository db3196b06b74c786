"""stylize: sounds of every style from text, and Bach restyled, with what a style classifier hears in them."""

from pathlib import Path

from soundaug.clips import read_sound
from soundaug.errors import run_stage
from soundaug.music import BACH, PIECES, read_pieces
from soundaug.outputs import whole
from soundaug.params import load_params
from soundaug.stylizer.model import load_stylizer
from soundaug.stylizer.showcase import from_text, restyled, write_figures
from soundaug.stylizer.style import train_style_classifier

MUSIC = Path("data/music")
MODEL = Path("data/models/stylizer")
STYLIZED = Path("data/stylized")


def main() -> None:
    params = load_params()
    settings = params.stylize
    model = load_stylizer(settings.model or MODEL)
    pieces = read_pieces(MUSIC / PIECES)
    judge = train_style_classifier(MUSIC, pieces, params.features, params.training, params.classifier, params.seed)
    rate = model.form.params.sample_rate
    bach, _ = read_sound(MUSIC / BACH, rate)
    # Other tunes: every held-out composition once, in the first style.
    first = pieces[0].style
    others = [piece for piece in pieces if piece.split == "held_out" and piece.style == first]
    tunes = [read_sound(MUSIC / piece.file, rate)[0].mean(axis=0) for piece in others]
    styles = {piece.style: piece.captions[0] for piece in pieces}
    with whole(STYLIZED) as folder:
        rows = from_text(folder, model, styles, settings, params.seed, judge)
        rows += restyled(folder, model, bach, tunes, styles, settings, params.seed, judge)
        summary = write_figures(folder, rows, judge)
    print(
        f"stylized {len(rows)} sounds: the style asked for is heard in {summary['style_accuracy']:.0%} of those from "
        f"text; chroma similarity {summary['chroma_similarity']:.2f} to Bach, "
        f"{summary['chroma_similarity_to_others']:.2f} to other tunes"
    )


if __name__ == "__main__":
    run_stage(main)
