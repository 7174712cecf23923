"""The paper's searches at full scale: a few steps of each, on fakes of their data."""

import dataclasses

import pytest
import tensorflow_datasets as tfds

from benchmarks import flags as shared
from benchmarks import full_scale, presets, study
from keras_reinit import training
from keras_reinit.data import Facts
from keras_reinit.results import append_row
from keras_reinit.training.compiled import Compiled

FULL_SCALE = [
    name for name in presets.names() if not name.startswith(("digits", "fashion_mnist"))
]


@pytest.fixture
def planned(parsed):
    """The study of a preset."""

    def plan(name):
        parsed(study.define_flags, *shared.expanded(["", f"--preset={name}"])[1:])
        return study.from_flags()

    return plan


# One of each network that is not slow to compile.
QUICK = ("cifar100/noise", "tiny_imagenet/table")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in FULL_SCALE
    ],
)
def test_a_few_steps_of_each_preset(name, planned):
    """With its network, narrower, its batches, regularization and last method."""
    config = list(planned(name).cells())[-1][0]
    short = dataclasses.replace(
        config, width=16, train_size=2 * config.batch_size, validation_size=250,
        epochs=2, stages=2, dtype_policy="mixed_bfloat16", steps_per_execution=2,
    )  # fmt: skip
    with tfds.testing.mock_data(num_examples=2500):
        splits = training.load_clean(short)
    few = tuple(part[:100] for part in splits.test)
    splits = dataclasses.replace(splits, test=few)
    row = training.run(short, strategy="mirrored", splits=splits)
    assert row["status"] == "ok" and row["steps_per_epoch"] == 2
    assert len(row["stages"]) == 2 and row["replicas"] == 1
    assert row["config"]["dataset"] == config.dataset
    assert row["config"]["dtype_policy"] == "mixed_bfloat16"


@pytest.mark.parametrize("name", FULL_SCALE)
def test_protocol_of_the_paper(name, planned):
    plan = planned(name)
    configs = [grid[0] for grid in plan.cells()]
    facts = Facts.of(configs[0].dataset)
    steps = facts.train // configs[0].batch_size
    tiny = name.startswith("tiny_imagenet")
    assert (facts.train, facts.validation, steps) == (
        (90_000, 10_000, 900) if tiny else (45_000, 5_000, 360)
    )
    assert {c.epochs for c in configs} == {500 if tiny else 200}
    assert {(c.momentum, c.weight_decay_mode) for c in configs} == {(0.9, "l2")}
    taught = {c.distillation_weight for c in configs if c.distills}
    assert taught <= {2 if tiny else 1}


@pytest.mark.parametrize("name", ["cifar100/table", "cifar10/mobilenet"])
def test_weight_decay_is_of_all_weights(name, planned):
    """So the norm that it holds down is that of the paper's figure."""
    config = list(planned(name).cells())[-1][0]
    config = dataclasses.replace(config, width=16, weight_decay=5e-4)
    model = Compiled(config, Facts.of(config.dataset).stand_in(config.batch_size)).model
    factors = [float(v.regularizer.l2) for v in model.trainable_variables]
    assert len(factors) > 50
    assert factors == pytest.approx([config.weight_decay / 2] * len(factors))


def row_of(config, validation, test):
    """What is best after the last epoch is not what is best with early stopping."""
    config = dataclasses.asdict(config)
    best = {"validation_accuracy": validation, "test_accuracy": test}
    final = {"validation_accuracy": 1 - validation, "test_accuracy": test - 0.1}
    return {"status": "ok", "config": config, "final": final, "best": best}


def test_rows_of_the_full_scale_command_reach_its_page(planned, tmp_path, monkeypatch):
    """With its precision and steps; of stage counts, what validation data choose."""
    monkeypatch.setattr(presets, "RESULTS", tmp_path)
    plan = planned("cifar100/table")
    base = dataclasses.replace(
        plan.base, regularization="DCW", weight_decay=5e-4,
        dtype_policy="mixed_bfloat16", steps_per_execution=90,
    )  # fmt: skip
    perturbed = dataclasses.replace(base, method="shrink_perturb")
    rows = [row_of(base, 0.7, 0.701)] + [
        row_of(dataclasses.replace(perturbed, stages=stages), *accuracies)
        for stages, *accuracies in ((2, 0.7, 0.72), (5, 0.8, 0.712), (10, 0.6, 0.73))
    ]
    path = presets.folder("cifar100/table") / "rows.jsonl"
    path.parent.mkdir()
    for row in rows:
        append_row(path, row)
    page = full_scale.page()
    assert "| 77.9 / 70.1 |" in page and "| 77.5 / 71.2 |" in page
    assert "77.2 / not run" in page
