"""The command that makes a row again, from its config."""

import collections
import dataclasses
import shlex

from keras_reinit.config import Config
from keras_reinit.naming import names
from keras_reinit.report.page import Section
from keras_reinit.results import kind

# What a study has several values of where none is given.
TUNED = ("method", "regularization", "label_noise", "learning_rate", "weight_decay")


def command(row, without=()):
    """The command line of the run that a row tells of.

    Args:
        row: A result row.
        without: Fields that are left out.

    Example:

    >>> config = dataclasses.asdict(Config(method="rifle", stages=4))
    >>> command({"config": config})
    'python -m benchmarks.train --method=rifle --stages=4'
    """
    if row["config"] is None:
        return "a run whose configuration was not valid"
    if row.get("given"):
        return _call(row, without)
    default = dataclasses.asdict(Config())
    told, script = (), ["benchmarks.train"]
    if kind(row) != "training":
        told = TUNED
        script = ["benchmarks.study", f"--kind={kind(row)}", "--seeds=1"]
    given = {
        name: value
        for name, value in row["config"].items()
        if name in default
        and (value != default[name] or name in told)
        and name not in without
    }
    if row.get("strategy", "none") != "none":
        given["strategy"] = row["strategy"]
    flags = [f"--{name}={value}" for name, value in sorted(given.items())]
    return " ".join(["python -m", *script, *map(shlex.quote, flags)])


def _call(row, without):
    """A run on data or with a network that no command line can name."""
    default = dataclasses.asdict(Config())
    fields = [
        f"{name}={value!r}"
        for name, value in row["config"].items()
        if value != default.get(name) and name not in without
    ]
    given = [f"{name}=..." for name in row["given"]]
    return f"training.run(Config({', '.join(fields)}), {', '.join(given)})"


def shared_fields(rows):
    """The fields of a config that have one value in all rows, as a dict."""
    configs = [row["config"] for row in rows if row["config"]]
    first = configs[0] if configs else {}
    return {
        name: value
        for name, value in sorted(first.items())
        if all(config.get(name) == value for config in configs)
    }


def section(rows):
    """The commands of rows that are compared, one for each cell with its seeds."""
    groups = collections.defaultdict(list)
    for row, (setting, method) in zip(rows, names(rows), strict=True):
        groups[setting, method, command(row, ("seed",))].append(row["config"]["seed"])
    lines = tuple(
        (setting, method, line, ", ".join(map(str, seeds)))
        for (setting, method, line), seeds in groups.items()
    )
    return Section(
        "Each row again",
        ("One command for each row: with --seed= each of the seeds.",),
        header=("Setting", "Method", "Command", "Seeds"),
        lines=lines,
        folded=True,
    )
