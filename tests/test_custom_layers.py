"""What users write: layers, models and initializers of their own."""

import collections
import re
import warnings

import keras
import numpy as np
import pytest
from contract import dense_model
from custom import own_model
from keras import layers

from keras_reinit import FullReinit, Stages, fresh_weights, reinitialize
from keras_reinit.fresh.recipes import find_recipes
from keras_reinit.fresh.weights import fresh_draws


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
        ValueError, match="'no_config' .NoConfig.*cannot be rebuilt"
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


def assigned(layer):
    """Its values are more than its initializers: it has to be rebuilt."""
    layer.scale = layer.add_weight(shape=(4,), name="scale")
    layer.scale.assign(keras.random.normal((4,)) + 1)


def constant_of_numpy(layer):
    value = keras.initializers.Constant(np.random.normal(size=4))
    layer.scale = layer.add_weight(shape=(4,), initializer=value, name="scale")


def weights_and_their_norms(layer):
    """As weight normalization begins."""
    layer.v = layer.add_weight(shape=(4, 3), initializer="glorot_uniform", name="v")
    norms = keras.initializers.Constant(keras.ops.norm(layer.v, axis=0))
    layer.g = layer.add_weight(shape=(3,), initializer=norms, name="g")


def function_made_in_build(layer):
    scale = 2.0

    def draw(shape, dtype=None):
        return scale * keras.random.normal(shape, dtype=dtype)

    layer.scale = layer.add_weight(shape=(4,), initializer=draw, name="scale")


@pytest.mark.parametrize(
    "make",
    [assigned, constant_of_numpy, weights_and_their_norms, function_made_in_build],
)
def test_a_layer_whose_values_are_more_than_initializers_is_rebuilt(make):
    model = own_model(make)
    assert {how for _, how in find_recipes(model)[0].weights} >= {None}
    one, two, again = (fresh_weights(model, seed) for seed in (0, 1, 0))
    for a, b, c, first in zip(one, two, again, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, c)
        assert not np.array_equal(a, b) and not np.array_equal(a, first)
    if make is weights_and_their_norms:
        np.testing.assert_allclose(np.linalg.norm(one[0], axis=0), one[1], rtol=1e-6)


class Scaled(layers.Dense):
    """Its configuration lacks an argument."""

    def __init__(self, units, gains=(1.0,), **kwargs):
        super().__init__(units, **kwargs)
        self._gains = gains

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self._gains[0])
        )


def test_what_a_configuration_lacks_is_no_guess():
    model = keras.Sequential([keras.Input((2,)), Scaled(2, gains=(3.0,))])
    with pytest.raises(ValueError, match="_gains=.3.0,., rebuilt .1.0,."):
        fresh_weights(model, seed=0)
    model = keras.Sequential([keras.Input((2,)), Scaled(2)])
    assert fresh_weights(model, seed=0)[-1] == 1.0


class Sized(layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3), name="kernel")

    def call(self, x):
        return x @ self.kernel

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@pytest.mark.parametrize(
    "size",
    [
        collections.namedtuple("Size", "height width")(1, 2),
        [1.0, float("nan")],
        np.array([1.0, np.nan]),
        {"a": ("b", None)},
    ],
    ids=["named tuple", "nan", "array", "dict"],
)
def test_arguments_of_every_kind_are_compared(size):
    model = keras.Sequential([keras.Input((4,)), Sized(size)])
    assert fresh_weights(model, seed=0)[0].any()


def test_a_layer_that_stops_to_be_drawable_is_named():
    """Found when the training begins, gone at the event."""
    model = own_model(assigned)
    recipes = find_recipes(model)
    model.layers[0].make = a_function_without_weights
    with pytest.raises(ValueError, match="while layer 'own.*' was drawn"):
        [draw() for _, draw in fresh_draws(recipes, seed=0)]


def a_function_without_weights(layer):
    pass


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


def test_no_warning_is_of_the_twin(recwarn):
    def build_with_a_warning(layer):
        assigned(layer)
        warnings.warn("built", stacklevel=1)

    model = own_model(build_with_a_warning)
    recwarn.clear()
    fresh_weights(model, seed=0)
    assert not recwarn.list


def test_where_all_is_of_keras_no_other_thread_sees_numpys_generator_move(monkeypatch):
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3)])
    seen = []

    class Watching(keras.random.SeedGenerator):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            seen.append(np.random.get_state()[1].copy())

    before = np.random.get_state()[1].copy()
    monkeypatch.setattr(keras.random, "SeedGenerator", Watching)
    fresh_weights(model, seed=0)
    assert seen and all(np.array_equal(before, state) for state in seen)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a layer of PyTorch")
@pytest.mark.parametrize(("safe", "why"), [(True, "cannot be"), (False, "a seed of")])
def test_a_module_of_pytorch_is_not_returned_as_it_was_trained(safe, why):
    """Its configuration holds the module itself, weights included."""
    import torch
    from keras.src.saving.serialization_lib import SafeModeScope

    wrapped = layers.TorchModuleWrapper(torch.nn.Linear(4, 3), output_shape=(None, 3))
    model = keras.Sequential([keras.Input((4,)), wrapped, layers.Dense(1)])
    with SafeModeScope(safe), pytest.raises(ValueError, match=f"torch_mod.*{why}"):
        fresh_weights(model, seed=0)


class HandsOn(layers.Layer):
    """Its configuration holds a live layer and a live generator."""

    def __init__(self, inner, rng, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.rng = inner, rng

    def build(self, input_shape):
        self.own = self.add_weight(shape=(4,), initializer=lambda s, dtype: np.ones(s))
        if self.inner and not self.inner.built:
            self.inner.build(input_shape)

    def call(self, x):
        x = x + keras.random.normal((4,), seed=self.rng)
        return self.inner(x) if self.inner else x

    def get_config(self):
        return {**super().get_config(), "inner": self.inner, "rng": self.rng}


@pytest.mark.parametrize("inner", [layers.Dense, None])
def test_what_a_configuration_hands_on_stays_the_users(inner):
    rng = keras.random.SeedGenerator(7)
    layer = HandsOn(inner and inner(4), rng)
    model = keras.Sequential([keras.Input((4,)), layer])
    before, state = model.get_weights(), rng.state.numpy()
    if inner:
        with pytest.raises(ValueError, match="hands on layers.*initializers="):
            fresh_weights(model, seed=0)
    fresh_weights(model, seed=0, initializers={"*": "ones"} if inner else None)
    np.testing.assert_array_equal(state, rng.state.numpy())
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(model.predict(np.ones((2, 4)), verbose=0)).all()
