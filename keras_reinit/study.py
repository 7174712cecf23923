"""A study: many runs, several at once, resumable, with a choice on validation data."""

import collections
import contextlib
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterable

from keras_reinit import data, pool
from keras_reinit.arguments import check_choice, checked_integer
from keras_reinit.config import METHODS, REGULARIZATIONS, Config
from keras_reinit.naming import names
from keras_reinit.results import (
    REPORT_EPOCHS,
    append_row,
    finished,
    kind,
    mean_validation,
    read_rows,
    writable_folder,
)

DEFAULT_METHODS = (
    "standard",
    "shrink_perturb",
    "layerwise",
    "born_again",
    "shrink_perturb+distillation",
)
# The paper's first figure.
SETTINGS = (
    {"regularization": "none", "label_noise": 0.0},
    {"regularization": "DCW", "label_noise": 0.0},
    {"regularization": "DCW", "label_noise": 0.4},
)


@dataclasses.dataclass(frozen=True)
class Study:
    """Methods x settings x seeds, each cell at its own tuned hyperparameters.

    Learning rate and, with W, weight decay are chosen for each cell (method and
    setting) by mean validation accuracy at `report_epoch` over the first
    `tuning_seeds` seeds; the chosen pair then runs on the other seeds too. Test data
    have no part in the choice.

    Attributes:
        base: `Config` of all that the study does not vary.
        methods: Tuple of names in `config.METHODS`.
        settings: Tuple of dicts, the fields of `Config` that make a setting.
        stages: Tuple of integers, numbers of stages to compare; by default the base's.
            Standard training, which has none, takes the first.
        seeds: Tuple of integers; methods are compared seed by seed.
        tuning_seeds: Integer in [1, len(seeds)].
        learning_rates, weight_decays: Tuples of floats, the grid.
        report_epoch: `"final"`, the last epoch, or `"best"`, the epoch with the best
            validation accuracy (early stopping).
        tune: `"each"` chooses for each method; `"standard"` chooses for standard
            training alone, in each setting, and every other method takes that.
    """

    base: Config = Config()
    methods: tuple = DEFAULT_METHODS
    settings: tuple = SETTINGS
    stages: tuple = ()
    seeds: tuple = (0, 1, 2, 3)
    tuning_seeds: int = 2
    learning_rates: tuple = (0.01, 0.03, 0.1)
    weight_decays: tuple = (5e-4, 5e-3)
    report_epoch: str = "final"
    tune: str = "each"

    def __post_init__(self):
        for name in ("methods", "settings", "stages", "seeds", "learning_rates",
                     "weight_decays"):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, (str, dict)) or not isinstance(value, Iterable):
                raise ValueError(
                    f"`{name}` must be a tuple. Received: {name}={value!r}"
                )
        if not len(self.seeds):
            raise ValueError("`seeds` must have at least one. Received: seeds=()")
        checked_integer("tuning_seeds", self.tuning_seeds, 1, len(self.seeds))
        check_choice("report_epoch", self.report_epoch, REPORT_EPOCHS)
        check_choice("tune", self.tune, ("each", "standard"))
        if self.tune == "standard" and "standard" not in self.methods:
            raise ValueError(
                "`methods` must have 'standard' for tune='standard'. "
                f"Received: methods={self.methods}"
            )
        list(self.cells())  # Each config checks itself.

    def cells(self):
        """Yields the grid of each cell: configs that differ in the tuned values."""
        for setting in self.settings:
            for method in self.methods:
                for stages in self._stages(method):
                    cell = dataclasses.replace(
                        self.base, method=method, stages=stages, **setting
                    )
                    yield self._grid(cell)

    def _stages(self, method):
        stages = self.stages or (self.base.stages,)
        return stages[:1] if method == "standard" else stages

    def _grid(self, cell):
        decays = self.weight_decays if "W" in cell.regularization else (0.0,)
        return [
            dataclasses.replace(cell, learning_rate=rate, weight_decay=decay)
            for rate in self.learning_rates
            for decay in decays
        ]

    def _tuned_on(self, cell):
        """The cell whose runs the hyperparameters of a cell are chosen on."""
        if self.tune == "each":
            return cell
        stages = self._stages("standard")[0]
        return [dataclasses.replace(c, method="standard", stages=stages) for c in cell]

    def search_configs(self):
        """The runs that the choice is made on."""
        tuned = [config for cell in self.cells() for config in self._tuned_on(cell)]
        return [
            dataclasses.replace(config, seed=seed)
            for seed in self.seeds[: self.tuning_seeds]
            for config in dict.fromkeys(tuned)
        ]

    def final_configs(self, rows):
        """The runs that are compared: the chosen config of each cell, every seed."""
        done, tuning = by_key(finished(rows)), self.seeds[: self.tuning_seeds]
        chosen = []
        for cell in self.cells():
            tuned = self._tuned_on(cell)
            best = choose(tuned, done, tuning, self.report_epoch)
            # A cell whose runs all fail keeps its place, with the reason.
            chosen.append(cell[0 if best is None else tuned.index(best)])
        return [
            dataclasses.replace(config, seed=seed)
            for seed in self.seeds
            for config in chosen
        ]


