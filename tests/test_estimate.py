"""What a search would cost: counted from the network, timed in a short training."""

import dataclasses
import math

import keras
import pytest

from keras_reinit import data, models, training
from keras_reinit.config import Config
from keras_reinit.data import Facts
from keras_reinit.training import flops
from keras_reinit.training.memory import training_memory
from keras_reinit.tuning import GridSearch, HyperModel, estimate

SMALL = Config(model="mlp", width=8, batch_size=100, epochs=10, stages=5)


@pytest.mark.parametrize(
    ("layers", "forward", "both"),
    [
        # Products of inputs and weights, and of inputs and the outputs' gradients; of
        # a convolution those for the input's gradient, too, though no one asks for it.
        ([keras.layers.Dense(2, use_bias=False)], 2 * 3 * 2, 2 * 2 * 3 * 2),
        (
            [keras.layers.Reshape((1, 3, 1)),
             keras.layers.Conv2D(4, 3, padding="same", use_bias=False)],
            2 * 3 * 9 * 4, 3 * 2 * 3 * 9 * 4,
        ),
    ],
    ids=["dense", "convolution"],
)  # fmt: skip
def test_operations_of_a_layer(layers, forward, both):
    network = keras.Sequential([keras.Input((3,)), *layers])
    assert flops.forward(network) == forward
    assert flops.forward_and_backward(network) == both


def test_memory_is_that_of_weights_and_outputs():
    network = models.mlp((8, 8, 1), 10, width=8)
    weights = (64 + 8 + 8) * 8 + 3 * 4 * 8 + 8 * 10 + 10
    statistics = 3 * 2 * 8  # Which have no gradient and no momentum.
    found = training_memory(network, batch_size=5)
    assert (
        network.count_params() == weights
        and found["weights"] == 12 * weights - 8 * statistics
    )
    taught = training_memory(network, batch_size=5, taught=True)
    assert taught == {**found, "weights": 16 * weights - 8 * statistics}
    outputs = [layer.output.shape[1:] for layer in network.layers[1:]]
    assert found["outputs"] == 4 * 5 * sum(map(math.prod, outputs)) > 4 * 5 * 90


def test_sizes_are_those_of_the_data():
    sizes = {"train_size": 500, "validation_size": 100}
    for chosen in ({}, sizes):
        expected = Facts.of_splits(data.load("digits", **chosen))
        assert Facts.of("digits", **chosen) == expected
    assert Facts.of("tiny_imagenet").train == 90_000


def test_a_stand_in_is_in_proportion():
    splits = Facts.of("cifar100").stand_in(450)
    assert splits.train[0].shape == (450, 32, 32, 3) and splits.num_classes == 100
    assert [len(one[1]) for one in (splits.validation, splits.test)] == [50, 100]


def test_data_of_ones_own_are_trained_on_and_named():
    splits = Facts.of("digits").stand_in(60)
    config = dataclasses.replace(SMALL, batch_size=30, epochs=5, label_noise=0.5)
    row = training.run(config, splits=dataclasses.replace(splits, name="mine"))
    assert row["config"]["dataset"] == "mine" and row["train_examples"] == 60
    assert "flipped_accuracy" in row["final"]
    with pytest.raises(ValueError, match="`batch_size` must be in .1, n=60."):
        training.run(SMALL, splits=splits)


def test_an_estimate_is_the_sum_of_its_trials():
    taught = dataclasses.replace(SMALL, method="born_again", epochs=20)
    one, other = estimate([SMALL]), estimate([taught])
    both = estimate([SMALL, taught, taught])
    assert (both.trials, both.epochs, both.steps) == (3, 50, 300)
    assert both.flops == one.flops + 2 * other.flops
    assert len(both.measured) == 2 and both.bytes > 0
    assert both.hours(2) < both.hours(1)
    counts = one.measured[0]
    forward, training_ = (
        counts[f"{name}_flops_per_example"] for name in ("forward", "training")
    )
    evaluated = 10 * 400 + 6 * (600 + 400 + 797)
    assert one.flops == 10 * 600 * training_ + evaluated * forward
    teaching = 20 * 600 * 0.8 * forward
    evaluated = 20 * 400 + 6 * (600 + 400 + 797)
    assert other.flops == pytest.approx(
        20 * 600 * training_ + teaching + evaluated * forward
    )


def test_what_is_missing_of_a_search_can_be_estimated_without_its_data(tmp_path):
    base = dataclasses.replace(
        SMALL, dataset="cifar10", batch_size=125, steps_per_execution=90
    )
    hypermodel = HyperModel(
        lambda hp: {"learning_rate": hp.Choice("learning_rate", [0.1, 0.2])}, base
    )
    search = GridSearch(
        hypermodel, seeds=(0, 3), directory=tmp_path, report=lambda line: None
    )
    missing = search.missing()
    assert [(one.learning_rate, one.seed) for one in missing] == [
        (0.1, 0), (0.2, 0), (0.1, 3), (0.2, 3),
    ]  # fmt: skip
    assert estimate(missing).steps == 4 * 10 * 360


def test_networks_of_other_strides_are_timed_apart():
    small = Config(model="resnet18", width=4, train_size=64, batch_size=32, epochs=1,
                   stages=1)  # fmt: skip
    both = [dataclasses.replace(small, stem_stride=stride) for stride in (1, 2)]
    whole = estimate(both).flops
    assert whole == pytest.approx(sum(estimate([one]).flops for one in both))
