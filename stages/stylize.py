"""stylize: sounds of every style from text, held-out tunes and Bach restyled, and what is heard in them.

Reads data/music and data/models/stylizer, or the model that stylize.model names; writes data/stylized.
"""

import argparse
from pathlib import Path

from soundaug.music import BACH, PIECES, read_pieces
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import whole
from soundaug.sound.excerpts import read_sound
from soundaug.stylizer import assessment
from soundaug.stylizer.chroma import chroma_of
from soundaug.stylizer.model import load_stylizer
from soundaug.stylizer.showcase import Showcase
from soundaug.stylizer.style import train_style_classifier
from soundaug.stylizer.tunes import HeldOut, Restyling, Tune

MUSIC = Path("data/music")
MODEL = Path("data/models/stylizer")
STYLIZED = Path("data/stylized")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    settings = params.stylize
    model = load_stylizer(settings.model or MODEL)
    rate, n_samples = model.form.params.sample_rate, model.form.window_samples
    pieces = read_pieces(MUSIC / PIECES)
    judge = train_style_classifier(MUSIC, pieces, settings.judge_steps, params.seed)
    held_out = HeldOut(MUSIC, pieces, rate)
    prelude = read_sound(MUSIC / BACH, rate)[0].mean(axis=0)
    style = judge.style_of(prelude, rate)
    bach = Tune(assessment.BACH, style, prelude, chroma_of(prelude, rate), held_out.chroma_in(style))
    styles = {name: style for style, name in held_out.names.items()}
    with whole(STYLIZED) as folder:
        showcase = Showcase(folder, model, judge, settings, params.seed)
        rows = showcase.from_text(held_out.prompts(settings.samples))
        rows += showcase.restyled(assessment.PIECE, held_out.restylings(n_samples))
        rows.append(showcase.original(bach))
        rows += showcase.restyled(
            assessment.BACH, [Restyling(bach, prompt, styles.get(prompt)) for prompt in settings.prompts]
        )
        summary = assessment.summary_of(rows, settings.strength)
        summary |= {"judge_accuracy": round(judge.accuracy, 6)}
        summary |= showcase.ceiling(held_out.tunes(n_samples)) | held_out.played()
        assessment.write_figures(folder, rows, summary)
    print(
        f"stylized {len(rows)} sounds: the style asked for is heard in {summary['style_accuracy']:.0%} of those from "
        f"text and {summary['restyled_style_accuracy']:.0%} of those restyled at strength {settings.strength:g}, whose "
        f"chroma similarity to the tune is {summary['chroma_similarity']:.2f}"
    )


if __name__ == "__main__":
    run_stage(main)
