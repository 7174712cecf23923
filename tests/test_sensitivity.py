"""How much learning rate and weight decay matter, from rows."""

import numpy as np
import pytest

from keras_reinit.report import sensitivity
from keras_reinit.report.sensitivity import sensitivities

RATES, DECAYS = (0.01, 0.1), (0.0, 1e-4, 1e-3)


def rows(method, grids, **config):
    """Rows of one grid of accuracies for each seed; NaN is a failed run."""
    return [
        {
            "status": "failed" if np.isnan(value) else "ok",
            "final": {"test_accuracy": value},
            "config": {
                "regularization": "DCW", "label_noise": 0.0, "method": method,
                "seed": seed, "learning_rate": RATES[i], "weight_decay": DECAYS[j],
                **config,
            },
        }
        for seed, grid in enumerate(grids)
        for (i, j), value in np.ndenumerate(np.asarray(grid))
    ]  # fmt: skip


STEEP = [[0.90, 0.5, 0.5], [0.5, 0.5, np.nan]], [[0.90, 0.895, 0.5], [0.5, 0.5, 0.5]]
FLAT = [[0.8, 0.8, 0.795], [0.5, 0.8, 0.8]], [[0.8, 0.8, 0.795], [0.8, 0.8, 0.8]]


def test_the_share_of_the_grid_near_the_methods_own_best():
    found = sensitivities(rows("standard", STEEP) + rows("shrink_perturb", FLAT))
    standard, ours = found
    assert standard.share.mean == pytest.approx((1 / 6 + 2 / 6) / 2)
    assert ours.share.mean == pytest.approx((5 / 6 + 1) / 2)
    assert standard.difference is None
    differences = np.array([5 / 6 - 1 / 6, 1 - 2 / 6])
    assert ours.difference.mean == pytest.approx(differences.mean())
    assert ours.share.n == 2 and ours.learning_rates == RATES
    np.testing.assert_allclose(standard.accuracy[0], [0.90, 0.6975, 0.5])
    assert standard.accuracy[1, 2] == 0.5  # Of the seed that did not fail.
    wide = sensitivities(rows("standard", STEEP), within=0.4)[0]
    assert wide.share.mean == pytest.approx((5 / 6 + 1) / 2)


def test_only_whole_grids_count():
    unfinished = rows("standard", STEEP)[:-1]
    (found,) = sensitivities(unfinished)
    assert found.share.n == 1 and np.isinf(found.share.half_width)
    assert sensitivities(unfinished[:5]) == []
    assert sensitivities(unfinished[1:]) == []
    assert sensitivities([]) == [] and sensitivities(unfinished[:1]) == []


def test_numbers_of_stages_are_methods_apart():
    found = sensitivities(
        rows("standard", FLAT, stages=2)
        + rows("shrink_perturb", FLAT, stages=2)
        + rows("shrink_perturb", STEEP, stages=5)
    )
    names = [one.method for one in found]
    assert names == ["standard", "shrink_perturb, 2 stages", "shrink_perturb, 5 stages"]
    assert found[1].difference.mean == 0 and found[2].difference.mean < 0


def test_a_share_and_its_interval_are_between_0_and_1():
    text = sensitivity.markdown(sensitivities(rows("standard", STEEP)))
    assert "| 0.25 [0.00, 1.00] |" in text


def test_settings_are_apart():
    found = sensitivities(
        rows("standard", STEEP) + rows("standard", FLAT, label_noise=0.4)
    )
    assert [one.setting for one in found] == ["DCW", "DCW + 40% noise"]


def test_all_cells_failed():
    (found,) = sensitivities(rows("standard", [np.full((2, 3), np.nan)]))
    assert found.share.mean == 0 and np.isnan(found.accuracy).all()


def test_table_and_figure(tmp_path):
    found = rows("standard", STEEP) + rows("shrink_perturb", FLAT)
    table, figure = sensitivity.write(found, tmp_path)
    assert "| DCW | shrink_perturb | 0.800 |" in table.read_text()
    assert "+0.67 [" in table.read_text()
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert sensitivity.write([], tmp_path) == []