def by_key(rows):
    """Dict from `key_of` a config to the last row that has it."""
    return {key_of(row["config"]): row for row in rows}


def choose(cell, rows, seeds, when="final"):
    """The config of a cell with the best mean validation accuracy over `seeds`.

    Args:
        cell: List of `Config`.
        rows: Finished rows, as a dict of `by_key`.
        seeds: Integers.
        when: One of `keras_reinit.results.REPORT_EPOCHS`.

    Returns:
        A `Config`, or `None` if none of them has finished on every seed.
    """

    def score(config):
        keys = [key_of(dataclasses.replace(config, seed=seed)) for seed in seeds]
        if not all(key in rows for key in keys):
            return None
        return mean_validation([rows[key] for key in keys], when)

    scored = [(score(config), config) for config in cell]
    scored = [pair for pair in scored if pair[0] is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


_FIELDS = {f.name: f.default for f in dataclasses.fields(Config) if f.compare}
_FREE = {f.name for f in dataclasses.fields(Config) if not f.compare}


def key_of(config):
    """A string that is the same for equal configs, given as `Config` or as dict."""
    return json.dumps(_decided(config), sort_keys=True)


def cell_of(config):
    """A string that is the same for all candidates and seeds of a cell."""
    shared = {"learning_rate": 1.0, "weight_decay": 0.0, "seed": 0}
    return json.dumps({**_decided(config), **shared}, sort_keys=True)


def _decided(config):
    """All fields that decide numbers; standard training has no stages."""
    given = config if isinstance(config, dict) else vars(config)
    # Rows may be older than a field: they were run with what is its default.
    fields = {**_FIELDS, **given}
    if fields["method"] == "standard":
        fields["stages"] = 1
    return {name: fields[name] for name in fields.keys() - _FREE}


@dataclasses.dataclass
class Runs:
    """Runs of one kind, and the file with their rows.

    A row counts for a config only if all that decided it is the same: the fields of
    the config, the kind of run, the strategy, and the contents of the data set.

    Attributes:
        path: Path of the `rows.jsonl`.
        folder: Where the data set lies, see `keras_reinit.data.load`.
        kind: `"training"`, `"online"` or `"memorization"`.
        strategy: One of `keras_reinit.training.STRATEGIES`.
    """

    path: pathlib.Path
    folder: str | None = None
    kind: str = "training"
    strategy: str = "none"

    def __post_init__(self):
        self.path = pathlib.Path(self.path)
        self._fingerprint = functools.cache(data.fingerprint)

    def rows(self, configs):
        """The rows of some configs, in the order of the file."""
        keys = {key_of(config) for config in configs}
        rows = [row for row in read_rows(self.path) if row.get("config")]
        return [
            row for row in rows if key_of(row["config"]) in keys and self._are_of(row)
        ]

    def _are_of(self, row):
        same = kind(row) == self.kind and row.get("strategy", "none") == self.strategy
        # On data or with a network of the caller's own.
        return same and not row.get("given") and self._has_same_data(row)

    def _has_same_data(self, row):
        dataset = row["config"].get("dataset", Config.dataset)
        if row["status"] != "ok":
            return True
        if "data" not in row:  # It is older. A published data set does not change.
            return dataset in data.DATASETS
        return row["data"] == self._fingerprint(dataset, self.folder)


def run_study(study, runs, **options):
    """Runs what is missing of a study and returns the rows that are compared.

    Args:
        study: A `Study`.
        runs: A `Runs`, or the path of the `rows.jsonl`.
        **options: As of `run_all`: `processes`, `report`, `run`.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    report = options.setdefault("report", print)
    report(
        "Choosing learning rate and weight decay on validation data:"
        if study.tune == "each"
        else "Choosing learning rate and weight decay of standard training:"
    )
    search = study.search_configs()
    others = len(study.seeds) - study.tuning_seeds
    later = others * len(list(study.cells()))
    run_all(search, runs, later=later, **options)
    report("Running the chosen ones on every seed:")
    final = study.final_configs(runs.rows(search))
    run_all(final, runs, **options)
    return select(final, runs.rows(final))


def select(configs, rows):
    """The last row of each config that has one, in the order of the configs."""
    latest = by_key(rows)
    keys = dict.fromkeys(key_of(config) for config in configs)
    return [latest[key] for key in keys if key in latest]


def comparable(rows):
    """Those of some rows that reports can take, with all fields of a `Config`.

    Left out are rows without a config, of methods or regularizations that this version
    does not know, and rows of finished runs without their results.
    """
    return [
        {**row, "config": {**_FIELDS, **row["config"]}}
        for row in rows
        if isinstance(row.get("config"), dict) and _is_known(row)
    ]


def _is_known(row):
    config = {**_FIELDS, **row["config"]}
    known = config.keys() <= _FIELDS.keys() | _FREE
    known = known and config["method"] in METHODS
    known = known and config["regularization"] in REGULARIZATIONS
    if row.get("status") != "ok":
        return known and row.get("status") == "failed"
    accuracies = ("test_accuracy", "validation_accuracy")
    epochs = REPORT_EPOCHS if kind(row) == "training" else ("final",)
    return known and all(
        isinstance(row.get(when, {}).get(name), float | int)
        for when in epochs
        for name in accuracies
    )


def compared(rows, when="final"):
    """The rows that a study compares, read off its rows alone.

    In each cell the chosen hyperparameters are those that ran on the most seeds; of
    several, those with the best mean validation accuracy.

    Args:
        rows: Rows with a config.
        when: One of `keras_reinit.results.REPORT_EPOCHS`, for the validation accuracy.
    """

    def standing(rows):
        done = finished(rows)
        return len(done), mean_validation(done, when) if done else 0

    cells = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in by_key(rows).values():
        config = row["config"]
        rates = config["learning_rate"], config["weight_decay"]
        cells[cell_of(config)][rates].append(row)
    # As in `choose`, the first of equals in the order of the grid.
    tried = [dict(sorted(cell.items())).values() for cell in cells.values()]
    chosen = [max(candidates, key=standing) for candidates in tried]
    return in_order(row for cell in chosen for row in cell)


def in_order(rows):
    """Rows as tables have them: by setting, method and seed."""
    return sorted(rows, key=lambda row: _place(row["config"]))


def _place(config):
    sizes = ("train_size", "width", "stem_stride", "epochs")
    numbers = [config.get(name) or 0 for name in sizes]
    noise = config["label_noise"], config.get("noise", ""), config.get("augment", "")
    regularization = REGULARIZATIONS.index(config["regularization"])
    method = METHODS.index(config["method"]), config["stages"]
    return regularization, noise, *numbers, *method, config["seed"]


def run_all(configs, runs, *, processes=None, report=print, later=0, run=pool.train):
    """Runs each config that has no finished row and appends its row.

    Only this process writes, a row at a time, so an interruption loses nothing but
    the runs in flight. A run that fails leaves a row with its reason and is tried
    again by the next call.

    Args:
        configs: List of `Config`.
        runs: A `Runs`, or the path of the `rows.jsonl`.
        processes: Integer >= 1, runs at once; with more than one, each has one thread.
            By default one for each core.
        report: Called with each line of progress.
        later: Integer, runs that the caller has in store; the estimate of the time
            left counts them.
        run: Function of a module that takes a config and a folder and returns a row,
            of the kind and strategy that `runs` has.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    writable_folder(runs.path.parent)
    processes = pool.default_processes() if processes is None else processes
    checked_integer("processes", processes, low=1)
    done = by_key(finished(runs.rows(configs)))
    waiting = {key_of(c): c for c in configs if key_of(c) not in done}
    report(f"  {len(waiting)} runs to do, {len(configs) - len(waiting)} done before")
    if not waiting:
        return
    began = time.time()
    named = dict(
        zip(waiting, names([_as_row(c) for c in waiting.values()]), strict=True)
    )
    running = pool.outcomes(list(waiting.values()), processes, runs.folder, run)
    with contextlib.closing(running) as outcomes:
        for count, (config, row) in enumerate(outcomes, 1):
            # A row of a failed run does not say what it would have been.
            row = {"kind": runs.kind, "strategy": runs.strategy, **row}
            append_row(runs.path, row)
            left = (time.time() - began) / count * (len(waiting) - count + later)
            run_name = ", ".join(reversed(named[key_of(config)]))
            report(
                f"  [{count}/{len(waiting)}] {run_name}, seed {config.seed}: "
                f"{_outcome(row)}, about {_clock(left)} left"
            )


def _as_row(config):
    return {"config": dataclasses.asdict(config)}


def _outcome(row):
    if row["status"] != "ok":
        return f"failed: {row.get('reason')}"
    return f"validation {row['final']['validation_accuracy']:.3f}"


def _clock(seconds):
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
