"""What the stage stylize writes, small, with figures that can be looked for."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from soundaug.stylizer.assessment import BACH, ORIGINAL, PIECE, TEXT, Row, summary_of, write_figures

RATE, COLUMNS = 8000, 40
STRENGTHS = (0.25, 0.5, 1.0)
PROMPTS = ("church organ", "<b>odd</b> & {{ 7 * 7 }}")


def write_stylized(folder: Path) -> list[Row]:
    """Bach and held-out pieces by three strengths, two sounds from text of each of two styles."""
    rows = [
        Row(TEXT, f"text/{style}{number}.flac", f"{style} {number}", style, "chiptune", number)
        for style in ("chiptune", "church_organ")
        for number in range(2)
    ]
    rows.append(Row(ORIGINAL, "original/bach.flac", None, None, "solo_piano", source="bach"))
    for place, strength in enumerate(STRENGTHS):
        alike = 0.9 - 0.3 * place, 0.1
        heard = ("chiptune", "church_organ", "church_organ")[place]
        rows.append(Row(PIECE, f"piece/a_{strength}.flac", "organ", "church_organ", heard, 0, "a", strength, *alike))
        for number, prompt in enumerate(PROMPTS):
            style = None if number else "church_organ"
            file = f"bach/{number}_{strength}.flac"
            rows.append(Row(BACH, file, prompt, style, heard, 0, "bach", strength, *alike))
    folder.mkdir(parents=True)
    for row in rows:
        _write(folder / row.file)
    summary = summary_of(rows, 0.5) | {"judge_accuracy": 0.96875, "played_chroma_similarity": 0.625}
    write_figures(folder, rows, summary)
    return rows


def _write(path: Path) -> None:
    """Half a second of a tone, and an image that is loudest at the top and silent below."""
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, 0.2 * np.sin(np.arange(RATE // 2)), RATE)
    pixels = np.full((16, COLUMNS, 3), 255, np.uint8)
    pixels[0] = 0
    pixels[1] = 128
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[11070] = 0.25
    image.save(path.with_suffix(".png"), exif=exif)
