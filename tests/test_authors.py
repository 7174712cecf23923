"""Methods against their authors' formulas, in NumPy."""

import keras
import numpy as np
import pytest
from contract import Steps
from keras import layers

from keras_reinit import (
    ContinualBackprop,
    Dash,
    Diagnostics,
    KnowledgeEvolution,
    LaterLayerForgetting,
    ReDo,
    Rifle,
    Stages,
    StepStages,
    UnitStatistics,
    UnitUtilities,
    WeightForgetting,
    add_unit_statistics,
)
from keras_reinit.diagnostics import plasticity
from keras_reinit.diagnostics.gradients import Gradients
from keras_reinit.graph.roles import kernels
from keras_reinit.methods.continual_backprop import _outgoing
from keras_reinit.models import resnet18
from keras_reinit.units import Units

EVENT = Stages(2, 2)


def varied(model):
    """Gives all weights values that no initializer draws, and compiles the model."""
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(1, 2, w.shape) for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def fresh(model, callback):
    """Names of the weights that an event changes."""
    before = [np.copy(v.numpy()) for v in model.weights]
    callback.apply(model, 1)
    return {
        "/".join(v.path.split("/")[-2:])
        for v, old in zip(model.weights, before, strict=True)
        if (v.numpy() != old).any()
    }


# --- continual backpropagation ---------------------------------------------------


class GnT:
    """`gnt.py` of shibhansh/loss-of-plasticity for one layer, `accumulate=True`."""

    def __init__(self, units, rate, decay, maturity):
        self.util, self.ages = np.zeros((2, units))
        self.due = 0.0
        self.rate, self.decay, self.maturity = rate, decay, maturity

    def __call__(self, features, outgoing):
        """Units to be replaced; `outgoing` has them on its first axis."""
        positions = tuple(range(features.ndim - 1))
        weight = np.abs(outgoing).mean(tuple(range(1, outgoing.ndim)))
        self.ages += 1
        self.util *= self.decay
        self.util += (1 - self.decay) * weight * np.abs(features).mean(positions)
        corrected = self.util / (1 - self.decay**self.ages)
        eligible = np.flatnonzero(self.ages > self.maturity)
        self.due += self.rate * len(eligible)
        count = int(self.due)
        self.due -= count
        gone = eligible[np.argsort(corrected[eligible])[:count]]
        self.util[gone] = self.ages[gone] = 0
        return sorted(gone)


def convolution(x, kernel, bias):
    height, width = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), (1, 2))
    return np.einsum("nxyihw,hwio->nxyo", windows, kernel) + bias


def relu(x):
    return np.maximum(x, 0)


def dense_net():
    """A model; in NumPy its activations and outgoing weights; and numbers of units."""
    hidden = [layers.Dense(n, activation="relu", name=f"h{n}") for n in (6, 5)]
    model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(3)])

    def features(x, w):
        first = relu(x @ w[0] + w[1])
        return [first, relu(first @ w[2] + w[3])]

    return model, features, lambda w: [w[2], w[4]], (6, 5)


def conv_net():
    """Two convolutions, of which the second one is flattened."""
    hidden = [layers.Conv2D(n, 2, activation="relu", name=f"h{n}") for n in (5, 4)]
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), *hidden, layers.Flatten(), layers.Dense(3)]
    )

    def features(x, w):
        first = relu(convolution(x, w[0], w[1]))
        return [first, relu(convolution(first, w[2], w[3]))]

    def outgoing(w):
        flat = w[4].reshape(2, 2, 4, 3)  # Height, width, unit, output.
        return [w[2].transpose(2, 0, 1, 3), flat.transpose(2, 0, 1, 3)]

    return model, features, outgoing, (5, 4)


