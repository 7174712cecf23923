"""Searches: any tuner of keras-tuner, and a grid that survives whatever happens."""

import collections
import dataclasses
import errno
import re
import signal
import subprocess
import sys
import tempfile

import keras
import keras_tuner
import numpy as np
import pytest
from searching import BASE, space

from keras_reinit import data, results, training, tuning
from keras_reinit.tuning import grid
from keras_reinit.tuning.cells import cells

PROGRAM = __file__.replace("test_tuning", "searching")


def rates(hp):
    return {"learning_rate": hp.Choice("learning_rate", [0.01, 0.1])}


def any_rate(hp):
    return {"learning_rate": hp.Float("learning_rate", 0.01, 0.1, step=0.03)}


def training_accuracy(model):
    images, labels = training.load(BASE).train
    inputs = data.Standardize.fit(images)(images)
    return np.mean(model.predict(inputs, verbose=0).argmax(-1) == labels)


def search(folder, hypermodel=None, **kwargs):
    lines = []
    hypermodel = hypermodel or tuning.HyperModel(rates, BASE)
    tuner = tuning.GridSearch(
        hypermodel, directory=folder, report=lines.append, **kwargs
    )
    tuner.search()
    return tuner, results.read_rows(folder / "rows.jsonl"), lines


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 2}),
        slow(keras_tuner.GridSearch, {"max_trials": 2}),
        slow(keras_tuner.BayesianOptimization, {"max_trials": 2}),
        (keras_tuner.Hyperband, {"max_epochs": 3, "hyperband_iterations": 1}),
    ],
)
def test_any_tuner_of_keras_tuner_can_search(kind, kwargs, tmp_path):
    rows = tmp_path / "rows.jsonl"
    hypermodel = tuning.HyperModel(any_rate, BASE, rows=rows)
    tuner = kind(hypermodel, "val_accuracy", directory=tmp_path, **kwargs)
    tuner.search(verbose=0)
    found = results.read_rows(rows)
    scores = {trial.score for trial in tuner.oracle.trials.values()}
    assert scores == {row["final"]["validation_accuracy"] for row in found}
    assert all(0.01 <= row["config"]["learning_rate"] <= 0.1 for row in found)
    tuner.results_summary()
    best = max(found, key=lambda row: row["final"]["validation_accuracy"])
    model = tuner.get_best_models()[0]
    assert training_accuracy(model) == pytest.approx(best["final"]["train_accuracy"])
    if kind is keras_tuner.Hyperband:
        assert {row["config"]["epochs"] for row in found} == {1, 3}


@pytest.mark.parametrize("epoch", ["final", "best"])
def test_the_objective_is_of_the_chosen_epoch(epoch):
    hypermodel = tuning.HyperModel(rates, BASE, epoch=epoch)
    row = {
        "final": {"validation_accuracy": 0.5, "validation_cross_entropy": 1.0},
        "best": {"validation_accuracy": 0.75, "validation_cross_entropy": 0.5},
    }
    for name in row:
        row[name] |= {"train_accuracy": 0.9, "train_cross_entropy": 0.1}
    metrics = hypermodel.metrics(row)
    assert metrics["val_accuracy"] == row[epoch]["validation_accuracy"]
    assert not any("test" in name for name in metrics)


def test_a_model_of_ones_own_with_hyperparameters_of_its_own(tmp_path):
    def build(hp):
        layers = [keras.layers.Flatten(), keras.layers.Dense(hp.Choice("units", [4]))]
        head = keras.layers.Dense(10)
        return keras.Sequential([keras.Input((8, 8, 1)), *layers, head], name="mine")

    hypermodel = tuning.HyperModel(
        lambda hp: {"method": hp.Choice("method", ["born_again"])}, BASE, build=build
    )
    _, rows, _ = search(tmp_path, hypermodel)
    (row,) = rows
    assert row["network"] == "mine" and row["parameters"] == 65 * 4 + 5 * 10
    expected = {"units": 4, "method": "born_again", "seed": 0}
    assert row["hyperparameters"] == expected


def test_a_trial_is_the_run_of_its_config(tmp_path):
    _, rows, _ = search(tmp_path)
    assert [row["config"]["learning_rate"] for row in rows] == [0.01, 0.1]
    for row in rows:
        alone = training.run(dataclasses.replace(BASE, **row["config"]))
        assert row["final"] == alone["final"] and row["history"] == alone["history"]


def test_every_combination_that_can_be_comes_once():
    def declare(hp):
        hp.Choice("a", ["x", "y", "z"])
        with hp.conditional_scope("a", ["x", "y"]):
            hp.Boolean("b")
        with hp.conditional_scope("a", ["z"]):
            hp.Int("c", 1, 5, step=2)
        hp.Float("d", 0.0, 1.0, step=0.5)

    found = cells(declare, seeds=(0, 1))
    shapes = collections.Counter(tuple(sorted(v)) for v in found.values())
    assert shapes == {("a", "b", "d", "seed"): 24, ("a", "c", "d", "seed"): 18}
    assert [v["seed"] for v in found.values()] == [0] * 21 + [1] * 21


