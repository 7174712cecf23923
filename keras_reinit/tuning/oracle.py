"""Which cell of a grid is next, known from the rows that there are."""

import collections
import contextlib
import threading
import time

import keras_tuner
from keras_tuner.engine import trial as trials

from keras_reinit.console import say
from keras_reinit.results import NewRows, append_row, read_rows
from keras_reinit.runs import known_rows
from keras_reinit.tuning.heartbeat import Watch

RUNNING, STOPPED, IDLE, INVALID = "RUNNING", "STOPPED", "IDLE", "INVALID"
WATCH_SECONDS = 5.0
# A trial that has ended so many workers is given up: it may need too much memory.
DEATHS = 3


class GridOracle(keras_tuner.Oracle):
    """Hands out each cell of a grid once, whoever was interrupted and when.

    The rows of finished trainings are all that it remembers: there is no other state
    to lose. A trial whose worker no longer gives a sign of life is handed out again.

    Args:
        objective: See `keras_tuner.Oracle`.
        folder: Path of the search, with its `rows.jsonl`.
        seeds: Integers; every combination is trained once with each.
        list_cells: Function that returns what `keras_reinit.tuning.cells.cells` does.
        report: Function that takes lines of progress.
    """

    def __init__(self, objective, folder, seeds, list_cells, report=say):
        super().__init__(objective)
        self.max_consecutive_failed_trials = None  # Failures are rows like others.
        self.verbose = 0  # `report` tells.
        self._path = folder / "rows.jsonl"
        self._rows, self._new = NewRows(self._path), []
        self._watch = Watch(folder)
        self._seeds = seeds
        self._list_cells = list_cells
        self._report = report
        self._cells = None
        self._deaths = collections.Counter()
        self._began = time.time()

    def begin(self):
        """Takes over what was finished before."""
        self._cells = self._list_cells()
        self.hyperparameters.Choice("seed", list(self._seeds))
        self._settle(row for row in self._read_rows() if not may_differ(row))
        self._before = len(self.end_order)
        self._report(f"{len(self._cells)} cells, {self._before} done before")

    def rows(self):
        """The last row of each cell that has one, read from the search's folder."""
        rows = {row.get("trial"): row for row in known_rows(read_rows(self._path))}
        return [rows[i] for i in self._cells if i in rows]

    def missing(self):
        """The values of the cells that are not done, as a list of dicts."""
        return [v for i, v in self._cells.items() if i not in self.end_order]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """The next trial for a worker; the same one for a worker that came back."""
        return self._surely(self._create_trial, self._trial("", {}, IDLE), tuner_id)

    def _create_trial(self, tuner_id):
        if self._cells is None:
            self.begin()
        self._settle_new()
        self._bury()
        if tuner_id in self.ongoing_trials:
            known = self.ongoing_trials[tuner_id]
            # A call alone is no sign that somebody runs it, and died.
            if not self._watch.has_run(tuner_id, known.trial_id):
                return known
            self._died(tuner_id)
        claimed = self._watch.trials(without=tuner_id)
        waiting = [i for i in self._cells if i not in self.trials and i not in claimed]
        if waiting:
            self.tuner_ids.add(tuner_id)
            return self._start(tuner_id, waiting[0])
        if self.ongoing_trials or claimed & self._cells.keys() - self.trials.keys():
            return self._trial("", {}, IDLE)
        self.tuner_ids.discard(tuner_id)
        return self._trial("", {}, STOPPED)

    @keras_tuner.synchronized
    def update_trial(self, trial_id, metrics, step=0):
        """Takes the metrics of a trial, even of one that an earlier chief began."""
        return self._surely(
            self._update_trial, self._trial(str(trial_id), {}, INVALID),
            trial_id, metrics, step,
        )  # fmt: skip

    def _update_trial(self, trial_id, metrics, step):
        self._known(trial_id)
        return super().update_trial(trial_id, metrics, step)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Counts a trial among those that are done."""
        self._surely(self._end_trial, None, trial)

    def _end_trial(self, trial):
        self._known(trial.trial_id)
        if trial.trial_id in self.end_order:
            return
        super().end_trial(trial)
        self._progress(trial)

    def get_trial(self, trial_id):
        """A trial, even one that an earlier chief began."""
        self._known(trial_id)
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def bury(self):
        """Takes back the trials of workers without a sign of life."""
        self._surely(self._bury, None)

    @contextlib.contextmanager
    def watching(self):
        """Buries dead workers also while nobody asks for a trial: a chief ends then."""
        ended = threading.Event()

        def watch():
            while not ended.wait(WATCH_SECONDS):
                self.bury()

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _surely(self, function, otherwise, *args):
        """Calls a function under keras-tuner's lock, which an error would not free."""
        try:
            return function(*args)
        except Exception as error:
            self._report(f"a call was refused: {type(error).__name__}: {error}")
            return otherwise

    def _known(self, trial_id):
        if trial_id not in self.trials:
            if trial_id not in (self._cells or ()):
                raise ValueError(
                    "`trial_id` must be that of a cell of this search. "
                    f"Received: trial_id={trial_id!r}"
                )
            values = self._cells[trial_id]
            self.trials[trial_id] = self._trial(trial_id, values, RUNNING)

    def _start(self, tuner_id, trial_id):
        trial = self._trial(trial_id, self._cells[trial_id], RUNNING)
        self.ongoing_trials[tuner_id] = self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        return trial

    def _trial(self, trial_id, values, status):
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        return trials.Trial(hyperparameters, trial_id, status)

    def _settle_new(self):
        """Takes trials as done whose rows have come since this search began."""
        ongoing = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._new += self._read_rows()
        self._settle(row for row in self._new if row.get("trial") not in ongoing)
        # Of these the workers are about to tell, if they do not die just now.
        self._new = [row for row in self._new if row.get("trial") in ongoing]

    def _read_rows(self):
        return known_rows(self._rows.read())

    def _settle(self, rows):
        for row in rows:
            trial_id = row.get("trial")
            if trial_id in self._cells and trial_id not in self.end_order:
                self._known(trial_id)
                self._end(self.trials[trial_id], row)

    def _end(self, trial, row):
        for name, value in row.get("metrics", {}).items():
            trial.metrics.register(name, self._direction(name))
            trial.metrics.update(name, value)
        trial.status = "COMPLETED" if row["status"] == "ok" else "FAILED"
        trial.message = row.get("reason")
        if row["status"] == "ok":
            self.score_trial(trial)
        self.end_order.append(trial.trial_id)

    def _direction(self, name):
        return self.objective.direction if name == self.objective.name else None

    def _bury(self):
        for tuner_id in self._watch.dead(self.tuner_ids | set(self.ongoing_trials)):
            self.tuner_ids.discard(tuner_id)
            if tuner_id in self.ongoing_trials:
                self._died(tuner_id)

    def _died(self, tuner_id):
        trial = self.ongoing_trials.pop(tuner_id)
        del self.trials[trial.trial_id]
        self._deaths[trial.trial_id] += self._watch.has_run(tuner_id, trial.trial_id)
        if self._deaths[trial.trial_id] >= DEATHS:
            row = {
                "trial": trial.trial_id,
                "status": "failed",
                "reason": f"WorkerDied: {DEATHS} workers ended while they ran it",
                "hyperparameters": trial.hyperparameters.values,
                "config": None,
            }
            append_row(self._path, row)
        self._settle_new()  # It may have written its row before.

    def _progress(self, trial):
        done = len(self.end_order)
        failed = sum(one.status == "FAILED" for one in self.trials.values())
        each = (time.time() - self._began) / (done - self._before)
        left = each * (len(self._cells) - done)
        values = ", ".join(f"{k}={v}" for k, v in trial.hyperparameters.values.items())
        score = self.trials[trial.trial_id].score
        outcome = "failed" if score is None else f"{self.objective.name} {score:.3f}"
        self._report(
            f"[{done}/{len(self._cells)}] {failed} failed, "
            f"{len(self.ongoing_trials)} running, about {left / 60:.0f} min left: "
            f"{values}: {outcome}"
        )

    # keras-tuner's own files could be torn; the rows say all that is in them.
    def save(self):
        """Nothing: the rows are the state."""

    def reload(self):
        """Nothing: the rows are the state."""

    def _save_trial(self, trial):
        pass


def may_differ(row):
    """Whether a failed trial may succeed when it is run again."""
    return row["status"] != "ok" and not row["reason"].startswith("FloatingPointError")
