"""Data that arrive in chunks: the runs, what they cost, and what is said of them."""

import dataclasses

import numpy as np
import pytest

from keras_reinit import training
from keras_reinit.config import Config
from keras_reinit.report import online as online_report
from keras_reinit.results import Interval
from keras_reinit.training import online

SHORT = Config(
    model="mlp", train_size=96, validation_size=60, epochs=4, stages=2, batch_size=32
)


def run(method, **change):
    return online.run(dataclasses.replace(SHORT, method=method, **change))


def test_each_stage_trains_on_all_data_so_far():
    row = run("shrink_perturb")
    stages = row["stages"]
    assert [stage["examples"] for stage in stages] == [48, 96]
    assert [stage["steps"] for stage in stages] == [2 * 1, 2 * 3]
    assert row["final"] == stages[-1]
    assert all(0 <= stage["test_accuracy"] <= 1 for stage in stages)


def test_methods_share_the_first_stage_and_part_afterwards():
    first, second = zip(
        *(
            [stage["train_cross_entropy"] for stage in run(method)["stages"]]
            for method in online.METHODS
        ),
        strict=True,
    )
    assert len(set(first)) == 1 and len(set(second)) == len(online.METHODS)


def test_the_first_chunk_decides_how_inputs_are_standardized():
    config = dataclasses.replace(SHORT, method="warm_restart")
    splits = training.load(config)
    some = online._so_far(splits, 0, 2)
    np.testing.assert_array_equal(some.train[0], splits.train[0][:48])
    assert len(some.test[1]) == len(splits.test[1])


def test_a_method_that_cannot_go_on_is_refused():
    with pytest.raises(ValueError, match=r"`method` must be one of.*born_again"):
        run("born_again")


def row(method, seed, accuracies, steps_to_fit):
    """A row whose stages have 10 and 20 examples, and 100 and 200 steps."""
    config = dataclasses.asdict(Config(method=method, seed=seed))
    stages = [
        {
            "examples": 10 * i,
            "steps": 100 * i,
            "test_accuracy": accuracy,
            "steps_to_fit": fit,
        }
        for i, (accuracy, fit) in enumerate(
            zip(accuracies, steps_to_fit, strict=True), 1
        )
    ]
    return {"config": config, "status": "ok", "stages": stages, "final": stages[-1]}


ROWS = [
    row("full_reinit", 0, (0.5, 0.8), (50, 150)),
    row("full_reinit", 1, (0.7, 0.9), (70, None)),
    row("warm_restart", 0, (0.5, 0.7), (50, 30)),
    row("warm_restart", 1, (0.7, 0.8), (70, 50)),
]


def test_curves_by_hand():
    anew, warm = online_report.curves(ROWS)
    assert anew.examples == warm.examples == (10, 20)
    assert anew.steps_to_fit == (60, 175)  # One never got there: all its 200 steps.
    assert warm.steps_to_fit == (60, 40)
    assert anew.difference is None
    assert warm.difference.mean == pytest.approx(-0.1)
    assert warm.accuracy[1].mean == pytest.approx(0.75)
    assert isinstance(warm.accuracy[0], Interval) and warm.accuracy[0].n == 2


def test_table_and_figure(tmp_path):
    paths = online_report.write(ROWS, tmp_path)
    assert [path.name for path in paths] == ["warm_start.md", "warm_start.png"]
    line = next(
        line for line in paths[0].read_text().splitlines() if "| warm_restart |" in line
    )
    assert "| 100 | 0.43 |" in line  # Steps, and their ratio to 60 + 175.
    assert paths[1].stat().st_size > 10_000


def test_stages_of_uneven_length_have_the_budget_in_all():
    config = Config(
        model="mlp", width=4, train_size=64, batch_size=8, epochs=3, stages=2,
        method="full_reinit",
    )  # fmt: skip
    row = online.run(config)
    epochs = [end["steps"] * 8 // end["examples"] for end in row["stages"]]
    assert epochs == [1, 2]