@pytest.mark.parametrize("make", [dense_net, conv_net])
def test_utilities_and_replaced_units_are_the_authors(make):
    plain, features, outgoing, sizes = make()
    model = add_unit_statistics(plain, UnitUtilities)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    kept = dict(rate=0.07, decay=0.9, maturity=2)
    method = ContinualBackprop(StepStages(12, 12), seed=3, **kept)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, *model.input_shape[1:])).astype("float32")
    y = rng.normal(size=(48, 3)).astype("float32")
    steps = Steps()
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[method, steps])
    own = [i for i, v in enumerate(model.weights) if v.trainable]
    ages = [i for i, v in enumerate(model.weights) if v.name == "age"]
    begins, ends = (
        [[step[i].astype("float64") for i in own] for step in found]
        for found in (steps.begins, steps.ends)
    )
    references = [GnT(size, **kept) for size in sizes]
    replaced = 0
    for t in range(1, 12):
        hidden = features(x[4 * (t - 1) : 4 * t], begins[t - 1])
        for reference, some, out, age in zip(
            references, hidden, outgoing(ends[t - 1]), ages, strict=True
        ):
            gone = reference(some, out)
            assert np.flatnonzero(steps.begins[t][age] == 0).tolist() == gone
            replaced += len(gone)
    assert replaced >= 4
    measured = [one for one in model.layers if isinstance(one, UnitUtilities)]
    for layer, reference in zip(measured, references, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(layer.utility), reference.util, rtol=1e-5
        )
        assert keras.ops.convert_to_numpy(layer.age).tolist() == reference.ages.tolist()


def test_each_unit_has_its_own_outgoing_weight():
    hidden = layers.Dense(3, activation="relu")
    model = keras.Sequential([keras.Input((2,)), hidden, layers.Dense(2)])
    model.layers[1].kernel.assign([[0.0, 0.0], [1.0, -1.0], [5.0, 5.0]])
    assert _outgoing(Units(model))[1:4].tolist() == [0, 1, 5]


@pytest.mark.parametrize(
    ("reader", "units_first"),
    [
        (lambda: layers.Conv2D(3, 2), (2, 0, 1, 3)),
        (lambda: layers.Conv2DTranspose(3, 2), (3, 0, 1, 2)),
        (lambda: layers.DepthwiseConv2D(2), (2, 0, 1, 3)),
        (lambda: layers.Dense(3), (0, 1)),
    ],
    ids=["convolution", "transposed", "depthwise", "dense"],
)
def test_outgoing_weights_lie_along_the_axis_of_what_is_read(reader, units_first):
    x = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(5, 1, activation="relu")(x)
    reader = reader()
    y = layers.Dense(1)(layers.GlobalAveragePooling2D()(reader(hidden)))
    model = keras.Model(x, y)
    rng = np.random.default_rng(0)
    reader.kernel.assign(rng.normal(size=reader.kernel.shape))
    kernel = reader.kernel.numpy().transpose(units_first).reshape(5, -1)
    found = _outgoing(Units(model))[1:6]
    np.testing.assert_allclose(found, np.abs(kernel).mean(1), rtol=1e-6)


def test_outgoing_weights_are_those_of_all_readers():
    x = keras.Input((2,))
    hidden = layers.Dense(2, activation="relu")(x)
    one, two = layers.Dense(1), layers.Dense(3)
    model = keras.Model(x, [one(hidden), two(hidden)])
    one.kernel.assign([[4.0], [0.0]])
    two.kernel.assign([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    assert _outgoing(Units(model))[1:3].tolist() == [1.0, 1.5]


def flattened_then_active(statistics):
    """Two units, of which an activation after `Flatten` shows eight features."""
    conv = layers.Conv2D(2, 1, use_bias=False)
    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            conv,
            layers.Flatten(),
            layers.ReLU(),
            layers.Dense(1),
        ]
    )
    conv.kernel.assign([[[[1.0, 10.0]]]])
    model = add_unit_statistics(model, statistics)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model, conv


def test_a_flattened_unit_counts_once():
    model, conv = flattened_then_active(UnitUtilities)
    before = conv.kernel.numpy()
    x = np.zeros((4, 2, 2, 1), "float32")
    x[:, 0] = 1.0  # At half of the positions units are silent.
    method = ContinualBackprop(StepStages(3, 3), rate=0.25, maturity=0, seed=3)
    model.fit(x, np.ones(4), epochs=3, verbose=0, callbacks=[method])
    # Half a unit is due at each of two events: the one of less use, once.
    changed = conv.kernel.numpy() != before
    assert changed.sum() == 1


