"""What there is to listen to: of every class a pair, what was made of it and how, and the closest copies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from soundaug.generation.methods import Parents, generate
from soundaug.generation.sampling import Sampler
from soundaug.interpolation import Pair
from soundaug.inversion.mel_to_audio import MelToAudio, sound
from soundaug.listening.examples import ClosestPair
from soundaug.listening.sounds import Sound
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.sound.audio import ClipProblem, fit, from_pcm16, read_mono, to_pcm16
from soundaug.sound.clip_archive import read_archived
from soundaug.sound.features import MelFrontEnd
from soundaug.sources.corpus import TABLE, audio_path, layout_path, read_clips

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_CLASSES = 12  # that are played: the report stays small enough to open


class Player:
    """Sounds of the corpus in ``raw`` and ``root``, and of mels, at the study's rate and length."""

    def __init__(self, raw: Path, root: Path, front_end: MelFrontEnd, mel_to_audio: MelToAudio) -> None:
        self.front_end = front_end
        self.mel_to_audio = mel_to_audio
        self._path_of = {clip.name: audio_path(clip, raw, root) for clip in read_clips(raw / TABLE)}

    def of_generated(self, generated: Path, fold: int, name: str, group: str, number: int) -> Sound:
        """A generated clip of a held-out ``fold``, whose folder is in ``generated``; StudyError where it is not."""
        archive = generated / f"fold{fold}" / "clips.zip"
        with reading(archive, f"no clip {name}", "what invert writes"):
            samples = next(read_archived(archive, [layout_path(fold, name)]))
        return self.of_samples(samples, name, group, number, "generated")

    def of_clip(self, name: str, group: str, number: int, role: str) -> Sound:
        """A clip of the corpus as it was recorded; raises StudyError where its file cannot be read."""
        path, settings = self._path_of[name], self.front_end.settings
        try:
            waveform = read_mono(path, settings.sample_rate)
        except ClipProblem as problem:
            raise StudyError(f"{path}: {problem}, wanted the audio of a clip among the features") from None
        samples = to_pcm16(fit(waveform, settings.n_samples))
        return self.of_samples(samples, name, group, number, role)

    def of_samples(self, samples: np.ndarray, name: str, group: str, number: int, role: str) -> Sound:
        """A sound of int16 [n_samples]; the spectrogram is that of the sound, not one that it was made of."""
        power = self.front_end.power(torch.from_numpy(from_pcm16(samples))[None])[0]
        return Sound(group, number, role, name, samples, self.front_end.to_db(power).numpy())

    def of_mels(self, log_mels: np.ndarray, pairs: Sequence[Pair], role: str) -> list[Sound]:
        """Sounds made of ``log_mels`` [N, n_mels, T] in dB, those of ``pairs``; of a mixture each tells its alpha."""
        heard, _ = sound(log_mels, [pair.seed for pair in pairs], self.mel_to_audio, f"sounds, {role}")
        sounds = []
        for samples, pair in zip(heard, pairs, strict=True):
            mixture = role == "mixture"
            one = self.of_samples(samples, pair.name if mixture else pair.parent_a, "class", pair.class_id, role)
            sounds.append(replace(one, alpha=pair.alpha) if mixture else one)
        return sounds


def first_of_each_class(pairs: Sequence[Pair]) -> list[Pair]:
    """The first pair of each class, for as many classes as are played."""
    firsts: dict[int, Pair] = {}
    for pair in pairs:
        firsts.setdefault(pair.class_id, pair)
    return [firsts[class_id] for class_id in sorted(firsts)][:MOST_CLASSES]


def pair_sounds(pairs: Sequence[Pair], generated: Path, fold: int, player: Player) -> list[Sound]:
    """Both parents and the generated clip of each of ``pairs``; ``generated`` is the folder of all held-out folds."""
    sounds = []
    for pair in pairs:
        place = "class", pair.class_id
        sounds += [
            player.of_clip(pair.parent_a, *place, "parent_a"),
            player.of_generated(generated, fold, pair.name, *place),
            player.of_clip(pair.parent_b, *place, "parent_b"),
        ]
    return sounds


def mixture_sounds(pairs: Sequence[Pair], sampler: Sampler, parents: Parents, player: Player) -> list[Sound]:
    """The same pairs mixed by every one of `ALPHAS`."""
    rows = [replace(pair, alpha=alpha) for pair in pairs for alpha in ALPHAS]
    with TemporaryDirectory() as scratch:
        made, _ = generate(sampler, parents, rows, player.front_end.settings.frames_per_second, Path(scratch))
        return player.of_mels(np.array(made.array()), rows, "mixture")


def inversion_sounds(pairs: Sequence[Pair], sampler: Sampler, parents: Parents, player: Player) -> list[Sound]:
    """The first parents through mel and phase reconstruction alone, and inverted to noise and decoded before that."""
    rows = parents.rows(pairs, 0)
    log_mels, codec, told = parents.log_mels[rows], parents.codec, parents.told.rows(rows)
    noises = sampler.invert(codec.to_image(log_mels), told)
    decoded = sampler.decode(noises, told, [pair.seed for pair in pairs], guidance=1.0)
    again = codec.to_log_mel(decoded, codec.levels(log_mels))
    mel_only = player.of_mels(log_mels.numpy(), pairs, "mel_only")
    return mel_only + player.of_mels(again.numpy(), pairs, "reconstructed")


def closest_sounds(closest: Sequence[ClosestPair], generated: Path, player: Player) -> list[Sound]:
    """Both sides of the closest pairs; ``generated`` is the folder of all held-out folds."""
    sounds = []
    for rank, pair in enumerate(closest):
        sounds.append(player.of_generated(generated, pair.fold, pair.name, "closest", rank))
        sounds.append(player.of_clip(pair.real_name, "closest", rank, "real"))
    return sounds
