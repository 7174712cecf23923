"""Which cell of a grid is next, known from the rows that there are."""

import collections
import time

import keras_tuner
from keras_tuner.engine import trial as trials

from keras_reinit.results import NewRows, append_row, read_rows
from keras_reinit.tuning.heartbeat import Watch

RUNNING, STOPPED, IDLE = "RUNNING", "STOPPED", "IDLE"
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

    def __init__(self, objective, folder, seeds, list_cells, report=print):
        super().__init__(objective)
        self.max_consecutive_failed_trials = None  # Failures are rows like others.
        self.verbose = 0  # `report` tells.
        self._path = folder / "rows.jsonl"
        self._rows, self._new = NewRows(self._path), []
        self._watch = Watch(folder)
        self.seeds = seeds
        self._list_cells = list_cells
        self._report = report
        self._cells = None
        self._deaths = collections.Counter()
        self._began = time.time()

    def begin(self):
        """Takes over what was finished before."""
        self._cells = self._list_cells()
        self.hyperparameters.Choice("seed", list(self.seeds))
        self._settle(row for row in self._rows.read() if not may_differ(row))
        self._before = len(self.end_order)
        self._report(f"{len(self._cells)} cells, {self._before} done before")

    def rows(self):
        """The last row of each cell that has one, read from the search's folder."""
        rows = {row.get("trial"): row for row in read_rows(self._path)}
        return [rows[i] for i in self._cells if i in rows]

    def missing(self):
        """The values of the cells that are not done, as a list of dicts."""
        return [v for i, v in self._cells.items() if i not in self.end_order]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """The next trial for a worker; the same one for a worker that came back."""
        if self._cells is None:
            self.begin()
        self._settle_new()
        self._bury()
        if tuner_id in self.ongoing_trials:
            self._died(tuner_id)
        claimed = self._watch.trials() - {self._watch.trial_of(tuner_id)}
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
        self._known(trial_id)
        return super().update_trial(trial_id, metrics, step)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Counts a trial among those that are done."""
        self._known(trial.trial_id)
        if trial.trial_id in self.end_order:
            return
        super().end_trial(trial)
        self._progress(trial)

    def get_trial(self, trial_id):
        """A trial, even one that an earlier chief began."""
        self._known(trial_id)
        return super().get_trial(trial_id)

    def _known(self, trial_id):
        if trial_id not in self.trials:
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
        self._new += self._rows.read()
        self._settle(row for row in self._new if row.get("trial") not in ongoing)
        # Of these the workers are about to tell, if they do not die just now.
        self._new = [row for row in self._new if row.get("trial") in ongoing]

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
        """Takes back the trials of workers without a sign of life."""
        for tuner_id in self._watch.dead(self.tuner_ids | set(self.ongoing_trials)):
            self.tuner_ids.discard(tuner_id)
            if tuner_id in self.ongoing_trials:
                self._died(tuner_id)

    def _died(self, tuner_id):
        trial = self.ongoing_trials.pop(tuner_id)
        del self.trials[trial.trial_id]
        self._deaths[trial.trial_id] += 1
        if self._deaths[trial.trial_id] == DEATHS:
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
