"""A sweep over every built-in layer that has weights: drawn as when newly built."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from keras_reinit import fresh_weights
from keras_reinit.fresh.recipes import find_recipes

VECTOR, SEQUENCE = (16,), (5, 16)
IMAGE, VOLUME = (8, 8, 16), (4, 4, 4, 16)
MOVIE = {1: (2, 8, 4), 2: (2, 6, 6, 4), 3: (2, 4, 4, 4, 4)}

# Built-in layers with weights, and the shape of an input; several inputs where a
# layer takes more than one.
CASES = {
    layers.Dense: [(lambda: layers.Dense(16, bias_initializer="normal"), VECTOR)],
    layers.EinsumDense: [
        (lambda: layers.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d"), SEQUENCE)
    ],
    layers.Embedding: [(lambda: layers.Embedding(20, 8), (5,))],
    layers.ReversibleEmbedding: [
        (lambda: layers.ReversibleEmbedding(20, 8), (5,)),
        (lambda: layers.ReversibleEmbedding(20, 8, tie_weights=False), (5,)),
    ],
    layers.PReLU: [(lambda: layers.PReLU("uniform"), SEQUENCE)],
    layers.Conv1D: [(lambda: layers.Conv1D(8, 3), SEQUENCE)],
    layers.Conv2D: [(lambda: layers.Conv2D(8, 3, groups=4), IMAGE)],
    layers.Conv3D: [(lambda: layers.Conv3D(8, 3), VOLUME)],
    layers.Conv1DTranspose: [(lambda: layers.Conv1DTranspose(8, 3), SEQUENCE)],
    layers.Conv2DTranspose: [(lambda: layers.Conv2DTranspose(8, 3), IMAGE)],
    layers.Conv3DTranspose: [(lambda: layers.Conv3DTranspose(8, 3), VOLUME)],
    layers.DepthwiseConv1D: [(lambda: layers.DepthwiseConv1D(3), SEQUENCE)],
    layers.DepthwiseConv2D: [(lambda: layers.DepthwiseConv2D(3), IMAGE)],
    layers.SeparableConv1D: [(lambda: layers.SeparableConv1D(8, 3), SEQUENCE)],
    layers.SeparableConv2D: [(lambda: layers.SeparableConv2D(8, 3), IMAGE)],
    layers.BatchNormalization: [
        (lambda: layers.BatchNormalization(gamma_initializer="normal"), IMAGE)
    ],
    layers.GroupNormalization: [(lambda: layers.GroupNormalization(4), IMAGE)],
    layers.LayerNormalization: [(layers.LayerNormalization, SEQUENCE)],
    layers.RMSNormalization: [(layers.RMSNormalization, SEQUENCE)],
    layers.SpectralNormalization: [
        (lambda: layers.SpectralNormalization(layers.Dense(32)), VECTOR),
        (lambda: layers.SpectralNormalization(layers.Conv2D(32, 3)), IMAGE),
    ],
    layers.Attention: [
        (lambda: layers.Attention(use_scale=True), (SEQUENCE, SEQUENCE))
    ],
    layers.AdditiveAttention: [(layers.AdditiveAttention, (SEQUENCE, SEQUENCE))],
    layers.MultiHeadAttention: [
        (lambda: layers.MultiHeadAttention(2, 8), (SEQUENCE, SEQUENCE))
    ],
    layers.GroupQueryAttention: [
        (lambda: layers.GroupQueryAttention(8, 4, 2), (SEQUENCE, SEQUENCE))
    ],
    layers.STFTSpectrogram: [
        (lambda: layers.STFTSpectrogram(frame_length=16, frame_step=8), (64, 1))
    ],
    layers.SimpleRNN: [(lambda: layers.SimpleRNN(16), SEQUENCE)],
    layers.GRU: [(lambda: layers.GRU(16, reset_after=False), SEQUENCE)],
    layers.LSTM: [
        (lambda: layers.LSTM(16), SEQUENCE),
        (lambda: layers.LSTM(16, bias_initializer="normal"), SEQUENCE),
    ],
    layers.ConvLSTM1D: [(lambda: layers.ConvLSTM1D(8, 3), MOVIE[1])],
    layers.ConvLSTM2D: [(lambda: layers.ConvLSTM2D(8, 3), MOVIE[2])],
    layers.ConvLSTM3D: [(lambda: layers.ConvLSTM3D(8, 3), MOVIE[3])],
    layers.Bidirectional: [(lambda: layers.Bidirectional(layers.LSTM(8)), SEQUENCE)],
    layers.TimeDistributed: [
        (lambda: layers.TimeDistributed(layers.Dense(16)), SEQUENCE)
    ],
    layers.RNN: [
        (lambda: layers.RNN([layers.LSTMCell(8), layers.GRUCell(8)]), SEQUENCE),
        (lambda: layers.RNN(layers.SimpleRNNCell(8)), SEQUENCE),
    ],
}
# They are not used on their own: RNN and Wrapper are their users.
INSIDE_OF_OTHERS = {
    layers.SimpleRNNCell,
    layers.GRUCell,
    layers.LSTMCell,
    layers.StackedRNNCells,
    layers.Wrapper,
}
# Modules of another framework, whose weights Keras did not draw.
FOREIGN = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}
every_layer = pytest.mark.parametrize(
    ("make", "shapes"),
    [
        pytest.param(*case, id=f"{cls.__name__}-{i}")
        for cls, cases in CASES.items()
        for i, case in enumerate(cases)
    ],
)


def model_of(make, shapes, seed):
    keras.utils.set_random_seed(seed)
    several = isinstance(shapes[0], tuple)
    inputs = [keras.Input(shape) for shape in (shapes if several else [shapes])]
    layer = make()
    attends = isinstance(layer, (layers.MultiHeadAttention, layers.GroupQueryAttention))
    called = layer(*inputs) if attends else layer(inputs if several else inputs[0])
    return keras.Model(inputs, called)


@every_layer
def test_each_weight_is_drawn_as_in_a_new_model(make, shapes):
    one, two = (model_of(make, shapes, seed) for seed in (1, 2))
    fresh = fresh_weights(one, seed=0)
    assert one.weights and find_recipes(one)
    for variable, a, b, c in zip(
        one.weights, one.get_weights(), two.get_weights(), fresh, strict=True
    ):
        assert c.shape == a.shape and c.dtype == a.dtype
        if np.array_equal(a, b):  # Not random: zeros, ones, a forget gate.
            np.testing.assert_array_equal(a, c, err_msg=variable.path)
            continue
        assert not np.array_equal(a, c) and not np.array_equal(b, c), variable.path
        if a.size >= 32:
            assert 0.6 < c.std() / a.std() < 1.7, variable.path


@every_layer
def test_every_seed_and_every_event_is_another_draw(make, shapes):
    model = model_of(make, shapes, 1)
    draws = [fresh_weights(model, *key) for key in ((0, 0), (1, 0), (0, 1), (0, 0))]
    for a, b, c, same in zip(*draws, strict=True):
        np.testing.assert_array_equal(a, same)
        if not np.array_equal(a, b):
            assert not np.array_equal(a, c) and not np.array_equal(b, c)


def test_the_table_has_every_built_in_layer_with_weights():
    with_weights = set()
    for name in dir(layers):
        cls = getattr(layers, name)
        if inspect.isclass(cls) and issubclass(cls, layers.Layer):
            own = [base for base in cls.__mro__ if base.__module__.startswith("keras.")]
            own = own[: own.index(layers.Layer)]
            if any("add_weight(" in inspect.getsource(base) for base in own):
                with_weights.add(cls)
    foreign = {getattr(layers, name, None) for name in FOREIGN}
    missing = with_weights - CASES.keys() - INSIDE_OF_OTHERS - foreign
    assert missing - {layers.Normalization} == set()


def test_finding_draws_nothing_and_leaves_nothing_behind(monkeypatch):
    from keras.src.backend.common import global_state

    model = model_of(lambda: layers.Dense(16), VECTOR, 1)
    with monkeypatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", None)
        assert len(find_recipes(model)) == 1
    fresh_weights(model, seed=0)
    assert not global_state.get_global_attribute("uninitialized_variables")


def test_an_own_initializer_is_tried_three_times():
    calls = []

    def own(shape, dtype=None):
        calls.append(shape)
        return keras.ops.zeros(shape, dtype)

    model = model_of(lambda: layers.Dense(4, kernel_initializer=own), VECTOR, 1)
    calls.clear()
    assert len(find_recipes(model)) == 1 and calls == 3 * [(16, 4)]