def test_a_flattened_unit_is_as_active_as_all_its_positions():
    model, conv = flattened_then_active(UnitStatistics)
    before = conv.kernel.numpy()
    x = np.zeros((4, 2, 2, 1), "float32")
    x[:, 0, 0] = 1.0
    # The means are 0.25 and 2.5, the scores 0.18 and 1.8; at its best position, 0.73.
    model.fit(
        x, np.ones(4), epochs=2, verbose=0, callbacks=[ReDo(EVENT, threshold=0.5)]
    )
    assert (conv.kernel.numpy() != before).ravel().tolist() == [True, False]


def test_normalization_of_another_axis_is_not_of_units():
    model = keras.Sequential(
        [
            keras.Input((3, 3)),
            layers.Dense(3),
            layers.BatchNormalization(axis=1),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )
    units = Units(model)
    assert not units.normalized and not units.free.any()


# --- the head ---------------------------------------------------------------------


class Scale(layers.Layer):
    """A layer with a vector as its only weight."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], name="scale")

    def call(self, x):
        return x * self.scale


LOGITS = {"logits/kernel", "logits/bias"}
NORM = {f"norm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")}
INNER = {"inner/kernel", "inner/bias"}


def inner(*parts):
    return keras.Sequential([keras.Input((3,)), *parts], name="model")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda: [layers.BatchNormalization(name="norm")], LOGITS | NORM),
        (
            lambda: [layers.BatchNormalization(name="norm"), layers.Softmax()],
            LOGITS | NORM,
        ),
        (
            lambda: [layers.LayerNormalization(name="norm")],
            LOGITS | {"norm/gamma", "norm/beta"},
        ),
        (lambda: [layers.PReLU(name="slope")], LOGITS | {"slope/alpha"}),
        (lambda: [Scale(name="own")], LOGITS | {"own/scale"}),
        (
            lambda: [inner(layers.BatchNormalization(name="norm"), layers.Softmax())],
            LOGITS | NORM,
        ),
        (
            lambda: [
                inner(layers.Dense(3, name="inner")),
                layers.BatchNormalization(name="norm"),
            ],
            INNER | NORM,
        ),
        (
            lambda: [
                inner(
                    layers.Dense(3, name="inner"),
                    layers.BatchNormalization(name="norm"),
                )
            ],
            INNER | NORM,
        ),
    ],
    ids=[
        "batch norm", "batch norm and softmax", "layer norm", "prelu", "vector",
        "norm in a model", "norm after a model", "model with a norm",
    ],
)  # fmt: skip
def test_rifle_draws_all_from_the_last_kernel_on(after, expected):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, activation="relu", name="hidden"),
            layers.BatchNormalization(name="below"),
            layers.Dense(3, name="logits"),
            *after(),
        ]
    )
    assert fresh(varied(model), Rifle(EVENT, seed=0)) == expected


def test_a_normalization_of_several_axes_and_slopes_of_a_map_are_no_kernels():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(3, 3, name="logits"),
            layers.LayerNormalization(axis=[1, 2, 3], name="norm"),
            layers.PReLU(name="slope"),
        ]
    )
    found = fresh(varied(model), Rifle(EVENT, seed=0))
    assert found == LOGITS | {"norm/gamma", "norm/beta", "slope/alpha"}
    assert kernels(model) == [model.layers[0].kernel]


def test_rifle_draws_the_head_of_each_output():
    x = keras.Input((4,))
    hidden = layers.Dense(5, name="hidden")(x)
    one = layers.BatchNormalization(name="norm")(layers.Dense(2, name="logits")(hidden))
    both = keras.Sequential([keras.Input((5,)), layers.Dense(2, name="inner")])
    model = varied(keras.Model(x, [one, both(hidden)]))
    assert fresh(model, Rifle(EVENT, seed=0)) == LOGITS | NORM | INNER


def test_ranks_are_of_what_the_last_kernel_takes():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, name="hidden"),
            layers.Dense(3, name="logits"),
            layers.BatchNormalization(),
            Scale(),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    diagnostics = Diagnostics(x)
    diagnostics.set_model(model)
    kernel, bias = model.get_layer("hidden").get_weights()
    values = np.linalg.svd(x @ kernel + bias, compute_uv=False)
    found = diagnostics.measure()
    share = values / values.sum()
    entropy = -(share * np.log(share)).sum()
    assert found["effective_rank"] == pytest.approx(np.exp(entropy), rel=1e-4)
    expected = (values**2).sum() / values.max() ** 2
    assert found["stable_rank"] == pytest.approx(expected, rel=1e-4)
    # As `post_run_analysis.py` of shibhansh/loss-of-plasticity has it.
    assert found["srank"] == np.sum(np.cumsum(share) < 0.99) + 1


def test_a_model_without_a_kernel_has_no_ranks():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    model.compile("sgd", "mse")
    diagnostics = Diagnostics(np.ones((4, 3)))
    diagnostics.set_model(model)
    assert diagnostics.measure()["srank"] == 0


# --- srank ------------------------------------------------------------------------


def test_srank_is_the_smallest_count_that_holds_the_share():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(2))
    for values, delta, expected in (
        ([6.0, 3.0, 0.95, 0.05], 0.01, 3),
        ([6.0, 3.0, 0.85, 0.15], 0.01, 4),
        ([6.0, 3.0, 0.95, 0.05], 0.15, 2),
        ([1.0] * 8, 0.01, 8),
    ):
        features = left[:, : len(values)] * values @ right[: len(values)]
        assert plasticity.srank(features, delta) == expected
    assert plasticity.srank(np.zeros((3, 2))) == 0
    # Not the measure of the same name: 36 + 9 + 0.9 over 36.
    assert plasticity.srank(np.diag([6.0, 3.0, 0.95])) == 3


def test_srank_is_logged_and_a_trigger():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 3))
    diagnostics = Diagnostics(x)
    history = model.fit(x, np.ones(8), verbose=0, callbacks=[diagnostics]).history
    assert history["srank"] == [3.0] and history["begin_srank"] == [3.0]
    assert diagnostics.when("srank", below=4)()


# --- the gradient of a compiled loss ----------------------------------------------


def two_outputs(kind="list"):
    """Two linear outputs, `a` with two units and `b` with one, without biases."""
    x = keras.Input((3,))
    a = layers.Dense(2, use_bias=False, name="a")(x)
    b = layers.Dense(1, use_bias=False, name="b")(x)
    return keras.Model(x, {"a": a, "b": b} if kind == "dict" else [a, b])


def examples(kind="list", count=6):
    rng = np.random.default_rng(1)
    x, a, b = (rng.normal(size=(count, n)).astype("float32") for n in (3, 2, 1))
    return x, {"a": a, "b": b} if kind == "dict" else [a, b]


def by_hand(model, x, y, weights, each=None):
    """The gradients of `weights[i] * mean((y_i - x @ w_i)^2)`."""
    kernels = [model.get_layer(name).kernel.numpy() for name in "ab"]
    labels = [y["a"], y["b"]] if isinstance(y, dict) else y
    each = [np.ones(len(x))] * 2 if each is None else each
    return [
        factor * x.T @ (2 * (x @ w - label) * one[:, None]) / label.size
        for factor, w, label, one in zip(weights, kernels, labels, each, strict=True)
    ]


def gradients(model, data, **kwargs):
    found = Gradients(model, model).average(data, 1.0, **kwargs)
    return [found[id(model.get_layer(name).kernel)] for name in "ab"]


@pytest.mark.parametrize(
    ("kind", "loss", "weights"),
    [
        ("list", ["mse", "mse"], [3.0, 0.5]),
        ("list", ["mse", "mse"], (3.0, 0.5)),
        ("list", {"a": "mse", "b": "mse"}, {"a": 3.0, "b": 0.5}),
        ("list", {"b": "mse", "a": "mse"}, {"b": 0.5, "a": 3.0}),
        ("dict", {"a": "mse", "b": "mse"}, {"b": 0.5, "a": 3.0}),
        ("list", [keras.losses.MeanSquaredError(), "mse"], [3.0, 0.5]),
    ],
)
def test_loss_weights_reach_the_gradient(kind, loss, weights):
    model, (x, y) = two_outputs(kind), examples(kind)
    model.compile("sgd", loss, loss_weights=weights)
    expected = by_hand(model, x, y, (3.0, 0.5))
    for one, other in zip(gradients(model, (x, y)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_losses_by_name_take_labels_by_name():
    model, (x, y) = two_outputs(), examples("dict")
    model.compile("sgd", {"a": "mse", "b": "mse"}, loss_weights={"a": 0.0, "b": 2.0})
    found = gradients(model, (x, y))
    assert not found[0].any()
    np.testing.assert_allclose(
        found[1], by_hand(model, x, y, (0.0, 2.0))[1], rtol=1e-4, atol=1e-6
    )


def test_reductions_and_sample_weights_reach_the_gradient():
    model, (x, y) = two_outputs(), examples()
    summed = keras.losses.MeanSquaredError(reduction="sum")
    model.compile("sgd", [summed, "mse"], loss_weights=[1.0, 4.0])
    each = [np.arange(6.0), np.array([1.0, 0, 0, 2, 0, 1])]
    expected = by_hand(model, x, y, (6.0, 4.0), each)
    found = gradients(model, (x, y, [one.astype("float32") for one in each]))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_weight_of_the_only_loss_reaches_the_gradient():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse", loss_weights=2.0)
    x, (_, y) = examples()
    [found] = Gradients(model, model).average((x, y), 1.0).values()
    error = x @ model.layers[0].kernel.numpy() - y
    np.testing.assert_allclose(found, 2 * x.T @ error * 2 / 6, rtol=1e-4, atol=1e-6)


def test_the_gradient_norm_is_of_all_examples():
    model, (x, y) = two_outputs(), examples()
    model.compile("sgd", ["mse", "mse"], loss_weights=[3.0, 0.5])
    diagnostics = Diagnostics(x, y)
    diagnostics.set_model(model)
    diagnostics.on_train_begin()
    expected = plasticity.norm(by_hand(model, x, y, (3.0, 0.5)))
    assert diagnostics.measure()["gradient_norm"] == pytest.approx(expected, rel=1e-4)


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """As in many tutorials, it has no `get_config`."""

    def __call__(self, step):
        return 0.1


def test_loss_weights_that_cannot_be_read_are_refused():
    one = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    one.compile(keras.optimizers.SGD(Schedule()), "mse")
    Gradients(one, one)
    model = two_outputs()
    model.compile(keras.optimizers.SGD(Schedule()), ["mse", "mse"])
    with pytest.raises(ValueError, match="`loss_weights` can be read"):
        Gradients(model, model)


def test_the_gradient_is_computed_as_the_model_was_compiled():
    model = two_outputs()
    model.compile("sgd", ["mse", "mse"], run_eagerly=True)
    probe = Gradients(model, model)._probe
    assert probe.run_eagerly and not probe.jit_compile


def test_an_interruption_leaves_statistics_as_they_were(monkeypatch):
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    model.compile("sgd", "mse")
    gradients = Gradients(model, model)
    step = gradients._probe.train_on_batch

    def interrupted(*batch):
        step(*batch)
        raise KeyboardInterrupt

    monkeypatch.setattr(gradients._probe, "train_on_batch", interrupted)
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        gradients.average((np.ones((4, 3)), np.ones((4, 3))), 1.0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


class Interrupted(keras.utils.PyDataset):
    """A data set that is interrupted, far behind what is read ahead."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        if index == 50:
            raise KeyboardInterrupt
        return np.ones((4, 3), "float32"), np.ones((4, 3), "float32")


def test_an_interrupted_data_set_leaves_weights_as_they_were():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(BaseException):  # noqa: B017
        Gradients(model, model).average(Interrupted(), 1.0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


# --- DASH -------------------------------------------------------------------------


def shrunk(weight, descent):
    """`dash` of the authors' `train_utils.py`, for a dense kernel of ours."""
    norms = np.linalg.norm(weight, axis=0) * np.linalg.norm(descent, axis=0)
    cosine = (weight * descent).sum(0) / np.maximum(norms, 1e-8)
    return weight * np.clip(cosine, 0.3, 1)


@pytest.mark.parametrize("size", [None, 6, 2, 4])
def test_dash_averages_over_batches_of_its_size(size):
    model, (x, y) = two_outputs(), examples()
    model.compile("sgd", ["mse", "mse"], loss_weights=[1.0, 0.0])
    before = [model.get_layer(name).kernel.numpy() for name in "ab"]
    # The descent leads along the weights, roughly.
    y = [part + 3 * x @ weight for part, weight in zip(y, before, strict=True)]
    average = [0.0, 0.0]
    for begin in range(0, 6, size or 6):
        some = slice(begin, begin + (size or 6))
        found = by_hand(model, x[some], [part[some] for part in y], (1.0, 0.0))
        average = [0.7 * g - 0.3 * new for g, new in zip(average, found, strict=True)]
    Dash(EVENT, data=(x, y), batch_size=size).apply(model, 1)
    for name, weight, descent in zip("ab", before, average, strict=True):
        np.testing.assert_allclose(
            model.get_layer(name).kernel.numpy(),
            shrunk(weight, descent),
            rtol=1e-3,
            atol=1e-6,
        )


def test_the_batch_size_of_dash():
    assert Dash(EVENT, batch_size=None).get_config()["batch_size"] is None
    for size in (0, -1, 1.5, True, "128"):
        with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1"):
            Dash(EVENT, batch_size=size)


class OwnDense(layers.Dense):
    """A user's class of a layer of Keras."""


def test_dash_shrinks_layers_of_a_users_class():
    model = keras.Sequential([keras.Input((3,)), OwnDense(2, use_bias=False)])
    model.compile("sgd", "mse")
    x, (y, _) = examples()
    weight = model.layers[0].kernel.numpy()
    Dash(EVENT, data=(x, y), batch_size=None).apply(model, 1)
    expected = shrunk(weight, x.T @ (y - x @ weight))
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), expected, rtol=1e-4)


