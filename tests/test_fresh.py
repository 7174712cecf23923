import gc
import subprocess
import sys

import keras
import numpy as np
import psutil
import pytest
from contract import dense_model, next_random_numbers, not_compiled, not_on_torch
from keras import layers

from keras_reinit import (
    FullReinit,
    Stages,
    add_block_normalization,
    add_weight_decay,
    blocks,
    fresh_weights,
    plan,
    reinitialize,
)
from keras_reinit.fresh.recipes import find_recipes
from keras_reinit.fresh.weights import fresh_draws


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
    expected = next_random_numbers()
    keras.utils.set_random_seed(5)
    fresh_weights(model, seed=0)
    assert expected == next_random_numbers()


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


def test_states_of_random_generators_are_no_weights():
    dropout = layers.Dropout(0.5, seed=3)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8), dropout])
    model(np.ones((2, 8), "float32"), training=True)
    before = dropout.seed_generator.state.numpy()
    reinitialize(model, seed=0)
    np.testing.assert_array_equal(before, dropout.seed_generator.state.numpy())


def test_chosen_layers_get_the_values_that_they_get_with_all():
    model = dense_model()
    old, fresh = model.get_weights(), fresh_weights(model, seed=0)
    reinitialize(model, seed=0, layers=[model.layers[1].name])
    np.testing.assert_array_equal(model.get_weights()[0], old[0])
    np.testing.assert_array_equal(model.get_weights()[2], fresh[2])
    with pytest.raises(ValueError, match="`layers` must be layers of the model"):
        reinitialize(model, seed=0, layers=["nowhere"])


def test_a_draw_does_not_depend_on_what_else_is_drawn():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4), layers.Dropout(0.1), layers.Dense(4)]
    )
    without = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(4)])
    for a, b in zip(
        fresh_weights(model, seed=0), fresh_weights(without, seed=0), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_two_processes_draw_the_same():
    code = (
        "import keras, sys; from keras_reinit import fresh_weights;"
        "keras.layers.Dense(3).build((None, 2)) if sys.argv[1] == '1' else None;"
        "m = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4),"
        "keras.layers.Reshape((1, 4)), keras.layers.LSTM(2, bias_initializer='normal')"
        "]); print([w.tolist() for w in fresh_weights(m, seed=5, event=2)])"
    )
    out = [
        subprocess.run(
            [sys.executable, "-c", code, n], capture_output=True, text=True
        ).stdout
        for n in "01"
    ]
    assert len(out[0]) > 100 and out[0] == out[1]


def test_rewinding_returns_to_given_weights_and_leaves_data_alone():
    normalization = layers.Normalization()
    normalization.adapt(np.array([[1.0], [3.0]]))
    model = keras.Sequential([keras.Input((1,)), normalization, layers.Dense(1)])
    first = model.get_weights()
    normalization.adapt(np.array([[5.0], [7.0]]))
    reinitialize(model, seed=0)
    reinitialize(model, mode="rewind", first_weights=first)
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], first[-2])
    assert float(np.squeeze(normalization.mean)) == 6.0


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"mode": "reset", "seed": 0}, "mode"),
        ({"mode": "rewind"}, "first_weights"),
        ({"mode": "rewind", "first_weights": [np.zeros(3)]}, "first_weights"),
        ({"mode": "rewind", "first_weights": 3}, "first_weights"),
        ({"seed": 0, "initializers": {"nowhere/*": "ones"}}, "initializers"),
        ({"seed": 0, "initializers": ["ones"]}, "initializers"),
        ({"seed": 0, "initializers": {"*": "nonsense"}}, "initializers"),
        ({"seed": 0, "initializers": {"*": 3}}, "initializers"),
        ({"seed": 0, "layers": "dense"}, "layers"),
        ({"seed": 0, "layers": 3}, "layers"),
        ({"seed": 0, "layers": [0]}, "layers"),
        ({"seed": 0, "layers": [keras.layers.Dense(2)]}, "layers"),
    ],
)
def test_bad_arguments(kwargs, name):
    with pytest.raises(ValueError, match=f"`{name}` must.*Received"):
        reinitialize(dense_model(), **kwargs)


