"""The model card beside a generator: what it learned from, what it must not be tested on, and under which licence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from soundaug.params import Params
from soundaug.running.outputs import whole

LICENCES = {  # of the training clips: Hugging Face's identifier, and a sentence
    "urbansound8k": ("cc-by-nc-3.0", "UrbanSound8K is licensed under CC BY-NC 3.0: no commercial use."),
    "synthetic": ("mit", "The clips are synthesised by the program that trained this model (MIT licence)."),
    "directory": ("other", "The clips came from a folder of the user's: whoever shares this model states its licence."),
}
MUSIC_LICENCE = ("other", "The music was played by the program that trained this model, through TimGM6mb (GPL-2).")


def write_card(
    path: Path,
    held_out: int,
    folds: Sequence[int],
    classes: Sequence[str],
    params: Params,
    summary: Mapping[str, float],
) -> None:
    """Write README.md as Hugging Face reads it: YAML front matter, then Markdown; ``summary`` is the training's.

    No ``folds`` are those of a model of the embedded music.
    """
    features, generator = params.features, params.generator
    licence, sentence = LICENCES.get(params.data.source, LICENCES["directory"]) if folds else MUSIC_LICENCE
    front = {"library_name": "diffusers", "license": licence, "tags": ["audio", "diffusion", "mel-spectrogram"]}
    if generator.pretrained is not None and not Path(generator.pretrained).is_dir():
        front["base_model"] = generator.pretrained  # the hub takes its own names only
    given = f"Classes by index: {', '.join(f'{index} {name}' for index, name in enumerate(classes))}; "
    given += f"index {len(classes)} is no\n  class, for classifier-free guidance."
    if generator.condition == "sound":
        given += (
            "\n  Each clip also has the embedding of a sound, by the classifier in encoder/: of itself in training,"
            "\n  of its parents, mixed, when clips are made. It is a sequence of one, attended to by the attention."
        )
    if generator.condition == "none":
        given = "Not told any class: what it makes is of none in particular."
    data = "Data: the embedded music, and none of the study's clips. Its styles are not told."
    if folds:
        data = (
            f"Data: source `{params.data.source}`, folds {', '.join(map(str, folds))}; **fold {held_out} is held out**:"
            " a classifier\n  that trains on this model's clips may be tested on that fold alone. train_clips.csv "
            "names every clip."
        )
    network = "UNet2DConditionModel" if generator.condition == "sound" else "UNet2DModel"
    text = f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---

# Diffusion model of log-mel spectrograms, fold {held_out} held out

A model of {features.n_mels} x {features.n_frames} mel spectrograms of {features.clip_seconds:g} s at \
{features.sample_rate} Hz (hop {features.hop_length}, n_fft {features.n_fft}), {features.floor_db:g} to \
{features.ceiling_db:g} dB; mel.json says how they become the network's images.

- {data}
- {given}
- Training: history.csv has the curve; the settings are below.
- Licence of the training data: {sentence}

| figure | value |
| --- | --- |
{chr(10).join(f"| {name} | {_shown(value)} |" for name, value in summary.items())}

```yaml
{yaml.safe_dump(generator.model_dump(), sort_keys=False, allow_unicode=True)}```

`diffusers.{network}.from_pretrained(folder, subfolder="unet")` loads the network,
`diffusers.DDPMScheduler.from_pretrained(folder, subfolder="scheduler")` its noise schedule.
"""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
