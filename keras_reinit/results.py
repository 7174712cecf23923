"""Result rows: one JSON line a run, and honest intervals over seeds."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics

import numpy as np
from scipy import stats

from keras_reinit.schedules import Stages

fcntl = None
with contextlib.suppress(ImportError):  # Not on Windows.
    import fcntl


def append_row(path, row):
    """Appends one row to a `rows.jsonl`; a line cut off by a crash is closed first.

    Several processes may do so at a time.

    Raises:
        ValueError: For a row with what JSON cannot hold, such as a NaN.
    """
    path = pathlib.Path(path)
    line = json_line(row)
    with open(path, "a", encoding="utf-8") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        torn = path.stat().st_size and not _ends_with_newline(path)
        file.write(("\n" if torn else "") + line + "\n")
        file.flush()
        os.fsync(file.fileno())


def json_line(row):
    """A row as one line of JSON.

    Raises:
        ValueError: For what JSON cannot hold; the message says where it stands.

    Example:

    >>> json_line({"history": {"loss": [1.0, float("nan")]}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: `row` must have ... Received: nan at history.loss.1
    """
    try:
        return json.dumps(row, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        place, value = _not_json(row)
        raise ValueError(
            "`row` must have finite numbers, strings, lists and dicts. "
            f"Received: {value!r} at {place}"
        ) from error


def _not_json(value, place=""):
    """The first value inside that JSON cannot hold, and the path to it."""
    inner = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, (list, tuple)):
        inner = enumerate(value)
    for key, one in inner:
        try:
            json.dumps(one, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError):
            return _not_json(one, f"{place}.{key}" if place else str(key))
    return place, value


def read_rows(path):
    """Returns the rows of a `rows.jsonl`; lines that a crash cut off are left out."""
    return [row for row in map(_parsed, _lines(path)) if row is not None]


class NewRows:
    """Reads a `rows.jsonl` that grows: what was read is not read again.

    Example:

    >>> import tempfile
    >>> rows = NewRows(tempfile.mkdtemp() + "/rows.jsonl")
    >>> append_row(rows.path, {"seed": 0})
    >>> rows.read(), rows.read()
    ([{'seed': 0}], [])
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._read = 0

    def read(self):
        """Returns the rows since the last time; half a line waits for its rest."""
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._read)
            *lines, last = file.read().split(b"\n")
        if _parsed(last) is not None:
            lines.append(last)  # A crash may have cut off the end of the line alone.
        self._read += sum(len(line) + 1 for line in lines)
        return [row for row in map(_parsed, lines) if row is not None]


def unreadable_lines(path):
    """How many lines of a `rows.jsonl` are no rows."""
    return sum(_parsed(line) is None for line in _lines(path))


def _lines(path):
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [line for line in text.splitlines() if line.strip()]


def _parsed(line):
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # No JSON, no text, or nested too deep.
        return None
    return row if isinstance(row, dict) else None


def finished(rows):
    """The rows of runs that came to their end."""
    return [row for row in rows if row["status"] == "ok"]


# After the last epoch, or at the epoch with the best validation accuracy.
REPORT_EPOCHS = ("final", "best")


def mean_validation(rows, when="final"):
    """Mean validation accuracy of finished rows, at one of `REPORT_EPOCHS`."""
    return statistics.mean(row[when]["validation_accuracy"] for row in rows)


def kind(row):
    """What a run was: `"training"`, `"online"` or `"memorization"`."""
    if "kind" in row:
        return row["kind"]
    # Older rows do not say.
    if "curves" in row:
        return "memorization"
    final = row.get("final")
    return "online" if isinstance(final, dict) and "examples" in final else "training"


def schedule_of(row):
    """The `Stages` that a row's run had."""
    config = row["config"]
    longer = config.get("full_budget") and config["method"] != "standard"
    stages = config["stages"]
    return Stages(config["epochs"] * (stages if longer else 1), stages)


def by_seed(rows, when="final", metric="test_accuracy"):
    """Dict from seed to a metric, after the last (`"final"`) or the best epoch."""
    return {row["config"]["seed"]: row[when][metric] for row in rows}


def code_notes(rows):
    """What to keep in mind of the code that made some rows, a list of sentences.

    Example:

    >>> rows = [{"status": "ok", "commit": commit} for commit in ("1a2b", "3c4d-dirty")]
    >>> code_notes(rows)  # doctest: +NORMALIZE_WHITESPACE
    ['Rows of 2 versions of the code are compared: 1a2b (1 row), 3c4d-dirty (1 row).',
     'Dirty: the code had changes that were not committed.']
    """
    commits = collections.Counter(row.get("commit") for row in finished(rows))
    named = [
        f"{commit or 'not recorded'} ({count} row{'s' * (count > 1)})"
        for commit, count in commits.items()
    ]
    notes = []
    if len(named) > 1:
        notes.append(
            f"Rows of {len(named)} versions of the code are compared: "
            f"{', '.join(sorted(named))}."
        )
    if any(str(commit).endswith("-dirty") for commit in commits):
        notes += [f"The code is {named[0]}."] if len(named) == 1 else []
        notes.append("Dirty: the code had changes that were not committed.")
    return notes


def stage_fits(rows):
    """Tuple of the mean training accuracies at the end of each stage."""
    ends = [row["stages"] for row in rows if "stages" in row]
    if len(set(map(len, ends))) > 1:  # Of standard training, from several studies.
        ends = [some[-1:] for some in ends]
    stages = zip(*ends, strict=True)
    return tuple(
        statistics.mean(end["train_accuracy"] for end in ends) for ends in stages
    )


@dataclasses.dataclass(frozen=True)
class Interval:
    """Mean of n values with its 95% confidence interval (Student's t).

    The interval is infinite for n = 1: one seed says nothing about the spread.

    Example:

    >>> interval = Interval.of([0.9, 0.92, 0.94])
    >>> round(interval.mean, 2), round(interval.low, 2), round(interval.high, 2)
    (0.92, 0.87, 0.97)
    """

    mean: float
    half_width: float
    n: int

    @classmethod
    def of(cls, values):
        """From a sequence of at least one number."""
        values = np.asarray(values, "float64")
        n = len(values)
        half_width = float("inf")
        if n > 1:
            error = values.std(ddof=1) / n**0.5
            half_width = float(stats.t.ppf(0.975, n - 1) * error)
        return cls(float(values.mean()), half_width, n)

    @property
    def low(self):
        """Lower end."""
        return self.mean - self.half_width

    @property
    def high(self):
        """Upper end."""
        return self.mean + self.half_width

    def __str__(self):
        return f"{self.mean:.3f} ± {self.half_width:.3f}"

    def signed(self, digits=3):
        """The mean and both ends with their signs, as of a difference."""
        low, high = (f"{end:+.{digits}f}" for end in (self.low, self.high))
        return f"{self.mean:+.{digits}f} [{low}, {high}]"


def paired_difference(values, baseline):
    """`Interval` of the differences over the seeds that both have.

    Args:
        values, baseline: Dicts from seed to number.

    Returns:
        `Interval`, or `None` if they share no seed.
    """
    seeds = sorted(values.keys() & baseline.keys())
    return Interval.of([values[s] - baseline[s] for s in seeds]) if seeds else None


def verdict(difference):
    """One word for a paired difference to standard training.

    "helps" or "hurts" if the whole 95% interval lies above or below zero, else "no
    clear effect"; so are fewer than three seeds, and differences that are all equal (of
    accuracies counted on one test set, those say little). Each cell is judged on its
    own: of twenty cells without any effect one is expected to be called wrongly.

    Example:

    >>> verdict(Interval(0.02, 0.01, n=4)), verdict(Interval(0.02, 0.03, n=4))
    ('helps', 'no clear effect')
    """
    if difference is None:
        return ""
    if difference.n < 3 or difference.half_width == 0:
        return "no clear effect"
    if difference.low > 0:
        return "helps"
    return "hurts" if difference.high < 0 else "no clear effect"


def markdown_table(header, lines):
    """A Markdown table of sequences of strings.

    Example:

    >>> print(markdown_table(["Method", "n"], [["standard", "4"]]))
    | Method | n |
    | --- | --- |
    | standard | 4 |
    """
    table = [header, ["---"] * len(header), *lines]
    rows = (map(inert, line) for line in table)
    return "\n".join(f"| {' | '.join(line)} |" for line in rows)


def inert(text):
    """Text that stays one line of a table and no HTML, whatever names are in it."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _ends_with_newline(path):
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