# --- biases -----------------------------------------------------------------------


def small():
    return varied(
        keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(4, name="one"),
                layers.BatchNormalization(name="norm"),
                layers.Dense(4, name="two"),
                layers.Dense(2, name="logits"),
            ]
        )
    )


def test_biases_stay_as_in_the_authors_code():
    both = {f"{name}/kernel" for name in ("two", "logits")}
    method = LaterLayerForgetting(EVENT, seed=0, biases=False)
    assert fresh(small(), method) == both
    assert method.get_config()["biases"] is False
    method = LaterLayerForgetting(EVENT, seed=0)
    assert fresh(small(), method) == both | {"two/bias", "logits/bias"}
    method = KnowledgeEvolution(EVENT, seed=0, biases=False)
    assert fresh(small(), method) == both | {"one/kernel"}
    assert method.get_config()["biases"] is False
    method = KnowledgeEvolution(EVENT, seed=0)
    assert fresh(small(), method) == both | {"one/kernel", "one/bias", "two/bias"}


class Linear(layers.Layer):
    """A dense layer as in Keras' guides, whose weights have no names."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], 2))
        self.b = self.add_weight(shape=(2,))

    def call(self, x):
        return x @ self.w + self.b


def test_what_biases_are():
    x = keras.Input((3, 4))
    y = layers.MultiHeadAttention(2, 2, name="attention")(x, x)
    y = Linear()(layers.GRU(3, name="gru")(layers.PReLU()(y)))
    model = varied(keras.Model(x, y))
    shapes = [tuple(v.shape) for v in kernels(model)]
    assert (2, 2) not in shapes and (2, 9) not in shapes and (3, 4) not in shapes
    assert len(shapes) == 4 + 2 + 1
    method = LaterLayerForgetting(EVENT, seed=0, biases=False, ends=["gru"])
    before = model.layers[-1].b.numpy()
    method.apply(model, 1)
    np.testing.assert_array_equal(model.layers[-1].b.numpy(), before)
    changed = fresh(model, WeightForgetting(EVENT, share=1.0, seed=0))
    assert not any("bias" in name or "alpha" in name for name in changed)


def test_the_papers_later_layers_of_a_resnet_18():
    model = resnet18((32, 32, 3), 10, width=2)
    model.compile("sgd", "mse")
    method = LaterLayerForgetting(EVENT, seed=0, num_blocks=5, biases=False)
    convolutions = ("1_conv1", "1_conv2", "1_shortcut_conv", "2_conv1", "2_conv2")
    expected = {f"stage4_block{name}/kernel" for name in convolutions}
    assert fresh(model, method) == expected | {"logits/kernel"}
