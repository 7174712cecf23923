"""Initializers of a user's own: seeded like Keras' own, or refused."""

import collections
import functools
import random

import keras
import numpy as np
import pytest
from contract import dense_model, next_random_numbers
from custom import own_model
from keras import layers

from keras_reinit import fresh_weights


class Drawing(keras.initializers.Initializer):
    """An initializer that uses all the global generators there are."""

    def __call__(self, shape, dtype=None):
        value = random.random() + np.random.random()
        return value + keras.random.uniform(shape, dtype=dtype)


def test_custom_initializers_are_seeded_too_and_move_nothing():
    model = dense_model(kernel_initializer=Drawing())
    keras.utils.set_random_seed(5)
    expected = next_random_numbers()
    keras.utils.set_random_seed(5)
    one, two, other = (fresh_weights(model, seed)[0] for seed in (0, 0, 1))
    assert expected == next_random_numbers()
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "initializer",
    [
        lambda: keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(3)),
        lambda: keras.initializers.Orthogonal(seed=3),
        lambda: "identity",
        lambda: a_function,
    ],
    ids=["seed generator", "orthogonal", "identity", "function"],
)
def test_initializers_of_every_kind(initializer):
    model = dense_model(kernel_initializer=initializer())
    one, again, other = (fresh_weights(model, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[0], again[0])
    fixed = initializer() == "identity"
    assert np.array_equal(one[0], other[0]) == fixed
    assert np.array_equal(one[0], one[2]) == fixed
    assert one[0].std() == pytest.approx(model.get_weights()[0].std(), rel=0.1)


def a_function(shape, dtype=None):
    return keras.random.normal(shape, stddev=0.3, dtype=dtype)


def initializers_of_one_name():
    """Two classes, both called `Given`, with nothing in their configurations."""

    def make(value):
        class Given(keras.initializers.Initializer):
            def __init__(self, scale=1.0):
                self.scale = scale

            def __call__(self, shape, dtype=None):
                return value * self.scale * keras.ops.ones(shape, dtype)

        return Given

    return make(1.0)(scale=3.0), make(2.0)(scale=5.0)


def test_own_initializers_are_taken_as_they_are():
    """Neither their names nor their configurations tell which they are."""
    one, two = initializers_of_one_name()
    model = dense_model(kernel_initializer=one, bias_initializer=two)
    fresh = fresh_weights(model, seed=0)
    assert [np.unique(value).tolist() for value in fresh] == [[3.0], [10.0]] * 2
    given = fresh_weights(model, seed=0, initializers={"*kernel": two, "*bias": one})
    assert [np.unique(value).tolist() for value in given] == [[10.0], [3.0]] * 2


def a_table(layer):
    value = np.sin(np.arange(4.0))
    layer.scale = layer.add_weight(
        shape=(4,), initializer=lambda *_, dtype=None: value, trainable=False
    )


def test_a_table_that_is_not_trained_stays_what_it_is():
    np.testing.assert_array_equal(
        fresh_weights(own_model(a_table), 0)[0], np.float32(np.sin(np.arange(4.0)))
    )


class Seeded(keras.initializers.Initializer):
    """Keeps its seed under another name."""

    random_state = 3

    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, dtype=dtype, seed=self.random_state)


def around(inner):
    return lambda shape, dtype=None: 0.5 * inner(shape, dtype=dtype)


def with_generator(make):
    generator = make(0)
    return lambda shape, dtype=None: generator.normal(size=shape)


HIDDEN = {
    "another name": (Seeded, "seed of its own"),
    "around keras": (lambda: around(keras.initializers.HeNormal()), "seed of its own"),
    "closure": (lambda: with_generator(np.random.default_rng), "has no seed"),
    "no seed": (
        lambda: lambda shape, dtype=None: np.random.default_rng().normal(size=shape),
        "has no seed",
    ),
}


@pytest.mark.parametrize(("make", "reason"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("rebuild", [False, True])
def test_values_that_do_not_follow_the_seed_are_an_error(make, reason, rebuild):
    initializer = make()

    def build(layer):
        layer.scale = layer.add_weight(shape=(4,), initializer=initializer, name="own")

    model = own_model(build) if rebuild else dense_model(kernel_initializer=initializer)
    name, path = ("own", "own") if rebuild else ("dense", "kernel")
    with pytest.raises(ValueError, match=f"'{name}.*{path}.*{reason}.*initializers="):
        fresh_weights(model, seed=0)
    with pytest.raises(ValueError, match=reason):
        fresh_weights(model, 0, initializers={f"*{path}": initializer})
    constant = keras.initializers.Constant(np.arange(4.0))
    if rebuild:
        fresh = fresh_weights(model, 0, initializers={"*own": constant})
        assert fresh[0].tolist() == [0, 1, 2, 3]


def test_a_layer_of_keras_with_an_own_initializer_is_checked_when_it_is_rebuilt():
    model = keras.Sequential(
        [keras.Input((5, 4)), layers.LSTM(3, kernel_initializer=Seeded())]
    )
    with pytest.raises(ValueError, match="lstm.*kernel.*seed of its own"):
        fresh_weights(model, seed=0)


class Spread(keras.initializers.Initializer):
    """Its argument is a named tuple, with an initializer inside."""

    def __init__(self, pair):
        self.pair = pair

    def __call__(self, shape, dtype=None):
        return self.pair.scale * self.pair.inner(shape, dtype=dtype)


def test_an_initializer_in_a_named_tuple_follows_the_seed():
    pair = collections.namedtuple("Pair", "scale inner")
    spread = Spread(pair(2.0, keras.initializers.HeNormal(seed=3)))
    one, again, other = (
        fresh_weights(dense_model(), seed, initializers={"*kernel": spread})[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "bad",
    [{3: "ones"}, {"*": lambda shape: np.ones(shape)}, {"*": "no such"}, {"*": 1}],
    ids=["no pattern", "no dtype", "no name", "no function"],
)
def test_what_does_not_draw_is_no_initializer(bad):
    with pytest.raises(ValueError, match="`initializers` must have patterns.*Received"):
        fresh_weights(dense_model(), 0, initializers=bad)


def test_a_partial_function_is_an_initializer():
    ones = functools.partial(lambda value, shape, dtype: value * np.ones(shape), 7.0)
    fresh = fresh_weights(dense_model(), 0, initializers={"*": ones})
    assert all((value == 7).all() for value in fresh)
