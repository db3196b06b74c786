"""What a piece is described by: its style's words, with its mode and pace or without."""

import numpy as np

from soundaug.music.composition import Composition
from soundaug.music.styles import STYLES

TEMPLATES = (
    "{name}, {sounds}",
    "{name} in a {mode} key",
    "{pace} {name}",
    "{pace} {name} in a {mode} key",
    "{name}, {pace}, {sounds}",
    "{name} with {sounds}",
)
PACES = ((96.0, "slow"), (116.0, "moderate"), (float("inf"), "fast"))  # up to this tempo


def captions_of(composition: Composition, style: str, count: int, rng: np.random.Generator) -> list[str]:
    """``count`` captions, all different, the first the style's plain name; every one holds a name of the style.

    The others are drawn from the templates.
    """
    words = STYLES[style]
    pace = next(name for tempo, name in PACES if composition.tempo <= tempo)
    filled = [
        template.format(name=name, sounds=sounds, mode=composition.mode, pace=pace)
        for template in TEMPLATES
        for name in words.names
        for sounds in words.sounds
    ]
    others = [caption for caption in dict.fromkeys(filled) if caption != words.names[0]]
    drawn = rng.choice(len(others), count - 1, replace=False)
    return [words.names[0], *(others[index] for index in drawn)]