@pytest.mark.parametrize(
    "function",
    [
        lambda model: fresh_weights(model, 0),
        lambda model: reinitialize(model, seed=0),
        lambda model: add_block_normalization(model),
        lambda model: add_weight_decay(model, 0.1),
        lambda model: blocks(model),
        lambda model: plan(model, FullReinit(Stages(2, 2))),
    ],
)
def test_what_is_no_model_is_an_error(function):
    for bad in ("m", None, keras.layers.Dense(2)):
        with pytest.raises(ValueError, match="`model` must be a .*Received: model="):
            function(bad)


def test_first_weights_may_be_lists():
    model = dense_model()
    first = model.get_weights()
    reinitialize(model, seed=0)
    lists = [value.tolist() for value in first]
    reinitialize(model, mode="rewind", first_weights=lists)
    np.testing.assert_array_equal(model.get_weights()[0], first[0])


@not_on_torch("its allocator keeps what is freed")
def test_a_rebuilt_layers_memory_is_given_back_at_once():
    """Layers are cycles of references, which wait for a garbage collection."""
    model = keras.Sequential([keras.Input((5, 512)), layers.LSTM(512)])
    recipes = find_recipes(model)
    one = 4 * sum(v.numpy().size for v in model.weights)
    gc.collect()
    gc.disable()
    try:
        before = psutil.Process().memory_info().rss
        for event in range(20):
            for _, draw in fresh_draws(recipes, 0, event):
                draw()
        assert psutil.Process().memory_info().rss - before < 8 * one
    finally:
        gc.enable()


def test_layers_are_chosen_at_any_depth_and_never_by_an_ambiguous_name():
    def inner():
        return keras.Sequential([keras.Input((4,)), layers.Dense(4, name="twin")])

    one, two = inner(), inner()
    model = keras.Sequential([keras.Input((4,)), one, two])
    old = model.get_weights()
    reinitialize(model, seed=0, layers=[two.layers[0]])
    np.testing.assert_array_equal(one.get_weights()[0], old[0])
    assert not np.array_equal(two.get_weights()[0], old[2])
    with pytest.raises(ValueError, match="exactly one layer.*'twin', which 2 have"):
        reinitialize(model, seed=0, layers=["twin"])


class Counting(layers.Dense):
    """Counts how often it is called from Python, which is when a step is traced."""

    calls = 0

    def call(self, inputs, training=None):
        type(self).calls += 1
        return super().call(inputs)


@not_compiled
def test_a_draw_compiles_nothing_anew(toy):
    model = keras.Sequential([keras.Input((4,)), Counting(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*toy, batch_size=8, verbose=0)
    before = Counting.calls
    reinitialize(model, seed=0)
    model.fit(*toy, batch_size=8, verbose=0)
    assert Counting.calls == before


def test_memory_stays_near_the_largest_variable():
    """One variable exists at a time, not a second model."""
    tracker = psutil.Process()
    model = keras.Sequential(
        [keras.Input((1024,)), *(layers.Dense(1024) for _ in range(40))]
    )
    one = 4 * 1024**2
    reinitialize(model, seed=0)  # Allocators settle.
    before, peak = tracker.memory_info().rss, [0]
    for variable, draw in fresh_draws(find_recipes(model), 0, 1):
        variable.assign(draw())
        peak[0] = max(peak[0], tracker.memory_info().rss - before)
    assert peak[0] < 16 * one  # Allocators keep some; the model has 40 of them.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_draws_full_precision(policy):
    dense = layers.Dense(8, dtype=policy)
    model = keras.Sequential([keras.Input((8,)), dense])
    assert fresh_weights(model, seed=0)[0].dtype == np.float32


def test_keras_goes_on_naming_as_if_nothing_had_happened():
    model = keras.Sequential([keras.Input((4, 4)), layers.LSTM(3), layers.Dense(2)])
    keras.utils.clear_session()
    layers.Dense(1), layers.LSTM(1)
    fresh_weights(model, seed=0)
    assert layers.Dense(1).name == "dense_1" and layers.LSTM(1).name == "lstm_1"


@pytest.mark.parametrize("bad", [-1, 1.5, True, None, "0"])
@pytest.mark.parametrize("argument", ["seed", "event"])
def test_seeds_and_events_are_integers(argument, bad):
    model = dense_model()
    for draw in (fresh_weights, reinitialize):
        if draw is reinitialize and (argument, bad) == ("seed", None):
            continue  # It draws one.
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer >= 0"):
            draw(model, **{"seed": 0, argument: bad})
    with pytest.raises(ValueError, match="`seed` must be an integer >= 0"):
        fresh_weights(model, bad)
    fresh_weights(model, np.int64(3))
