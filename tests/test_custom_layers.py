"""What users write: layers, models and initializers of their own."""

import random
import re

import keras
import numpy as np
import pytest
from contract import dense_model, next_random_numbers
from keras import layers

from keras_reinit import FullReinit, Stages, fresh_weights, reinitialize
from keras_reinit.recipes import find_recipes


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


class NoConfig(layers.Layer):
    def __init__(self, units):
        super().__init__(name="no_config")
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="own")

    def call(self, x):
        return x @ self.kernel

    def get_config(self):
        raise NotImplementedError


class Residual(layers.Layer):
    """What users write: a container of layers, without a `get_config`."""

    def __init__(self, dense):
        super().__init__()
        self.dense = dense
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return x + self.norm(self.dense(x))


def test_what_cannot_be_drawn_is_an_error_that_says_how_to_help():
    model = keras.Sequential([keras.Input((2,)), NoConfig(3)])
    with pytest.raises(
        ValueError, match="'no_config' .NoConfig. cannot be rebuilt"
    ) as e:
        fresh_weights(model, seed=0)
    assert re.search("initializers={'.*no_config/own': 'glorot", str(e.value))
    fresh = fresh_weights(model, seed=0, initializers={"*no_config/*": "he_normal"})
    assert fresh[0].shape == (2, 3) and fresh[0].any()
    with pytest.raises(ValueError, match="must be built"):
        fresh_weights(keras.Sequential([layers.Dense(1)]), seed=0)


def test_a_container_is_opened():
    dense = layers.Dense(4)
    model = keras.Sequential([keras.Input((4,)), Residual(dense)])
    old = model.get_weights()
    reinitialize(model, seed=0)
    assert not np.array_equal(old[0], dense.get_weights()[0])
    np.testing.assert_array_equal(old[2], model.get_weights()[2])  # gamma


def test_subclassed_models_and_weights_of_their_own():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight(shape=(2,), name="scale")
            self.blocks = [layers.Dense(2), Residual(layers.Dense(2))]

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return x * self.scale

    model = Own()
    model(np.ones((1, 2)))
    with pytest.raises(ValueError, match="own weights.*initializers="):
        fresh_weights(model, seed=0)
    fresh = fresh_weights(model, seed=0, initializers={"*scale": "ones"})
    assert [a.shape for a in fresh] == [v.shape for v in model.weights]
    assert fresh[0].tolist() == [1, 1] and not np.array_equal(fresh[1], fresh[3])


def test_a_weight_shared_by_two_layers_is_drawn_once():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Residual(shared)(shared(inputs)))

    ids = [id(v) for recipe in find_recipes(model) for v, _ in recipe.weights]
    assert len(ids) == len(set(ids)) == len(model.weights)


def test_adapted_statistics_inside_of_other_layers_are_data_too():
    normalization = layers.Normalization()
    normalization.adapt(np.array([[1.0], [3.0]]))
    wrapped = layers.TimeDistributed(normalization)
    model = keras.Sequential([keras.Input((4, 1)), wrapped, layers.Dense(1)])
    before = [v.numpy() for v in normalization.weights]
    reinitialize(model, seed=0)
    assert before and float(np.squeeze(before[0])) == 2.0
    for a, b in zip(before, normalization.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_quantized_weights_are_not_drawn():
    model = dense_model()
    model.quantize("int8")
    with pytest.raises(ValueError, match="quantized"):
        fresh_weights(model, seed=0)


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


class Assigning(layers.Layer):
    """What it begins with is more than its initializers: it has to be rebuilt."""

    def __init__(self, scale_initializer, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.scale_initializer = scale_initializer
        self.seed = seed

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(4,), name="scale")
        self.scale.assign(self.scale_initializer((4,)) + 1)

    def call(self, x):
        return x * self.scale

    def get_config(self):
        own = {"scale_initializer": self.scale_initializer, "seed": self.seed}
        return {**super().get_config(), **own}


def test_a_layer_whose_values_are_more_than_initializers_is_rebuilt():
    make = keras.initializers.RandomNormal(0, 1, seed=3)
    model = keras.Sequential([keras.Input((4,)), Assigning(make)])
    found = find_recipes(model)[0].weights
    assert [how for _, how in found] == [None]
    one, two, again = (fresh_weights(model, seed)[0] for seed in (0, 1, 0))
    assert one.shape == (4,) and not np.array_equal(one, two)
    np.testing.assert_array_equal(one, again)


def test_a_seed_that_would_repeat_the_weights_is_an_error():
    make = keras.initializers.RandomNormal(0, 1)
    model = keras.Sequential([keras.Input((4,)), Assigning(make, seed=7)])
    with pytest.raises(ValueError, match="seed=7 may give the same weights again"):
        fresh_weights(model, seed=0)


class Powers(layers.Layer):
    """Its `seed` is no random seed."""

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape):
        value = keras.initializers.Constant(float(self.seed))
        self.scale = self.add_weight(shape=(4,), initializer=value, name="scale")

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def test_what_an_own_layer_calls_a_seed_is_left_alone():
    model = keras.Sequential([keras.Input((4,)), Powers(7)])
    assert fresh_weights(model, seed=0)[0].tolist() == [7, 7, 7, 7]


class Tied(layers.Layer):
    """Uses the kernel of another layer, and cannot be rebuilt."""

    def __init__(self, dense):
        super().__init__()
        self.kernel = dense.kernel

    def call(self, x):
        return x @ self.kernel


@pytest.mark.parametrize("first", [True, False])
def test_a_weight_tied_by_attribute_is_drawn_by_the_layer_that_made_it(first):
    dense = layers.Dense(4)
    dense.build((None, 4))
    order = [dense, Tied(dense)] if first else [Tied(dense), dense]
    model = keras.Sequential([keras.Input((4,)), *order])
    assert sum(len(recipe.weights) for recipe in find_recipes(model)) == 2
    reinitialize(model, seed=0)


def test_only_what_is_wanted_must_be_drawable():
    model = keras.Sequential([keras.Input((2,)), NoConfig(3), layers.Dense(2)])
    first = model.get_weights()
    reinitialize(model, seed=0, layers=[model.layers[-1]])
    same = [
        np.array_equal(*pair) for pair in zip(first, model.get_weights(), strict=True)
    ]
    assert same == [True, False, True]
    reinitialize(model, mode="rewind", first_weights=first)
    assert np.array_equal(first[1], model.get_weights()[1])
    model.layers[0].trainable = False
    model.compile("sgd", loss="mse")
    callback = FullReinit(Stages(2, 2), seed=0)
    model.fit(
        np.ones((4, 2)), np.ones((4, 2)), epochs=2, verbose=0, callbacks=[callback]
    )
    assert np.array_equal(first[0], model.get_weights()[0])


def test_lambdas_are_no_hindrance():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, activation=lambda x: x)]
    )
    assert fresh_weights(model, seed=0)[0].any()
