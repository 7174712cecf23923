"""A model that is trained again gives what a newly built one gives."""

import dataclasses

import pytest

from keras_reinit import models, training
from keras_reinit.config import Config
from keras_reinit.training import compiled
from keras_reinit.training.compiled import Compiled, CompiledModels

BASE = Config(
    model="mlp", width=8, train_size=64, batch_size=16, epochs=4, stages=2,
    regularization="CW",
)  # fmt: skip
# Two runs each that can have the same model: all values change that may.
PAIRS = {
    "constant rate": (
        {"regularization": "W"},
        {"regularization": "W", "learning_rate": 0.3, "weight_decay": 0.02, "seed": 3,
         "label_noise": 0.4, "noise": "pair_flip", "noisy_validation": False},
    ),
    "annealed": (
        {"method": "shrink_perturb"},
        {"method": "shrink_perturb", "learning_rate": 0.3, "weight_decay": 0.02,
         "shrink": 0.8, "perturb": 0.5, "optimizer_state": "keep", "seed": 3},
    ),
    "another method": (
        {"method": "warm_restart", "label_noise": 0.4}, {"method": "shrink_perturb"},
    ),
    "slow weights": (
        {"method": "hare_tortoise"}, {"method": "hare_tortoise", "seed": 3},
    ),
    "dormant units": ({"method": "redo"}, {"method": "redo", "seed": 3}),
    "masks": ({"method": "dense_sparse_dense"}, {"method": "warm_restart"}),
    "layer-wise": ({"method": "layerwise"}, {"method": "layerwise", "seed": 3}),
    "born again": (
        {"method": "born_again"},
        {"method": "shrink_perturb+distillation", "learning_rate": 0.3, "seed": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "then"), PAIRS.values(), ids=PAIRS)
def test_a_shared_model_gives_the_row_of_a_new_one(first, then):
    shared = CompiledModels()
    training.run(dataclasses.replace(BASE, **first), models=shared)
    config = dataclasses.replace(BASE, **then)
    rows = training.run(config, models=shared), training.run(config)
    assert len(shared._kept) == 1
    for row in rows:
        del row["seconds"], row["finished"]
    assert rows[0] == rows[1]


def test_every_value_changes_above():
    changed = {name for pair in PAIRS.values() for change in pair for name in change}
    assert changed >= set(compiled.VALUES)


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0.0},
        {"weight_decay_mode": "decoupled"},
        {"regularization": "W"},
        {"method": "shrink_perturb"},  # Its annealing is shorter.
        {"method": "layerwise", "regularization": "W"},
        {"label_smoothing": 0.1},
        {"momentum": 0.5},
        {"width": 6},
        {"epochs": 6},
        {"train_size": 80},
        {"crop_padding": 2},
        {"model": "resnet18", "stem_stride": 2},
    ],
    ids=str,
)
def test_other_operations_need_another_model(change):
    other = dataclasses.replace(BASE, **change)
    assert compiled.graph(BASE, training.load(BASE)) != compiled.graph(
        other, training.load(other)
    )


@pytest.mark.parametrize("name", ["resnet18", "preact_resnet18", "mobilenet_v2"])
def test_the_stem_of_the_network_is_the_configs(name):
    splits = training.load(BASE)
    strides = []
    for stem_stride in (1, 2):
        config = dataclasses.replace(BASE, model=name, width=4, stem_stride=stem_stride)
        network = compiled.network_for(config, splits)
        strides.append(network.get_layer("stem_conv").strides)
    assert strides == [(1, 1), (2, 2)]


def test_a_failed_run_does_not_give_its_model_back():
    kept = CompiledModels()
    with pytest.raises(FloatingPointError):
        training.run(dataclasses.replace(BASE, learning_rate=1e30), models=kept)
    assert not kept._kept
    assert training.run(BASE, models=kept)["final"] == training.run(BASE)["final"]


def test_the_least_used_models_are_given_up():
    kept = CompiledModels(limit=2)
    for width in (6, 7, 6, 8):
        config = dataclasses.replace(BASE, width=width, epochs=2, stages=1)
        training.run(config, models=kept)
    shapes = [one.network.weights[0].shape for one in kept._kept.values()]
    assert shapes == [(64, 6), (64, 8)]


@pytest.mark.parametrize("name", models.MODELS)
def test_no_reference_network_has_a_state_that_a_seed_decides(name):
    """A generator inside would be that of the first run."""
    config = dataclasses.replace(BASE, model=name, width=None)
    model = Compiled(config, training.load(config)).model
    assert not [v.path for v in model.variables if "seed" in v.path]
