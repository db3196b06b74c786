"""The schema of params.yaml: what is accepted, and the line for everything that is not."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from soundaug.params import Params, load_params, parse_params
from soundaug.running.errors import StudyError

ROOT = Path(__file__).parents[1]
QUICK = yaml.safe_load((ROOT / "presets" / "quick.yaml").read_text(encoding="utf-8"))
REMOVED = object()


def changed(where: str, value: Any) -> dict[str, Any]:
    """quick.yaml with one value changed, added or removed; ``where`` is dotted."""
    values = copy.deepcopy(QUICK)
    *sections, last = where.split(".")
    section = values
    for name in sections:
        section = section[name]
    if value is REMOVED:
        del section[last]
    else:
        section[last] = value
    return values


def test_params_yaml_is_the_quick_preset() -> None:
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "presets" / "quick.yaml").read_bytes()


@pytest.mark.parametrize("name", ["quick", "subset", "urbansound8k", "published"])
def test_every_preset_is_valid_and_read_as_it_stands(name: str) -> None:
    path = ROOT / "presets" / f"{name}.yaml"
    params = load_params(path)
    assert params.model_dump(mode="json") == yaml.safe_load(path.read_text(encoding="utf-8"))
    spheric = ["slerp"] if name in ("subset", "urbansound8k") else []
    assert params.arms == ["base", "aug", "duplicate", "waveform", "specaugment", "mixup", *spheric, "resynthesis"]


def test_the_presets_are_all_there_is() -> None:
    assert sorted(path.name for path in (ROOT / "presets").iterdir()) == [
        "published.yaml",
        "quick.yaml",
        "subset.yaml",
        "urbansound8k.yaml",
    ]


def test_the_published_presets_protocol() -> None:
    params = load_params(ROOT / "presets" / "published.yaml")
    assert (params.data.split, params.features.scale, params.features.normalization) == ("random", "linear", "none")
    assert (params.features.n_samples, params.features.n_frames) == (22050, 44)
    assert (params.training.epochs, params.training.batch_size, params.training.learning_rate) == (50, 128, 1e-3)
    assert (params.training.schedule, params.training.average_decay, params.training.weight_decay) == (
        "constant",
        0.0,
        0.0,
    )


def test_derived_values() -> None:
    params = parse_params(
        changed("features.clip_seconds", 1.5)
        | {"generator": QUICK["generator"] | {"patch": 4, "channels": [32, 48, 64]}}
    )
    assert params.features.n_samples == 24000  # 1.5 s at 16 kHz
    assert params.features.n_frames == 1 + 24000 // 504
    assert params.generator.multiple == 16  # 4 x 2 x 2


LINES = [
    ("generate.per_class", REMOVED, "generate.per_class: missing, wanted a value (presets/ shows every parameter)"),
    ("training", REMOVED, "training: missing, wanted a value (presets/ shows every parameter)"),
    (
        "generate.per_clas",
        5,
        "generate.per_clas: unknown parameter, wanted one of the schema's (presets/ shows every parameter)",
    ),
    ("extra", 1, "extra: unknown parameter, wanted one of the schema's (presets/ shows every parameter)"),
    (
        "control.duplicate.times",
        2,
        "control.duplicate.times: unknown parameter, wanted one of the schema's (presets/ shows every parameter)",
    ),
    (
        "generator.learning_rate",
        "1e-3",
        "generator.learning_rate: found '1e-3', wanted a valid number "
        "(quoted, or an exponent without a point: YAML reads 1e-3 as text, write 0.001)",
    ),
    ("generator.learning_rate", "fast", "generator.learning_rate: found 'fast', wanted a valid number"),
    ("generator.learning_rate", 0.0, "generator.learning_rate: found 0.0, wanted greater than 0"),
    ("generate.per_class", True, "generate.per_class: found True, wanted a valid integer"),
    ("generate.per_class", 2.5, "generate.per_class: found 2.5, wanted a valid integer"),
    ("generate.per_class", -1, "generate.per_class: found -1, wanted greater than or equal to 0"),
    ("generate.per_class", None, "generate.per_class: found None, wanted a valid integer"),
    ("generate.alpha", [0.5, 1.5], "generate.alpha.1: found 1.5, wanted less than or equal to 1"),
    ("generate.alpha", 0.5, "generate.alpha: found 0.5, wanted a valid list"),
    ("generate.alpha", [], "generate.alpha: found [], wanted at least 1 item"),
    (
        "generate.alpha",
        [0.1, 0.2, 0.3],
        "generate.alpha: found [0.1, 0.2, 0.3], wanted at most 2 items",
    ),
    (
        "generate.method",
        "style",
        "generate.method: found 'style', wanted 'interpolation', 'variation', 'inpainting' or 'sampling'",
    ),
    ("generate.parents", 1, "generate.parents: found 1, wanted greater than or equal to 2"),
    ("generate.parents", 9, "generate.parents: found 9, wanted less than or equal to 8"),
    ("generate.strength", [1.5], "generate.strength.0: found 1.5, wanted less than or equal to 1"),
    ("generate.strength", [-0.1, 0.5], "generate.strength.0: found -0.1, wanted greater than or equal to 0"),
    ("generate.strength", [0.8, 0.2], "generate: strength is [0.8, 0.2], wanted [lowest, highest]"),
    ("generate.strength", 0.5, "generate.strength: found 0.5, wanted a valid list"),
    ("generate.keep_seconds", [0.0, 1.0], "generate.keep_seconds.0: found 0.0, wanted a valid list"),
    (
        "generate.keep_seconds",
        [[0.5]],
        "generate.keep_seconds.0: found [0.5], wanted at least 2 items",
    ),
    (
        "generate.keep_seconds",
        [[0.0, 0.5, 1.0]],
        "generate.keep_seconds.0: found [0.0, 0.5, 1.0], wanted at most 2 items",
    ),
    (
        "generate.keep_seconds",
        [[-1.0, 0.5]],
        "generate.keep_seconds.0.0: found -1.0, wanted greater than or equal to 0",
    ),
    (
        "generate.keep_seconds",
        [[0.0, 0.1], [1.0, 0.5]],
        "generate: keep_seconds is [1.0, 0.5], wanted [lowest, highest]",
    ),
    (
        "generate.keep_seconds",
        [[0.0, 0.1], [1.0, 2.5]],
        "generate.keep_seconds has the span [1.0, 2.5], wanted spans that end by features.clip_seconds (1.5)",
    ),
    ("generate.resamplings", 0, "generate.resamplings: found 0, wanted greater than or equal to 1"),
    ("generate.resamplings", 101, "generate.resamplings: found 101, wanted less than or equal to 100"),
    (
        "generate.sampler",
        "euler",
        "generate.sampler: found 'euler', wanted 'ddim', 'ddpm', 'dpm_solver', 'heun' or 'adams_bashforth'",
    ),
    ("generate.steps", 0, "generate.steps: found 0, wanted greater than or equal to 1"),
    ("generate.steps", 1001, "generate.steps is 1001, wanted at most generator.train_timesteps (1000)"),
    (
        "generate.inversion",
        "heun",
        "generate.inversion: found 'heun', wanted 'fixed_point', 'adams_bashforth' or 'ddim'",
    ),
    ("generate.inversion_iterations", 0, "generate.inversion_iterations: found 0, wanted greater than or equal to 1"),
    ("generate.max_reconstruction_db", 0.0, "generate.max_reconstruction_db: found 0.0, wanted greater than 0"),
    ("generate.guidance", -1.0, "generate.guidance: found -1.0, wanted greater than or equal to 0"),
    ("seed", -1, "seed: found -1, wanted greater than or equal to 0"),
    ("seed", 2**31, "seed: found 2147483648, wanted less than or equal to 2147483647"),
    ("classifier.batch_norm", 1, "classifier.batch_norm: found 1, wanted a valid boolean"),
    ("classifier.kernel", 0, "classifier.kernel: found 0, wanted greater than or equal to 1"),
    ("training.average_decay", 1.0, "training.average_decay: found 1.0, wanted less than 1"),
    ("training.batch_size", 1, "training.batch_size: found 1, wanted greater than or equal to 2"),
    ("features.floor_db", math.nan, "features.floor_db: found nan, wanted a finite number"),
    ("training.weight_decay", math.inf, "training.weight_decay: found inf, wanted a finite number"),
    ("folds", [1, 2, 1], "folds is [1, 2, 1], wanted every value once"),
    ("seeds", [0, 0], "seeds is [0, 0], wanted every value once"),
    ("controls", ["mixup", "mixup"], "controls is ['mixup', 'mixup'], wanted every value once"),
    ("folds", [], "folds: found [], wanted at least 1 item"),
    ("folds", 3, "folds: found 3, wanted a valid list"),
    ("seeds", [], "seeds: found [], wanted at least 1 item"),
    ("controls", "waveform", "controls: found 'waveform', wanted a valid list"),
    ("data.root", None, "data.root: found None, wanted a valid string"),
    ("folds", [0], "folds.0: found 0, wanted greater than or equal to 1"),
    ("folds", ["1"], "folds.0: found '1', wanted a valid integer"),
    ("controls", ["cutmix"], "controls.0: found 'cutmix', wanted 'duplicate', 'waveform', "),
    ("data.source", "mp3", "data.source: found 'mp3', wanted 'synthetic', 'urbansound8k' or 'directory'"),
    ("data.skip", ["loud"], "data.skip.0: found 'loud', wanted 'missing', 'unreadable', 'empty', "),
    ("data.synthetic.snr_db", [18.0, 0.0], "data.synthetic: snr_db is [18.0, 0.0], wanted [lowest, highest]"),
    ("data.download.md5", "xyz", "data.download.md5: found 'xyz', wanted "),
    (
        "data.group_pattern",
        "(a",
        "data: group_pattern is no regular expression (missing ), unterminated subpattern at position 0)",
    ),
    ("data.group_pattern", "(a)(b)", "data: group_pattern has 2 groups, wanted exactly one: the recording's id"),
    ("data.group_pattern", "a", "data: group_pattern has 0 groups, wanted exactly one: the recording's id"),
    ("features.hop_length", 2048, "features: hop_length is 2048, wanted at most n_fft (1024)"),
    (
        "features.fmax_hz",
        9000.0,
        "features: fmin_hz, fmax_hz are 0.0, 9000.0, wanted fmin < fmax <= sample_rate / 2 (8000.0)",
    ),
    (
        "features.fmin_hz",
        8000.0,
        "features: fmin_hz, fmax_hz are 8000.0, 8000.0, wanted fmin < fmax <= sample_rate / 2 (8000.0)",
    ),
    ("features.floor_db", 20.0, "features: floor_db is 20.0, wanted less than ceiling_db (20.0)"),
    ("generator.attention_levels", 9, "generator: attention_levels is 9, wanted at most "),
    ("generator", None, "generator: found None, wanted a valid dictionary"),
    ("generator", [1], "generator: found [1], wanted a valid dictionary"),
    ("training.steps", None, "training: steps is None and epochs None, wanted exactly one of them, null the other"),
    ("training.epochs", 3, "and epochs 3, wanted exactly one of them, null the other"),
]


@pytest.mark.parametrize(("where", "value", "line"), LINES)
def test_a_bad_value_is_told_in_one_line(where: str, value: Any, line: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse_params(changed(where, value))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("sampler", "allowed"),
    [("ddim", True), ("ddpm", True), ("dpm_solver", False), ("heun", False), ("adams_bashforth", False)],
)
def test_inpainting_needs_a_sampler_that_may_go_back_a_level(sampler: str, allowed: bool) -> None:
    values = changed("generate.sampler", sampler)
    assert parse_params(values).generate.sampler == sampler  # with method interpolation
    values["generate"]["method"] = "inpainting"
    if allowed:
        assert parse_params(values).generate.method == "inpainting"
        return
    with pytest.raises(StudyError) as raised:
        parse_params(values)
    wanted = "wanted ddim or ddpm with method inpainting, which goes back a level"
    assert str(raised.value) == f"generate: sampler is {sampler}, {wanted}"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("generate.method", "sampling"),
        ("generate.parents", 8),
        ("generate.strength", [0.0, 1.0]),
        ("generate.strength", [0.3]),
        ("generate.keep_seconds", []),
        ("generate.keep_seconds", [[0.0, 0.5], [1.0, 1.5], [0.7, 0.7]]),
        ("generate.resamplings", 100),
        ("generate.steps", 1000),
        ("generate.inversion", "ddim"),
        ("generate.guidance", 0.0),
        ("generate.per_class", 0),
    ],
)
def test_the_ends_of_the_ranges_are_accepted(where: str, value: Any) -> None:
    section, name = where.split(".")
    assert getattr(getattr(parse_params(changed(where, value)), section), name) == value


GENERATOR_LINES = [
    ("features.filters", "mel", "features.filters: found 'mel', wanted 'htk' or 'slaney'"),
    ("features.filters", REMOVED, "features.filters: missing, wanted a value (presets/ shows every parameter)"),
    ("generator.pretrained", "", "generator.pretrained: found '', wanted at least 1 character"),
    ("generator.pretrained", 5, "generator.pretrained: found 5, wanted a valid string"),
    ("generator.pretrained", REMOVED, "generator.pretrained: missing, wanted a value"),
    ("generator.space", "pixel", "generator.space: found 'pixel', wanted 'patch', 'whitened' or 'latent'"),
    ("generator.condition", None, "generator.condition: found None, wanted 'class', 'sound' or 'none'"),
    ("generator.validation_share", 0.6, "generator.validation_share: found 0.6, wanted less than or equal to 0.5"),
    ("generator.validation_share", -0.1, "generator.validation_share: found -0.1, wanted greater than or equal to 0"),
    ("generator.steps", -1, "generator.steps: found -1, wanted greater than or equal to 0"),
    ("generator.steps", 0, "generator: steps is 0, wanted at least 1 without a pretrained checkpoint"),
    ("generator.channels", [], "generator.channels: found [], wanted at least 1 item"),
    ("generator.train_timesteps", 9, "generator.train_timesteps: found 9, wanted greater than or equal to 10"),
    ("generator.autoencoder", None, "generator.autoencoder: found None, wanted a valid dictionary"),
    ("generator.autoencoder.channels", [], "generator.autoencoder.channels: found [], wanted at least"),
    ("generator.autoencoder.channels", [8, 0], "generator.autoencoder.channels.1: found 0, wanted greater than or"),
    ("generator.autoencoder.latent_channels", 0, "generator.autoencoder.latent_channels: found 0, wanted greater"),
    ("generator.autoencoder.steps", 0, "generator.autoencoder.steps: found 0, wanted greater than or equal to 1"),
    ("generator.autoencoder.kl_weight", -1.0, "generator.autoencoder.kl_weight: found -1.0, wanted greater than or"),
    ("generator.autoencoder.kl_weight", "1e-6", "YAML reads 1e-6 as text, write 1.0e-06)"),
    ("generator.autoencoder.learning_rate", 0.0, "generator.autoencoder.learning_rate: found 0.0, wanted greater"),
    ("generator.autoencoder.levels", 2, "generator.autoencoder.levels: unknown parameter, wanted one of the schema's"),
]


@pytest.mark.parametrize(("where", "value", "line"), GENERATOR_LINES)
def test_a_bad_generator_is_told_in_one_line(where: str, value: Any, line: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse_params(changed(where, value))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pretrained_generator_may_stay_as_it_is() -> None:
    values = changed("generator.pretrained", "teticio/audio-diffusion-ddim-256")
    values["generator"]["steps"] = 0
    assert parse_params(values).generator.steps == 0


def test_what_a_generators_images_are_padded_to() -> None:
    values = changed("generator.space", "latent")
    values["generator"] |= {"channels": [8, 8, 8], "patch": 16}
    values["generator"]["autoencoder"]["channels"] = [8, 8]
    assert parse_params(values).generator.multiple == 8  # the autoencoder halves once, the U-Net twice; no patches
    values["generator"]["autoencoder"]["channels"] = [8]
    assert parse_params(values).generator.multiple == 4
    for space in ("patch", "whitened"):
        values["generator"]["space"] = space
        assert parse_params(values).generator.multiple == 64


def test_three_mistakes_are_told_together() -> None:
    values = changed("generate.per_class", "many") | {"seed": -1, "folds": []}
    with pytest.raises(StudyError) as raised:
        parse_params(values)
    assert [part.split(":")[0] for part in str(raised.value).split("; ")] == ["seed", "folds", "generate.per_class"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "found NoneType, wanted a mapping of parameters"),
        ("- 1\n- 2\n", "found list, wanted a mapping of parameters"),
        ("seed\n", "found str, wanted a mapping of parameters"),
        ("folds: [1\nseeds: 2\n", "not valid YAML: while parsing a flow sequence"),
        ("folds:\t[1]\n\tseeds: 2\n", "not valid YAML: "),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as raised:
        load_params(path)
    assert str(raised.value).startswith(f"{path}: {line}")


def test_a_bad_values_line_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed("seed", "0")), encoding="utf-8")
    with pytest.raises(StudyError) as raised:
        load_params(path)
    assert str(raised.value).startswith(f"{path}: seed: found '0', wanted a valid integer")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as raised:
        load_params(tmp_path / "params.yaml")
    wanted = "not there, wanted a parameter file such as presets/quick.yaml"
    assert str(raised.value) == f"{tmp_path / 'params.yaml'}: {wanted}"


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("seed: 0 # schön\n".encode("latin-1"))
    with pytest.raises(StudyError, match="UTF-8"):
        load_params(path)


@pytest.mark.parametrize(
    ("where", "value", "line"),
    [
        ("generate.alpha", [0.8, 0.2], "alpha"),
        ("control.waveform.noise_snr_db", [30.0, 10.0], "noise_snr_db"),
        ("generate.steps", 1001, "steps"),  # more than generator.train_timesteps
        ("features.clip_seconds", 0.01, "n_fft"),  # half a window has to fit into the clip
    ],
)
def test_values_that_do_not_go_together(where: str, value: Any, line: str) -> None:
    with pytest.raises(StudyError, match=line):
        parse_params(changed(where, value))


def test_a_quoted_integers_hint_is_an_integer() -> None:
    with pytest.raises(StudyError) as raised:
        parse_params(changed("generate.per_class", "50"))
    assert str(raised.value).endswith("write 50)")


@pytest.mark.parametrize("text", ["1e-6", "2.5e-6", "1e-3", "1e30", "5", "0.1"])
def test_what_a_hint_says_to_write_is_read_as_that_number(text: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse_params(changed("generator.learning_rate", text))
    written = str(raised.value).split("write ")[1].rstrip(")")
    assert yaml.safe_load(written) == float(text)


def test_values_never_change() -> None:
    params = parse_params(QUICK)
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1  # type: ignore[misc]
    assert params == Params.model_validate(QUICK)
