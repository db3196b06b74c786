"""The command line's part that asks a stylizer: text to audio, audio to audio, and a batch of both from a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundaug.running.errors import StudyError

if TYPE_CHECKING:  # importing diffusers' pipelines takes long, and other commands need none of it
    from soundaug.stylizer.model import StylizerModel
    from soundaug.stylizer.requests import Request
    from soundaug.stylizer.sound import Styled

MODEL = "data/models/stylizer"
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def text_to_audio(arguments: argparse.Namespace) -> None:
    """Write what a prompt sounds like, and its image."""
    _one(arguments, seconds=arguments.seconds)


def audio_to_audio(arguments: argparse.Namespace) -> None:
    """Write a sound, or what a spectrogram image sounds like, in another style, and its image."""
    kind = "image" if arguments.audio.suffix.lower() in IMAGE_ENDINGS else "audio"
    _one(arguments, strength=arguments.strength, mask=arguments.mask, **{kind: arguments.audio})


def batch(arguments: argparse.Namespace) -> None:
    """Write a sound and an image of every request in a file; all are checked before the first is made."""
    from soundaug.stylizer.pipeline import check_strength, check_wish
    from soundaug.stylizer.requests import read_requests

    requests = read_requests(arguments.file)
    model = _model(arguments)
    for number, request in enumerate(requests, 1):
        try:
            check_wish(model, request.wish)
            check_strength(request.strength, arguments.steps)
        except StudyError as error:
            raise StudyError(f"{arguments.file}: request {number}: {error}") from None
    for request in requests:
        _write(arguments.folder / f"{request.name}.{arguments.ending}", _made(model, request, arguments))


def add_commands(commands: Any) -> None:
    """Add the commands to those of the command line."""
    command = commands.add_parser("text-to-audio", help="what a prompt sounds like, by a stylizer")
    command.add_argument("prompt")
    command.add_argument("out", type=Path, help="the sound file to write, .flac or .wav; its image goes beside it")
    command.add_argument("--seconds", type=float, help="in one image (a window's length)")
    _add_wish(command)
    _add_sampling(command)
    command.set_defaults(run=text_to_audio)

    command = commands.add_parser("audio-to-audio", help="a sound, or a spectrogram image, in the style of a prompt")
    command.add_argument("audio", type=Path, help="a sound file of any rate and length, or a PNG with its parameters")
    command.add_argument("prompt")
    command.add_argument("out", type=Path, help="the sound file to write, .flac or .wav; its image goes beside it")
    command.add_argument("--strength", type=float, default=0.5, help="of denoising, above 0 (as it was) to 1 (0.5)")
    command.add_argument("--mask", type=Path, help="an image stretched to the spectrogram: black is kept, white is new")
    _add_wish(command)
    _add_sampling(command)
    command.set_defaults(run=audio_to_audio)

    command = commands.add_parser("stylize-batch", help="every request in a CSV or YAML file")
    command.add_argument("file", type=Path, help="a table or list of name, prompt, seed, audio, strength and others")
    command.add_argument("folder", type=Path, help="where sounds and images go")
    command.add_argument("--ending", choices=("flac", "wav"), default="flac", help="the format (flac)")
    _add_sampling(command)
    command.set_defaults(run=batch)


def _add_wish(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    command.add_argument("--negative-prompt", default="", help="what it is not to sound like")
    command.add_argument("--end-prompt", help="a second prompt: the way from the first one to it at --alpha")
    command.add_argument("--end-seed", type=int, help="a second seed, likewise")
    command.add_argument("--alpha", type=float, default=0.5, help="0: the first prompt and seed, 1: the second (0.5)")


def _add_sampling(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default=MODEL, help=f"a folder or hub name of a Stable Diffusion ({MODEL})")
    samplers = ("ddim", "dpm_solver")
    command.add_argument("--sampler", choices=samplers, default="ddim", help="dpm_solver wants half the steps (ddim)")
    command.add_argument("--steps", type=int, default=50, help="of the sampler (50)")
    command.add_argument("--guidance", type=float, default=7.0, help="towards the prompt; 1 for none (7)")
    command.add_argument("--overlap", type=float, default=0.25, help="of neighbouring windows, 0 to 0.5 (0.25)")
    command.add_argument("--iterations", type=int, default=32, help="of Griffin-Lim (32)")


def _one(arguments: argparse.Namespace, **more: Any) -> None:
    from pydantic import ValidationError

    from soundaug.sound.excerpts import check_ending
    from soundaug.stylizer.requests import Request

    check_ending(arguments.out)
    between = arguments.end_prompt is not None or arguments.end_seed is not None
    names = ("prompt", "seed", "negative_prompt", "end_prompt", "end_seed")
    values = {name: getattr(arguments, name) for name in names} | {"name": "sound"} | more
    try:
        request = Request(**values, alpha=arguments.alpha if between else 0.0)
    except ValidationError as error:
        detail = error.errors()[0]
        wanted = detail["msg"].removeprefix("Input should be ").removeprefix("String should ")
        raise StudyError(f"{detail['loc'][0]}: found {detail['input']!r}, wanted {wanted}") from None
    _write(arguments.out, _made(_model(arguments), request, arguments))


def _model(arguments: argparse.Namespace) -> "StylizerModel":
    for name, lowest in (("steps", 1), ("guidance", 1), ("overlap", 0), ("iterations", 1)):
        if (found := getattr(arguments, name)) < lowest or (name == "overlap" and found > 0.5):
            raise StudyError(f"{name}: found {found}, wanted {'0 to 0.5' if name == 'overlap' else '1 or more'}")
    from soundaug.stylizer.model import load_stylizer

    return load_stylizer(arguments.model, "model")


def _made(model: "StylizerModel", request: "Request", arguments: argparse.Namespace) -> "Styled":
    from soundaug.images.files import open_image
    from soundaug.sound.excerpts import read_sound
    from soundaug.stylizer.pipeline import Sampling
    from soundaug.stylizer.sound import image_to_sound, sound_to_sound, text_to_sounds

    sampling = Sampling(
        sampler=arguments.sampler,
        steps=arguments.steps,
        guidance=arguments.guidance,
        batch_size=1,
        overlap=arguments.overlap,
        iterations=arguments.iterations,
    )
    mask = None if request.mask is None else open_image(request.mask)
    if request.image is not None:
        return image_to_sound(model, open_image(request.image), request.wish, sampling, request.strength, mask)
    if request.audio is not None:
        waveforms, _ = read_sound(request.audio, model.form.params.sample_rate)
        return sound_to_sound(model, waveforms, request.wish, sampling, request.strength, mask)
    return text_to_sounds(model, [request.wish], sampling, request.seconds)[0]


def _write(path: Path, styled: "Styled") -> None:
    from soundaug.images.files import save_image
    from soundaug.sound.excerpts import write_sound

    gain_db = write_sound(path, styled.waveforms, styled.sample_rate)
    save_image(styled.image, path.with_suffix(".png"))
    turned = f", turned down by {-gain_db:.1f} dB to stay within full scale" if gain_db < 0 else ""
    print(f"wrote {path} and its image: {styled.waveforms.shape[1] / styled.sample_rate:.2f} s{turned}")