def test_a_larger_grid_adds_its_cells(tmp_path):
    _, first, _ = search(tmp_path)
    tuner, rows, lines = search(tmp_path, seeds=(0, 1))
    assert rows[:2] == first and len(rows) == 4
    assert lines[0] == "4 cells, 2 done before" and lines[1].startswith("[3/4]")
    tuner, rows, lines = search(tmp_path, seeds=(0, 1))
    assert len(rows) == 4 and lines == ["4 cells, 4 done before"]
    best = max(row["final"]["validation_accuracy"] for row in rows)
    assert tuner.oracle.get_best_trials()[0].score == best


class Failing(tuning.HyperModel):
    """Fails at one learning rate, as often as it is told to."""

    error, times, calls = None, 1, 0

    def run(self, hp, *args):
        if hp.get("learning_rate") == 0.01:
            type(self).calls += 1
            if self.calls <= self.times:
                raise self.error
        return super().run(hp, *args)


class ResourceExhaustedError(Exception):
    """As TensorFlow calls it."""


@pytest.mark.parametrize(
    ("error", "times", "statuses", "later"),
    [
        (FloatingPointError("not finite"), 9, ["failed", "ok"], ["failed", "ok"]),
        (KeyError("a bug"), 1, ["failed", "ok"], ["failed", "ok", "ok"]),
        (ResourceExhaustedError("OOM"), 1, ["ok", "ok"], ["ok", "ok"]),
        (MemoryError(), 2, ["failed", "ok"], ["failed", "ok", "ok"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures_are_rows_and_the_search_goes_on(
    error, times, statuses, later, tmp_path, monkeypatch
):
    monkeypatch.setattr(Failing, "error", error)
    monkeypatch.setattr(Failing, "times", times)
    monkeypatch.setattr(Failing, "calls", 0)
    _, rows, lines = search(tmp_path, Failing(rates, BASE))
    assert [row["status"] for row in rows] == statuses
    if "failed" in statuses:
        assert rows[0]["reason"].startswith(type(error).__name__)
        assert rows[0]["config"]["learning_rate"] == 0.01 and "failed" in lines[1]
    _, rows, _ = search(tmp_path, Failing(rates, BASE))
    assert [row["status"] for row in rows] == later


def test_a_diverging_training_is_a_row_with_its_reason(tmp_path):
    def space(hp):
        return {"learning_rate": hp.Choice("learning_rate", [1e30, 0.1])}

    _, rows, _ = search(tmp_path, tuning.HyperModel(space, BASE))
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert re.match("FloatingPointError: .* is not finite", rows[0]["reason"])


def test_a_torn_line_costs_its_trial_alone(tmp_path):
    search(tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    _, rows, lines = search(tmp_path)
    assert "rows.jsonl: 1 lines cannot be read" in lines[0]
    assert lines[1] == "2 cells, 1 done before"
    assert [row["config"]["learning_rate"] for row in rows] == [0.01, 0.1]


def test_a_full_disk_is_a_clear_end(tmp_path, monkeypatch):
    append, left = results.append_row, [1]

    def full(path, row):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        append(path, row)

    monkeypatch.setattr(grid, "append_row", full)
    with pytest.raises(
        RuntimeError, match="cannot be written.*No space left.*continues"
    ):
        search(tmp_path)
    monkeypatch.undo()
    _, rows, lines = search(tmp_path)
    assert len(rows) == 2 and lines[0] == "2 cells, 1 done before"


def test_a_killed_search_goes_on_and_runs_nothing_twice(tmp_path):
    for kill_at in (2, 1, -1):
        done = subprocess.run(
            [sys.executable, PROGRAM, tmp_path, str(kill_at)], capture_output=True
        )
        assert done.returncode == (0 if kill_at < 0 else -signal.SIGKILL), done.stderr
    rows = results.read_rows(tmp_path / "rows.jsonl")
    assert [row["status"] for row in rows] == ["ok"] * 6
    pairs = [(r["config"]["seed"], r["config"]["learning_rate"]) for r in rows]
    assert pairs == [(seed, rate) for seed in (0, 1) for rate in (0.01, 0.1, 1.0)]
    assert len({row["trial"] for row in rows}) == 6
    assert len(space(keras_tuner.HyperParameters())) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tuning.HyperModel(rates, epoch="last"), "`epoch` must be one of"),
        (
            lambda: tuning.HyperModel(lambda hp: {"lr": 0.1}).build(
                keras_tuner.HyperParameters()
            ),
            "`space` must return a dict of fields of `Config`",
        ),
        (
            lambda: tuning.GridSearch(tuning.HyperModel(rates), directory="/proc/no"),
            "`directory` must be a folder",
        ),
        (
            lambda: tuning.GridSearch(
                tuning.HyperModel(rates), "val_acc", directory=tempfile.mkdtemp()
            ),
            r"`objective` must be one of \('accuracy', .*Received: .*val_acc",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
