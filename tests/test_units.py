"""Units on the layer graph: who makes and who reads them, by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reinit import UnitStatistics, add_unit_statistics
from keras_reinit.models import MODELS
from keras_reinit.units import Units


def readers(units, name):
    """The numbers of the units that a layer's kernel reads."""
    return [u.ids.tolist() for u in units.read if name in u.variable.path]


def makers(units, name):
    return [u.ids.tolist() for u in units.made if name in u.variable.path]


def test_a_chain_through_normalization_pooling_and_flattening():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            layers.Conv2D(2, 1, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )
    units = Units(model)
    assert readers(units, "conv") == [[0, 0, 0]]
    assert makers(units, "conv") == [[1, 2], [1, 2]]  # Kernel and bias.
    assert readers(units, "head") == [[1, 2] * 4]  # Four positions, channels last.
    assert [u.ids.tolist() for u in units.normalized] == [[1, 2]] * 4
    assert units.free.tolist() == [False, True, True, False, False]
    assert units.index.tolist() == [0, 0, 1, 0, 1]
    assert units.whole.tolist() == [True, False, False, True, True]
    assert [node.operation.name for node, _ in units.points] == ["relu"]


def test_flattened_units_are_those_that_feed_the_next_layer():
    """The numbers of the readers, against the function itself."""
    model = keras.Sequential(
        [
            keras.Input((3, 3, 1)),
            layers.Conv2D(4, 2, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(5, 3, 3, 1)).astype("float32")
    units = Units(model)
    for unit in range(1, 5):
        kernel, bias, head, head_bias = model.get_weights()
        silent = [kernel.copy(), bias, head, head_bias]
        silent[0][..., unit - 1] = 0
        _, reads = units.masks(np.arange(len(units.free)) == unit)[
            id(model.get_layer("head").kernel)
        ]
        model.set_weights(silent)
        without_maker = model.predict(x, verbose=0)
        model.set_weights([kernel, bias, np.where(reads, 0, head), head_bias])
        without_reader = model.predict(x, verbose=0)
        model.set_weights([kernel, bias, head, head_bias])
        np.testing.assert_allclose(without_maker, without_reader, atol=1e-6)
        assert reads.any()


def test_what_is_added_up_is_one_unit_and_what_is_concatenated_is_not():
    x = keras.Input((2,))
    a = layers.Dense(2, activation="relu", name="a")(x)
    b = layers.Dense(2, activation="relu", name="b")(a)
    joined = layers.Concatenate()([a + b, x])
    units = Units(keras.Model(x, layers.Dense(1, name="head")(joined)))
    assert makers(units, "a/")[0] == makers(units, "b/")[0] == readers(units, "b/")[0]
    assert readers(units, "head")[0] == makers(units, "a/")[0] + [0, 0]


def test_depthwise_convolutions_make_units_of_their_own():
    x = keras.Input((4, 4, 1))
    y = layers.Conv2D(3, 1, activation="relu", name="conv")(x)
    y = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(y)
    units = Units(keras.Model(x, layers.Dense(1)(layers.GlobalMaxPooling2D()(y))))
    assert readers(units, "depthwise") == [[1, 2, 3]]
    assert makers(units, "depthwise")[0] == [4, 5, 6]
    kernel = next(u for u in units.read if "depthwise" in u.variable.path)
    made, reads = units.masks(np.arange(8) == 2)[id(kernel.variable)]
    assert reads[:, :, 1].all() and reads.sum() == 9 and not made.any()


@pytest.mark.parametrize(
    "reader",
    [
        lambda y: layers.LSTM(3)(y),
        lambda y: layers.MultiHeadAttention(1, 2)(y, y)[:, 0],
        lambda y: layers.Reshape((8,))(y),
        lambda y: layers.Conv1D(4, 1, groups=2)(y)[:, 0],
        lambda y: y[:, 0] * y[:, 1],
        lambda y: layers.LocallyMade()(y)[:, 0],
        lambda y: layers.Add()([y[:, 0], keras.ops.sum(y, (1, 2))[:, None]]),
    ],
    ids=["lstm", "attention", "reshape", "groups", "product", "own", "broadcast"],
)
def test_units_with_readers_of_another_kind_are_not_free(reader, monkeypatch):
    class LocallyMade(layers.Layer):
        def call(self, x):
            return keras.ops.flip(x, -1)

    monkeypatch.setattr(layers, "LocallyMade", LocallyMade, raising=False)
    x = keras.Input((2, 4))
    y = layers.Dense(4, activation="relu", name="hidden")(x)
    model = keras.Model(x, layers.Dense(1, name="head")(reader(y)))
    units = Units(model)
    assert not units.free.any()
    assert not units.whole[makers(units, "hidden")[0]].any()


def test_the_hidden_layer_of_a_transformer_is_free():
    x = keras.Input((5, 4))
    y = x + layers.MultiHeadAttention(2, 2)(x, x)
    y = layers.LayerNormalization()(y)
    hidden = layers.Dense(6, activation="gelu", name="hidden")(y)
    y = y + layers.Dense(4, name="out")(hidden)
    model = keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(y)))
    units = Units(model)
    assert units.free[makers(units, "hidden")[0]].all() and units.free.sum() == 6


def test_a_model_in_the_model_and_a_layer_that_is_called_twice():
    inner = keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, activation="relu", name="twice")]
    )
    x = keras.Input((3,))
    units = Units(keras.Model(x, layers.Dense(1, name="head")(inner(inner(x)))))
    assert makers(units, "twice")[0] == readers(units, "head")[0]
    assert readers(units, "twice") == [[0, 0, 0], makers(units, "twice")[0]]
    assert units.free[makers(units, "twice")[0]].all()


def test_channels_first_is_unknown():
    x = keras.Input((3, 4, 4))
    y = layers.Conv2D(2, 1, activation="relu", data_format="channels_first")(x)
    model = keras.Model(x, layers.Dense(1)(layers.Flatten()(y)))
    assert not Units(model).free.any()


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_networks_have_free_units(name):
    model = MODELS[name]((32, 32, 3), 10, width=8)
    units = Units(model)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    assert {id(u.variable) for u in units.read} == {id(v) for v in kernels}
    assert units.free.mean() > 0.3


def test_unit_statistics_change_nothing_and_measure_the_last_batch():
    plain = keras.Sequential(
        [
            keras.Input((3, 2)),
            layers.Dense(4, activation="relu"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model = add_unit_statistics(plain)
    x = np.random.default_rng(0).normal(size=(8, 3, 2)).astype("float32")
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), plain.predict(x, verbose=0)
    )
    [layer] = [one for one in model.layers if isinstance(one, UnitStatistics)]
    assert keras.ops.convert_to_numpy(layer.activity).tolist() == [1.0] * 4
    kernel, bias, *_ = plain.get_weights()
    hidden = np.maximum(x[4:] @ kernel + bias, 0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, np.ones(8), batch_size=4, shuffle=False, verbose=0)
    expected = np.abs(hidden).mean((0, 1))
    np.testing.assert_allclose(layer.activity, expected, rtol=1e-5)
    model.evaluate(x, np.ones(8), verbose=0)
    np.testing.assert_allclose(layer.activity, expected, rtol=1e-5)


def test_a_model_without_hidden_activations_is_refused():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="must have a hidden layer with an activation"):
        add_unit_statistics(model)


def test_units_in_a_model_inside_are_not_measured():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, activation="relu")])
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(1)])
    with pytest.raises(ValueError, match="must have a hidden layer"):
        add_unit_statistics(model)
