"""One's own files: sound to spectrogram image and back, its parameters, clips, stems, sound by a prompt.

`python -m soundaug.cli COMMAND --help` tells the arguments of each.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from soundaug.images import audio_diffusion, riffusion
from soundaug.images.audio_diffusion import MelParams
from soundaug.images.files import kind_of, open_image, save_image
from soundaug.images.riffusion import SpectrogramParams
from soundaug.images.sound import image_of, sound_of
from soundaug.running.errors import StudyError, run_stage
from soundaug.sound.excerpts import read_sound, sample_clips, sounds_in, write_sound
from soundaug.stylizer.commands import add_commands

FORMATS = ("riffusion", "audio-diffusion")


def main() -> None:
    """Run the command on the command line."""
    arguments = _parser().parse_args()
    run: Callable[[argparse.Namespace], None] = arguments.run
    run(arguments)


def audio_to_image(arguments: argparse.Namespace) -> None:
    """Write the image of a sound file, or of every one in a folder."""
    several = arguments.audio.is_dir()
    wanted_rate = arguments.sample_rate or (MelParams().sample_rate if arguments.format == "audio-diffusion" else None)
    for name, file in sounds_in(arguments.audio).items():
        path = arguments.image / name.with_name(f"{name.name}.png") if several else arguments.image
        waveforms, rate = read_sound(file, wanted_rate)
        try:
            image = image_of(waveforms, _params(arguments, rate), arguments.slice)
        except StudyError as error:
            raise StudyError(f"{file}: {error}") from None
        save_image(image, path)
        print(f"wrote {path}: {image.width} x {image.height}, {waveforms.shape[1] / rate:.2f} s of {file.name}")


def image_to_audio(arguments: argparse.Namespace) -> None:
    """Write what an image sounds like."""
    assume = {None: None, "riffusion": SpectrogramParams(), "audio-diffusion": MelParams()}[arguments.assume]
    sound = sound_of(open_image(arguments.image), arguments.seed, arguments.iterations, assume)
    gain_db = write_sound(arguments.audio, sound.waveforms, sound.sample_rate)
    turned = f", turned down by {-gain_db:.1f} dB to stay within full scale" if gain_db < 0 else ""
    print(f"wrote {arguments.audio}: {sound.waveforms.shape[1] / sound.sample_rate:.2f} s{turned}")


def print_parameters(arguments: argparse.Namespace) -> None:
    """Print the parameters inside an image."""
    image = open_image(arguments.image)
    if kind_of(image) == "audio-diffusion":
        mel, reference = audio_diffusion.params_of(image)
        rows = asdict(mel) | {"reference_power": reference}
    else:
        spectrogram, max_value = riffusion.params_of(image)
        rows = asdict(spectrogram) | {"max_value": max_value}
    for name, value in rows.items():
        print(f"{name:<20} = {value!s:>15}")


def sample(arguments: argparse.Namespace) -> None:
    """Write clips of a sound file, or of every one in a folder."""
    written, short = sample_clips(
        sounds_in(arguments.audio),
        arguments.folder,
        arguments.clips,
        arguments.duration_ms,
        arguments.mono,
        arguments.ending,
        arguments.seed,
    )
    for path in written:
        print(f"wrote {path}")
    if short:
        print(f"left out {len(short)} files shorter than {arguments.duration_ms} ms: {', '.join(map(str, short))}")


def split(arguments: argparse.Namespace) -> None:
    """Write the stems of a sound file, or of every one in a folder."""
    from soundaug.sound.stems import split_file  # librosa takes seconds to import

    for name, file in sounds_in(arguments.audio).items():
        written = split_file(file, arguments.folder / name, arguments.ending)
        print(f"wrote {', '.join(map(str, written))}")


def _params(arguments: argparse.Namespace, rate: int) -> SpectrogramParams | MelParams:
    if arguments.format == "audio-diffusion":
        return MelParams(
            arguments.width, arguments.n_mels, rate, arguments.n_fft, arguments.hop_length, arguments.top_db
        )
    return SpectrogramParams(
        stereo=arguments.stereo,
        sample_rate=rate,
        step_size_ms=arguments.step_size_ms,
        window_duration_ms=arguments.window_duration_ms,
        padded_duration_ms=arguments.padded_duration_ms,
        num_frequencies=arguments.num_frequencies,
        min_frequency=arguments.min_frequency,
        max_frequency=arguments.max_frequency,
        power_for_image=arguments.power_for_image,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soundaug.cli", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("audio-to-image", help="a spectrogram image of a sound file, or of all in a folder")
    command.add_argument("audio", type=Path, help="a sound file, or a folder of them")
    command.add_argument("image", type=Path, help="the PNG to write, or the folder for them")
    command.add_argument("--format", choices=FORMATS, default="riffusion")
    command.add_argument("--sample-rate", type=_count, help="Hz; the file's own (riffusion) or 22050 (audio-diffusion)")
    own = command.add_argument_group("riffusion")
    own.add_argument("--stereo", action="store_true", help="two channels, in green and blue")
    spectrogram = SpectrogramParams()
    for name in ("step_size_ms", "window_duration_ms", "padded_duration_ms", "num_frequencies"):
        _number(own, name, getattr(spectrogram, name))
    for name in ("min_frequency", "max_frequency", "power_for_image"):
        _number(own, name, getattr(spectrogram, name))
    own = command.add_argument_group("audio-diffusion")
    own.add_argument("--slice", type=int, default=0, help="which one of the sound, from 0 (0)")
    mel = MelParams()
    for name in ("width", "n_mels", "n_fft", "hop_length", "top_db"):
        _number(own, name, getattr(mel, name))
    command.set_defaults(run=audio_to_image)

    command = commands.add_parser("image-to-audio", help="what a spectrogram image sounds like")
    command.add_argument("image", type=Path)
    command.add_argument("audio", type=Path, help="the sound file to write, .wav or .flac")
    command.add_argument("--iterations", type=_count, default=32, help="of Griffin-Lim (32)")
    command.add_argument("--seed", type=_seed, default=0, help="of the first phases (0)")
    command.add_argument("--assume", choices=FORMATS, help="whose defaults to take for an image without parameters")
    command.set_defaults(run=image_to_audio)

    command = commands.add_parser("print-parameters", help="the parameters inside an image")
    command.add_argument("image", type=Path)
    command.set_defaults(run=print_parameters)

    command = commands.add_parser(
        "sample-clips", help="clips from random places of a sound file, or of all in a folder"
    )
    command.add_argument("audio", type=Path, help="a sound file, or a folder of them")
    command.add_argument("folder", type=Path, help="where the clips go")
    command.add_argument("--clips", type=_count, default=1, help="of every file (1)")
    command.add_argument("--duration-ms", type=_count, default=5120, help="of a clip (5120)")
    command.add_argument("--mono", action="store_true")
    command.add_argument("--ending", choices=("wav", "flac", "ogg"), default="wav", help="the format (wav)")
    command.add_argument("--seed", type=_seed, default=0, help="of the places (0)")
    command.set_defaults(run=sample)

    command = commands.add_parser("split", help="harmonic and percussive stems of a sound file, or of all in a folder")
    command.add_argument("audio", type=Path, help="a sound file, or a folder of them")
    command.add_argument("folder", type=Path, help="where the stems go")
    command.add_argument("--ending", choices=("wav", "flac", "ogg"), default="wav", help="the format (wav)")
    command.set_defaults(run=split)
    add_commands(commands)
    return parser


def _count(text: str) -> int:
    """An argument from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, wanted 1 or more")
    return number


def _seed(text: str) -> int:
    """An argument from 0 on."""
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"found {number}, wanted 0 or more")
    return number


def _number(group: argparse._ArgumentGroup, name: str, default: float) -> None:
    group.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"({default})")


if __name__ == "__main__":
    run_stage(main)
