"""What is memorized under label noise: the runs, and what is said of them."""

import dataclasses

import numpy as np
import pytest

from keras_reinit.config import Config
from keras_reinit.report import memorization as memorization_report
from keras_reinit.training import memorization

SHORT = Config(
    model="mlp",
    method="shrink_perturb",
    train_size=96,
    validation_size=60,
    epochs=4,
    stages=2,
    batch_size=32,
    label_noise=0.5,
)


def test_curves_end_where_the_row_ends():
    row = memorization.run(SHORT)
    names = {*memorization.ACCURACIES, *memorization.MEASURES}
    assert set(row["curves"]) == names
    assert all(len(values) == 4 for values in row["curves"].values())
    for name in memorization.ACCURACIES:
        assert row["curves"][name][-1] == pytest.approx(row["final"][name], abs=1e-4)
        assert row["curves"][name][1] == pytest.approx(row["stages"][0][name], abs=1e-4)


def test_following_does_not_disturb_the_training():
    from keras_reinit import training

    followed, plain = memorization.run(SHORT), training.run(SHORT)
    assert followed["final"] == plain["final"] and followed["best"] == plain["best"]


def test_without_wrong_labels_there_is_nothing_to_memorize():
    with pytest.raises(ValueError, match="`label_noise` must be above 0"):
        memorization.run(dataclasses.replace(SHORT, label_noise=0.0))


def row(method, seed, test, flipped):
    config = dataclasses.replace(SHORT, method=method, seed=seed)
    curves = {name: [0.0, 1.0] for name in memorization.MEASURES}
    curves["test_accuracy"] = [0.1, test]
    curves["flipped_accuracy"] = [0.0, flipped]
    end = {"test_accuracy": test, "flipped_accuracy": flipped}
    return {
        "config": dataclasses.asdict(config),
        "status": "ok",
        "stages": [{**end, "flipped_accuracy": flipped / 2}, end],
        "final": end,
        "curves": curves,
    }


ROWS = [
    row("standard", 0, 0.6, 0.8),
    row("shrink_perturb", 0, 0.7, 0.4),
    row("later_layers", 0, 0.8, 0.2),
    row("standard", 1, 0.5, 0.6),
    row("shrink_perturb", 1, 0.8, 0.4),
    row("later_layers", 1, 0.7, 0.2),
]


def test_means_and_paired_differences_by_hand():
    standard, shrink, later = memorization_report.memories(ROWS)
    assert standard.difference is None and standard.stages == (0, 2)
    assert standard.learned == pytest.approx((0.35, 0.7))
    assert shrink.difference.mean == pytest.approx(0.2)
    assert later.learned_difference.mean == pytest.approx(-0.5)
    np.testing.assert_allclose(shrink.curves["test_accuracy"], [0.1, 0.75])


def test_rank_correlations_are_over_methods_within_a_seed():
    (found,) = memorization_report.relations(ROWS).values()
    # -1 in the first seed; ranks 1, 3, 2 against 3, 2, 1 in the second.
    assert found["flipped_accuracy"].mean == pytest.approx((-1 - 0.5) / 2)
    assert found["flipped_accuracy"].n == 2
    assert found["weight_norm"] is None  # The same for all methods.


def test_tables_and_figure(tmp_path):
    paths = memorization_report.write(ROWS, tmp_path)
    text = paths[0].read_text()
    assert "| later_layers | 0.750 ± 0.635 | +0.200 [+0.200, +0.200] |" in text
    assert "| flipped_accuracy | -0.75 [-1.00, +1.00] |" in text
    assert "| weight_norm | — |" in text
    assert paths[1].stat().st_size > 10_000
