"""Presets: the flags of the paper's tables and figures, and the rows they made."""

import dataclasses
import functools
import pathlib

from keras_reinit import results, study
from keras_reinit.config import METHODS, Config

FOLDER = pathlib.Path(__file__).parent
RESULTS = FOLDER.parent / "results"
DEFAULTS = dataclasses.asdict(Config())
# Chosen for each cell or for the machine, or one of several.
FREE = ("learning_rate", "weight_decay", "seed", "dtype_policy", "steps_per_execution")


def names():
    """The names of all presets, such as `"digits/noise"`."""
    files = [file.relative_to(FOLDER) for file in FOLDER.rglob("*.flags")]
    return sorted(file.with_suffix("").as_posix() for file in files)


def path(name):
    """The file of flags of a preset."""
    return FOLDER / f"{name}.flags"


def flags(name):
    """Dict from each flag of a preset to its values, a list of strings."""
    lines = path(name).read_text(encoding="utf-8").splitlines()
    pairs = [line[2:].split("=", 1) for line in lines if line.startswith("--")]
    return {flag: values.split(",") for flag, values in pairs}


def config(name):
    """The `Config` of a preset; of several values of a flag, with the first."""
    first = {flag: values[0] for flag, values in flags(name).items()}
    return Config(
        **{
            field: _typed(first[field], default)
            for field, default in DEFAULTS.items()
            if field in first
        }
    )


def _typed(text, default):
    if isinstance(default, bool):
        return text.lower() == "true"
    return (int if default is None else type(default))(text)


def report_epoch(name):
    """The epoch that a preset compares, one of `keras_reinit.results.REPORT_EPOCHS`."""
    return flags(name).get("report_epoch", ["final"])[0]


def folder(name):
    """Where the committed rows of a preset lie."""
    return RESULTS / pathlib.Path(flags(name)["output"][0]).name


def rows(name, whole=False):
    """The committed rows that a preset compares.

    Args:
        name: Of `names`.
        whole: Whether all of its rows are wanted, also those that hyperparameters were
            chosen on.
    """
    given = flags(name)
    of_preset = [row for row in _read(folder(name)) if _fits(row["config"], given)]
    if whole:
        return study.in_order(of_preset)
    return study.compared(of_preset, report_epoch(name))


@functools.lru_cache
def _read(folder):
    """A page asks for the same rows many times."""
    return tuple(results.read_rows(folder / "rows.jsonl"))


def _fits(config, given):
    if config is None:
        return False
    config = {**DEFAULTS, **config}  # Rows may be older than a field.
    if config["method"] == "standard":  # It has no stages, and takes the first.
        given = {**given, "stages": given.get("stages", ["5"])[:1]}
    if given.get("method") == ["all"]:
        given = {**given, "method": METHODS}
    defaults = DEFAULTS
    if "regularization" not in given and "label_noise" not in given:
        settings = [
            {"regularization": "none", "label_noise": 0.0, **setting}
            for setting in study.SETTINGS
        ]
        if not any(setting.items() <= config.items() for setting in settings):
            return False
        free = {name: config[name] for name in ("regularization", "label_noise")}
        defaults = {**DEFAULTS, **free}
    return all(
        _is_among(config[name], given.get(name, [str(default)]), default)
        for name, default in defaults.items()
        if name not in FREE and not (name == "method" and "method" not in given)
    ) and ("method" in given or config["method"] in study.DEFAULT_METHODS)


def _is_among(value, texts, default):
    if isinstance(default, float):
        return value in map(float, texts)
    return str(value).lower() in [text.lower() for text in texts]
