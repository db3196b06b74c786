"""Whether the scale of a generator's images was fitted on the clips that it learned: computed anew and compared."""

from pathlib import Path

import numpy as np
import torch

from soundaug.audit.checks import GENERATOR, MUSIC
from soundaug.audit.normalisation import refuse_other
from soundaug.diffusion.codec import Codec, LatentCodec, MelScaling, WhitenedScaling, fitted_scaling, load_codec
from soundaug.generator.corpus import GeneratorCorpus
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.sound.features import MelFrontEnd


def check_generator_scale(data: Path, params: Params) -> None:
    """Raise StudyError that names the first generator under ``data``/models whose scale is of other clips.

    That of a checkpoint (generator.pretrained) comes with it, and music has none of the study's clips.
    """
    settings = params.generator
    if params.generate.per_class == 0 or settings.pretrained is not None or settings.corpus == MUSIC:
        return
    front_end = MelFrontEnd(params.features)
    for fold in params.folds:
        corpus = GeneratorCorpus.of_study(data / "features", settings, fold)
        mel = corpus.learned(settings.validation_share, params.seed + fold)
        wanted = fitted_scaling(settings, params.features, front_end.log_mel(torch.from_numpy(mel)))
        path = data / "models" / GENERATOR / f"fold{fold}"
        codec = load_codec(path)
        found = _scales(codec.scaling if isinstance(codec, LatentCodec) else codec)
        for scale, of_training in _scales(wanted).items():
            if scale not in found:
                raise StudyError(f"{path}: found a generator without {scale}, wanted that of its training clips")
            refuse_other(GENERATOR, scale, found[scale], of_training, fold)


def _scales(codec: Codec) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What was fitted, by name: means, and what is divided by, or for a whitening the covariance of the patches.

    The axes themselves are not told apart where patches vary alike.
    """
    scales = {}
    if isinstance(codec, WhitenedScaling):
        spread = codec.axes.double() * codec.deviation.double()
        scales["whitening"] = codec.mean.numpy(), (spread @ spread.T).numpy()
    scaling = codec.scaling if isinstance(codec, WhitenedScaling) else codec
    if isinstance(scaling, MelScaling):
        scales["scale in dB"] = np.array([scaling.mean_db]), np.array([scaling.deviation_db])
    return scales
