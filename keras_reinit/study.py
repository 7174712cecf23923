"""A study: many runs, several at once, resumable, with a choice on validation data."""

import collections
import dataclasses
from collections.abc import Iterable

from keras_reinit.arguments import check_choice, checked_integer
from keras_reinit.config import METHODS, REGULARIZATIONS, Config
from keras_reinit.console import say
from keras_reinit.results import REPORT_EPOCHS, finished, mean_validation
from keras_reinit.runs import Runs, by_key, cell_of, context_of, key_of, run_all
from keras_reinit.storage import held, writable_folder

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


def run_study(study, runs, **options):
    """Runs what is missing of a study and returns the rows that are compared.

    Args:
        study: A `Study`.
        runs: A `Runs`, or the path of the `rows.jsonl`.
        **options: As of `run_all`: `processes`, `report`, `run`.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    report = options.setdefault("report", say)
    search = study.search_configs()
    others = len(study.seeds) - study.tuning_seeds
    later = others * len(list(study.cells()))
    of_whom = "" if study.tune == "each" else " of standard training"
    with held(writable_folder(runs.path.parent)):
        report(f"Choosing learning rate and weight decay{of_whom} on validation data:")
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

    latest = {(key_of(row["config"]), context_of(row)): row for row in rows}
    cells = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in latest.values():
        config = row["config"]
        rates = config["learning_rate"], config["weight_decay"]
        cells[cell_of(config), context_of(row)][rates].append(row)
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
