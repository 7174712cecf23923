import random

import keras
import numpy as np
import pytest
from keras import layers

from keras_reinit import fresh_weights, reinitialize


def dense_model(**kwargs):
    return keras.Sequential(
        [keras.Input((64,)), layers.Dense(64, **kwargs), layers.Dense(64, **kwargs)]
    )


def test_a_layers_own_initializer_rewinds_and_a_fresh_draw_does_not():
    model = dense_model()
    first = model.layers[0]
    original = first.kernel.numpy()
    np.testing.assert_array_equal(first.kernel_initializer((64, 64)), original)
    fresh = fresh_weights(model, seed=0)[0]
    assert abs(np.corrcoef(fresh.ravel(), original.ravel())[0, 1]) < 0.1
    assert fresh.std() == pytest.approx(original.std(), rel=0.05)


def test_same_arguments_same_values_whatever_was_built_before():
    one = fresh_weights(dense_model(), seed=3, event=2)
    layers.Dense(5).build((None, 2))
    two = fresh_weights(dense_model(), seed=3, event=2)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 0, "event": 1}])
def test_seeds_and_events_are_independent_draws(other):
    model = dense_model()
    a = fresh_weights(model, seed=0)[0]
    b = fresh_weights(model, **other)[0]
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("shared", ["integer seed", "instance"])
def test_seeded_and_shared_initializers_do_not_repeat(shared):
    initializer = keras.initializers.GlorotUniform(seed=7)
    model = dense_model(kernel_initializer=initializer)
    original = model.get_weights()[0]
    kernels = [fresh_weights(model, 0, event)[i] for event in (0, 1) for i in (0, 2)]
    for i, a in enumerate([*kernels, original]):
        for b in kernels[:i]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


def test_no_global_random_state_moves():
    model = dense_model()
    keras.utils.set_random_seed(5)
    expected = random.random(), np.random.random(), float(keras.random.uniform(()))
    keras.utils.set_random_seed(5)
    fresh_weights(model, seed=0)
    assert expected == (
        random.random(),
        np.random.random(),
        float(keras.random.uniform(())),
    )


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(3),
        layers.Bidirectional(layers.GRU(3)),
        layers.MultiHeadAttention(2, 3),
        layers.SeparableConv1D(4, 2),
        layers.SpectralNormalization(layers.Dense(3)),
        layers.TimeDistributed(layers.Dense(3)),
        layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_drawn_as_they_would_be_built(layer):
    inputs = keras.Input((5, 6))
    many = isinstance(layer, layers.MultiHeadAttention)
    model = keras.Model(inputs, layer(inputs, inputs) if many else layer(inputs))
    for old, new in zip(model.weights, fresh_weights(model, 0), strict=True):
        assert old.shape == new.shape
        if "vector_u" in old.path:
            continue
        if "bias" not in old.path:
            assert not np.array_equal(old, new)
        else:
            np.testing.assert_array_equal(old, new)  # LSTM's forget bias among them.


def test_nested_and_shared_layers():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inner(inner(inputs))))
    fresh = fresh_weights(model, seed=0)
    assert [a.shape for a in fresh] == [v.shape for v in model.weights]
    reinitialize(model, seed=0)
    for a, b in zip(fresh, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_adapted_statistics_are_data():
    normalization = layers.Normalization()
    normalization.adapt(np.array([[1.0], [3.0]]))
    model = keras.Sequential([keras.Input((1,)), normalization, layers.Dense(1)])
    reinitialize(model, seed=0)
    assert float(np.squeeze(normalization.mean)) == 2.0


def test_chosen_layers_get_the_values_that_they_get_with_all():
    model = dense_model()
    old, fresh = model.get_weights(), fresh_weights(model, seed=0)
    reinitialize(model, seed=0, layers=[model.layers[1].name])
    np.testing.assert_array_equal(model.get_weights()[0], old[0])
    np.testing.assert_array_equal(model.get_weights()[2], fresh[2])
    with pytest.raises(ValueError, match="`layers` must be layers of the model"):
        reinitialize(model, seed=0, layers=["nowhere"])


class NoConfig(layers.Layer):
    def __init__(self, units):
        super().__init__(name="no_config")
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units))

    def call(self, x):
        return x @ self.kernel


def test_what_cannot_be_drawn_is_an_error_that_names_it():
    model = keras.Sequential([keras.Input((2,)), NoConfig(3)])
    with pytest.raises(ValueError, match="'no_config' .NoConfig. cannot be rebuilt"):
        fresh_weights(model, seed=0)
    with pytest.raises(ValueError, match="must be built"):
        fresh_weights(keras.Sequential([layers.Dense(1)]), seed=0)


def test_weights_of_the_model_itself_are_an_error():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight(shape=(2,), name="scale")
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x) * self.scale

    model = Own()
    model(np.ones((1, 2)))
    with pytest.raises(ValueError, match="own weights"):
        fresh_weights(model, seed=0)
