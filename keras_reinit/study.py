"""A study: many runs, several at once, resumable, with a choice on validation data."""

import collections
import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterable

from keras_reinit import pool
from keras_reinit.config import METHODS, REGULARIZATIONS, Config
from keras_reinit.naming import names
from keras_reinit.results import (
    append_row,
    finished,
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
    setting) by mean validation accuracy after the last epoch over the first
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
    """

    base: Config = Config()
    methods: tuple = DEFAULT_METHODS
    settings: tuple = SETTINGS
    stages: tuple = ()
    seeds: tuple = (0, 1, 2, 3)
    tuning_seeds: int = 2
    learning_rates: tuple = (0.01, 0.03, 0.1)
    weight_decays: tuple = (5e-4, 5e-3)

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
        if not 1 <= self.tuning_seeds <= len(self.seeds):
            raise ValueError(
                f"`tuning_seeds` must be in [1, {len(self.seeds)}], the number of "
                f"seeds. Received: tuning_seeds={self.tuning_seeds!r}"
            )
        self.search_configs()  # Each config checks itself.

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

    def search_configs(self):
        """The runs that the choice is made on."""
        return [
            dataclasses.replace(config, seed=seed)
            for seed in self.seeds[: self.tuning_seeds]
            for cell in self.cells()
            for config in cell
        ]

    def final_configs(self, rows):
        """The runs that are compared: the chosen config of each cell, every seed."""
        tuning = self.seeds[: self.tuning_seeds]
        # A cell whose runs all fail keeps its place, with the reason, in the verdict.
        chosen = [choose(cell, rows, tuning) or cell[0] for cell in self.cells()]
        return [
            dataclasses.replace(config, seed=seed)
            for seed in self.seeds
            for config in chosen
        ]


def choose(cell, rows, seeds):
    """The config of a cell with the best mean validation accuracy over `seeds`.

    Returns:
        A `Config`, or `None` if none of them has finished on every seed.
    """
    done = {key_of(row["config"]): row for row in finished(rows)}

    def score(config):
        keys = [key_of(dataclasses.replace(config, seed=seed)) for seed in seeds]
        if not all(key in done for key in keys):
            return None
        return mean_validation([done[key] for key in keys])

    scored = [(score(config), config) for config in cell]
    scored = [pair for pair in scored if pair[0] is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def key_of(config):
    """A string that is the same for equal configs, given as `Config` or as dict."""
    config = _plain(config)
    fields = (field.name for field in dataclasses.fields(config) if field.compare)
    return json.dumps({name: getattr(config, name) for name in fields}, sort_keys=True)


def cell_of(config):
    """The `Config` that all candidates and seeds of a cell share."""
    return dataclasses.replace(
        _plain(config), learning_rate=1.0, weight_decay=0.0, seed=0
    )


def _plain(config):
    """A `Config`, of standard training, which has no stages, with one."""
    if isinstance(config, dict):
        # Rows may be older than a field: they were run with what is its default.
        config = Config(**config)
    if config.method == "standard":
        config = dataclasses.replace(config, stages=1)
    return config


def run_study(study, path, **runs):
    """Runs what is missing of a study and returns the rows that are compared.

    Args:
        study: A `Study`.
        path: Path of the `rows.jsonl`.
        **runs: As of `run_all`: `processes`, `folder`, `report`, `run`.
    """
    report = runs.setdefault("report", print)
    report("Choosing learning rate and weight decay on validation data:")
    others = len(study.seeds) - study.tuning_seeds
    later = others * len(list(study.cells()))
    run_all(study.search_configs(), path, later=later, **runs)
    report("Running the chosen ones on every seed:")
    final = study.final_configs(read_rows(path))
    run_all(final, path, **runs)
    return select(final, read_rows(path))


def select(configs, rows):
    """The last row of each config that has one, in the order of the configs."""
    latest = {key_of(row["config"]): row for row in rows}
    keys = dict.fromkeys(key_of(config) for config in configs)
    return [latest[key] for key in keys if key in latest]


def compared(rows):
    """The rows that a study compares, read off its rows alone.

    In each cell the chosen hyperparameters are those that ran on the most seeds; of
    several, those with the best mean validation accuracy.
    """
    cells = collections.defaultdict(lambda: collections.defaultdict(list))
    configs = {key_of(row["config"]): Config(**row["config"]) for row in rows}
    for row in select(configs.values(), rows):
        config = row["config"]
        rates = config["learning_rate"], config["weight_decay"]
        cells[cell_of(config)][rates].append(row)
    # As in `choose`, the first of equals in the order of the grid.
    tried = [dict(sorted(cell.items())).values() for cell in cells.values()]
    chosen = [max(candidates, key=_standing) for candidates in tried]
    return in_order(row for cell in chosen for row in cell)


def in_order(rows):
    """Rows as tables have them: by setting, method and seed."""
    return sorted(rows, key=lambda row: _place(row["config"]))


def _standing(rows):
    done = finished(rows)
    return len(done), mean_validation(done) if done else 0


def _place(config):
    numbers = [config[name] or 0 for name in ("train_size", "width", "epochs")]
    noise = config["label_noise"], config.get("noise", ""), config.get("augment", "")
    regularization = REGULARIZATIONS.index(config["regularization"])
    method = METHODS.index(config["method"]), config["stages"]
    return regularization, noise, *numbers, *method, config["seed"]


def run_all(
    configs, path, *, processes=None, folder=None, report=print, later=0,
    run=pool.train,
):  # fmt: skip
    """Runs each config that has no finished row in `path` and appends its row.

    Only this process writes, a row at a time, so an interruption loses nothing but
    the runs in flight. A run that fails leaves a row with its reason and is tried
    again by the next call.

    Args:
        configs: List of `Config`.
        path: Path of the `rows.jsonl`.
        processes: Integer >= 1, runs at once; with more than one, each has one thread.
            By default one for each core.
        folder: Where the data set lies, see `keras_reinit.data.load`.
        report: Called with each line of progress.
        later: Integer, runs that the caller has in store; the estimate of the time
            left counts them.
        run: Function of a module that takes a config and a folder and returns a row.
    """
    path = pathlib.Path(path)
    writable_folder(path.parent)
    processes = pool.default_processes() if processes is None else processes
    done = {key_of(row["config"]) for row in finished(read_rows(path))}
    waiting = {key_of(c): c for c in configs if key_of(c) not in done}
    report(f"  {len(waiting)} runs to do, {len(configs) - len(waiting)} done before")
    if not waiting:
        return
    began = time.time()
    named = dict(
        zip(waiting, names([_as_row(c) for c in waiting.values()]), strict=True)
    )
    running = pool.outcomes(list(waiting.values()), processes, folder, run)
    with contextlib.closing(running) as outcomes:
        for count, (config, row) in enumerate(outcomes, 1):
            append_row(path, row)
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
