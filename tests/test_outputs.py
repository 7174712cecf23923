"""What outputs mean is read from the compiled loss; every term against NumPy."""

import keras
import numpy as np
import pytest
from contract import softmax
from keras import layers

from keras_reinit import (
    BornAgain,
    FullReinit,
    SaveGenerations,
    Stages,
    ensemble,
    reinitialize,
)

L = keras.losses
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def classes(teacher, student, temperature=1.0, axis=-1):
    def log_softmax(z):
        return z - np.log(np.exp(z).sum(axis, keepdims=True))

    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return temperature**2 * (np.exp(p) * (p - q)).sum(axis)


def labels(teacher, student, temperature=1.0):
    p, q = sigmoid(teacher / temperature), sigmoid(student / temperature)
    terms = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return temperature**2 * terms.mean(-1)


def numbers(teacher, student):
    return np.square(teacher - student).mean(-1)


def network(units=3, activation=None, steps=()):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(units, activation, *steps)(inputs))


def term(student, loss, y, **kwargs):
    """What the teacher adds to the loss of a step, and what both say."""
    compiled = {k: kwargs.pop(k) for k in ("loss_weights",) if k in kwargs}
    fitted = {k: kwargs.pop(k) for k in ("sample_weight",) if k in kwargs}
    model = BornAgain(student, **kwargs)
    model.compile(keras.optimizers.SGD(0.0), loss, **compiled)
    plain = model.fit(X, y, batch_size=32, verbose=0, **fitted).history["loss"][0]
    model.hand_over()
    taught = model.fit(X, y, batch_size=32, verbose=0, **fitted).history["loss"][0]
    assert taught == pytest.approx(plain, rel=1e-4)  # It is its own teacher still.
    reinitialize(student, seed=5)
    before = model.evaluate(X, y, batch_size=32, verbose=0, return_dict=True, **fitted)
    taught = model.fit(X, y, batch_size=32, verbose=0, **fitted).history["loss"][0]
    says = [m.predict(X, batch_size=32, verbose=0) for m in (model.teacher, student)]
    return taught - before["loss"], *says


ONE_OF = np.arange(32) % 3
ONE_HOT = np.eye(3)[ONE_OF]
YES_NO = RNG.integers(0, 2, (32, 3)).astype("float32")
NUMBERS = RNG.normal(size=(32, 3)).astype("float32")
CASES = {
    "sparse, logits": (L.SparseCategoricalCrossentropy(from_logits=True), ONE_OF, None),
    "sparse, probabilities": ("sparse_categorical_crossentropy", ONE_OF, "softmax"),
    "one-hot, logits": (L.CategoricalCrossentropy(from_logits=True), ONE_HOT, None),
    "one-hot, by a short name": ("crossentropy", ONE_HOT, "softmax"),
    "focal": (L.CategoricalFocalCrossentropy(), ONE_HOT, "softmax"),
    "divergence": ("kl_divergence", ONE_HOT, "softmax"),
    "function": (L.categorical_crossentropy, ONE_HOT, "softmax"),
    "labels, logits": (L.BinaryCrossentropy(from_logits=True), YES_NO, None),
    "labels, probabilities": ("binary_crossentropy", YES_NO, "sigmoid"),
    "labels, focal": (L.BinaryFocalCrossentropy(from_logits=True), YES_NO, None),
    "squared": ("mse", NUMBERS, None),
    "absolute": (L.MeanAbsoluteError(), NUMBERS, None),
    "huber": ("huber", NUMBERS, None),
    "log_cosh": ("log_cosh", NUMBERS, None),
}


def expected_term(name, teacher, student):
    if name in ("squared", "absolute", "huber", "log_cosh"):
        return numbers(teacher, student).mean()
    if name.startswith("labels"):
        if name.endswith("probabilities"):
            teacher, student = (np.log(p / (1 - p)) for p in (teacher, student))
        return labels(teacher, student, 2.0).mean()
    if CASES[name][2] == "softmax":
        teacher, student = np.log(teacher), np.log(student)
    return classes(teacher, student, 2.0).mean()


@pytest.mark.parametrize("name", CASES)
def test_the_divergence_is_that_of_the_loss(name):
    loss, y, activation = CASES[name]
    got, *says = term(network(3, activation), loss, y, temperature=2.0)
    assert got == pytest.approx(expected_term(name, *says), rel=1e-3, abs=1e-5)
    assert got > 1e-3


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (L.BinaryCrossentropy(from_logits=True), labels),
        ("mse", numbers),
    ],
)
def test_a_single_output_is_taught_as_well(loss, reference):
    got, *says = term(network(1), loss, YES_NO[:, :1])
    assert got == pytest.approx(reference(*says).mean(), rel=1e-4) and got > 1e-3


@pytest.mark.parametrize(
    "reduction", ["sum", "mean", "mean_with_sample_weight", "sum_over_batch_size"]
)
@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
def test_the_reduction_and_the_weights_are_those_of_the_loss(reduction, kind):
    loss, y, reference = {
        "classes": (L.SparseCategoricalCrossentropy, ONE_OF, classes),
        "labels": (L.BinaryCrossentropy, YES_NO, labels),
        "numbers": (L.MeanSquaredError, NUMBERS, numbers),
    }[kind]
    logits = {} if kind == "numbers" else {"from_logits": True}
    weights = RNG.uniform(0.5, 4.0, 32)
    got, *says = term(
        network(3), loss(reduction=reduction, **logits), y,
        sample_weight=weights, loss_weights=[3.0],
    )  # fmt: skip
    counts = {"sum": 1, "mean_with_sample_weight": weights.sum()}
    values = 3.0 * weights * reference(*says)
    assert got == pytest.approx(values.sum() / counts.get(reduction, 32), rel=1e-3)


def test_classes_may_be_on_another_axis():
    inputs = keras.Input((4,))
    outputs = layers.Reshape((3, 2))(layers.Dense(6)(inputs))
    loss = L.CategoricalCrossentropy(from_logits=True, axis=1)
    y = np.stack([ONE_HOT, ONE_HOT[::-1]], axis=-1)
    got, *says = term(keras.Model(inputs, outputs), loss, y)
    assert got == pytest.approx(classes(*says, axis=1).mean(), rel=1e-4)


def test_labels_that_the_loss_ignores_teach_nothing():
    inputs = keras.Input((4,))
    student = keras.Model(inputs, layers.Reshape((2, 3))(layers.Dense(6)(inputs)))
    y = np.stack([ONE_OF, np.where(ONE_OF == 2, -1, ONE_OF)], axis=1)
    loss = L.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    got, *says = term(student, loss, y)
    assert got == pytest.approx(classes(*says)[y != -1].mean(), rel=1e-4)


# --- several outputs ----------------------------------------------------------------


def two_outputs(structure):
    inputs = keras.Input((4,))
    z, a = layers.Dense(3, name="z")(inputs), layers.Dense(2, name="a")(inputs)
    return keras.Model(inputs, {"z": z, "a": a} if structure is dict else [z, a])


def by_name(structure, z, a, named):
    return {"z": z, "a": a} if structure is dict or named else [z, a]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("structure", [dict, list])
def test_everything_is_matched_by_name_or_position(structure, named):
    y = by_name(structure, ONE_OF, NUMBERS[:, :2], named)
    loss = by_name(
        structure, L.SparseCategoricalCrossentropy(from_logits=True), "mse", named
    )
    got, teacher, student = term(
        two_outputs(structure), loss, y,
        loss_weights=by_name(structure, 2.0, 3.0, named),
        distillation_weight=by_name(structure, 0.5, 0.25, named),
    )  # fmt: skip
    (tz, ta), (sz, sa) = (
        (s["z"], s["a"]) if structure is dict else s for s in (teacher, student)
    )
    expected = 0.5 * 2 * classes(tz, sz).mean() + 0.25 * 3 * numbers(ta, sa).mean()
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("structure", [dict, list])
def test_an_output_of_weight_zero_is_not_taught(structure):
    got, teacher, student = term(
        two_outputs(structure),
        by_name(structure, L.SparseCategoricalCrossentropy(from_logits=True), "mse", 0),
        by_name(structure, ONE_OF, NUMBERS[:, :2], False),
        distillation_weight={"z": 1.0, "a": 0.0},
    )
    z = ["z" if structure is dict else 0][0]
    assert got == pytest.approx(classes(teacher[z], student[z]).mean(), rel=1e-4)


def test_one_output_of_a_dict_may_be_named():
    student = network(3)
    name = student.output_names[0]
    got, *says = term(
        student, {name: L.SparseCategoricalCrossentropy(from_logits=True)}, ONE_OF
    )
    assert got == pytest.approx(classes(*says).mean(), rel=1e-4)


# --- refused before any training ----------------------------------------------------


def own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class OwnLoss(L.MeanSquaredError):
    """May compare in any way."""


@pytest.mark.parametrize("loss", [own_loss, OwnLoss(), "hinge", "dice"])
def test_a_loss_that_does_not_tell_needs_a_divergence(loss):
    model = BornAgain(network(3))
    with pytest.raises(ValueError, match="`divergence` must say.*'squared_error'"):
        model.compile("sgd", loss)
    model = BornAgain(network(3), divergence="squared_error")
    model.compile("sgd", loss)


def test_a_divergence_may_be_given_by_name():
    got, teacher, student = term(
        two_outputs(dict), {"z": own_loss, "a": own_loss},
        {"z": NUMBERS, "a": NUMBERS[:, :2]},
        divergence={"z": "kl", "a": "squared_error"},
    )  # fmt: skip
    z = classes(teacher["z"], student["z"]).mean()
    expected = z + numbers(teacher["a"], student["a"]).mean()
    assert got == pytest.approx(expected, rel=1e-4)


def applied(end):
    inputs = keras.Input((4,))
    return keras.Model(inputs, end(layers.Dense(3)(inputs)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return normalized_by_hand(self.dense(x))

    def get_config(self):
        return {}


def in_a_model(activation):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation)])
    return keras.Sequential([keras.Input((4,)), layers.Rescaling(2.0), inner])


def normalized_by_hand(x):
    e = keras.ops.exp(x)
    return e / keras.ops.sum(e, axis=-1, keepdims=True)


SOFTMAX = {
    "activation": lambda: network(3, "softmax"),
    "layer": lambda: applied(layers.Softmax()),
    "operation": lambda: applied(keras.ops.softmax),
    "by hand": lambda: applied(normalized_by_hand),
    "reshaped": lambda: keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, "softmax"), layers.Reshape((3,))]
    ),
    "in a model": lambda: in_a_model("softmax"),
    "float32": lambda: applied(
        lambda x: layers.Activation("linear", dtype="float32")(keras.ops.softmax(x))
    ),
}
SIGMOID = {
    "activation": lambda: network(3, "sigmoid"),
    "layer": lambda: applied(layers.Activation("sigmoid")),
    "operation": lambda: applied(keras.ops.sigmoid),
    "by hand": lambda: applied(lambda x: 1 / (1 + keras.ops.exp(-x))),
    "in a model": lambda: in_a_model("sigmoid"),
}


@pytest.mark.parametrize("name", SOFTMAX)
def test_a_softmax_is_no_logits(name):
    model = BornAgain(SOFTMAX[name]())
    with pytest.raises(ValueError, match="from_logits=False.*what a softmax"):
        model.compile("sgd", L.SparseCategoricalCrossentropy(from_logits=True))
    model.compile("sgd", "sparse_categorical_crossentropy")


@pytest.mark.parametrize("name", SIGMOID)
def test_a_sigmoid_is_no_logits(name):
    model = BornAgain(SIGMOID[name]())
    with pytest.raises(ValueError, match="from_logits=False.*what a sigmoid"):
        model.compile("sgd", L.BinaryCrossentropy(from_logits=True))
    model.compile("sgd", "binary_crossentropy")


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", "binary_crossentropy"]
)
@pytest.mark.parametrize("end", ["linear", "tanh", "relu"])
def test_logits_are_no_probabilities(loss, end):
    model = BornAgain(network(3, end))
    with pytest.raises(ValueError, match="`loss` must have from_logits=True"):
        model.compile("sgd", loss)


def test_what_a_subclassed_network_returns_is_looked_at_too():
    """Its layers are on no graph; it is called before the first step."""
    student = Subclassed()
    student(X)
    model = BornAgain(student)
    model.compile("sgd", L.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="`loss` must have from_logits=False"):
        model.fit(X, ONE_OF, verbose=0)


@pytest.mark.parametrize(
    ("student", "loss", "kwargs", "message"),
    [
        (3, "mse", {"divergence": "l2"}, "`divergence` must be one of"),
        (3, L.CategoricalCrossentropy(from_logits=True), {"from_logits": False},
         "`from_logits` must be as in the compiled loss"),
        (1, L.SparseCategoricalCrossentropy(from_logits=True), {},
         "a softmax of one number is always 1"),
        (3, "mse", {"knowledge": "permuted"}, "`knowledge` must be 'full'"),
        (3, "mse", {"knowledge": "confidence"}, "`knowledge` must be 'full'"),
        (3, "mse", {"distillation_weight": {"b": 1.0}},
         "`distillation_weight` must have one entry for each output"),
        (3, "mse", {"distillation_weight": [1.0, 2.0]},
         "`distillation_weight` must have one entry for each output"),
    ],
)  # fmt: skip
def test_bad_arguments(student, loss, kwargs, message):
    model = BornAgain(network(student), **kwargs)
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", loss)


def test_without_a_teachers_term_the_loss_may_be_any():
    model = BornAgain(network(3), distillation_weight=0.0)
    model.compile("sgd", own_loss)
    model.fit(X, NUMBERS, epochs=2, verbose=0, callbacks=[FullReinit(Stages(2, 2))])


# --- ensembles ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "units", "y", "said"),
    [
        (L.BinaryCrossentropy(from_logits=True), 1, YES_NO[:, :1], sigmoid),
        (L.BinaryCrossentropy(from_logits=True), 3, YES_NO, sigmoid),
        (L.SparseCategoricalCrossentropy(from_logits=True), 3, ONE_OF, softmax),
        ("mse", 3, NUMBERS, lambda outputs: outputs),
    ],
)
@pytest.mark.parametrize("wrap", [lambda student: student, BornAgain])
def test_an_ensemble_averages_what_the_outputs_mean(
    loss, units, y, said, wrap, tmp_path
):
    student, outputs = network(units), []
    model = wrap(student)
    model.compile("sgd", loss)
    schedule = Stages(4, 2)
    see = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: outputs.append(
            keras.ops.convert_to_numpy(student(X))
        )
    )
    callbacks = [FullReinit(schedule, seed=0), SaveGenerations(schedule, tmp_path), see]
    model.fit(X, y, epochs=4, verbose=0, callbacks=callbacks)
    expected = np.mean([said(outputs[1]), said(outputs[3])], axis=0)
    got = ensemble(student, tmp_path).predict(X, verbose=0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_an_ensemble_of_weights_alone_asks_what_they_mean(tmp_path):
    student = network(1)
    student.save_weights(tmp_path / "generation_0.weights.h5")
    with pytest.raises(ValueError, match="`divergence` must say what each output"):
        ensemble(student, tmp_path)
    with pytest.raises(ValueError, match="a softmax of one number is always 1"):
        ensemble(student, tmp_path, divergence="kl")
    whole = ensemble(student, tmp_path, divergence="bernoulli")
    expected = sigmoid(student.predict(X, verbose=0))
    np.testing.assert_allclose(whole.predict(X, verbose=0), expected, rtol=1e-5)
    student.compile("sgd", L.BinaryCrossentropy(from_logits=True))
    whole = ensemble(student, tmp_path)
    np.testing.assert_allclose(whole.predict(X, verbose=0), expected, rtol=1e-5)


def test_an_ensemble_under_a_loss_that_does_not_tell_asks_too(tmp_path):
    student = network(3)
    student.compile("sgd", own_loss)
    saving = SaveGenerations(Stages(2, 2), tmp_path)
    student.fit(X, NUMBERS, epochs=2, verbose=0, callbacks=[saving])
    with pytest.raises(ValueError, match="`divergence` must say what each output"):
        ensemble(student, tmp_path)
    ensemble(student, tmp_path, divergence="squared_error")


def test_every_loss_of_keras_is_told_or_refused():
    """A new one of Keras is refused until it is looked at."""
    from keras_reinit.distillation.outputs import DIVERGENCE_OF

    looked_at = {
        "ctc", "circle", "dice", "tversky", "hinge", "squared_hinge",
        "categorical_hinge", "categorical_generalized_cross_entropy",
    }  # fmt: skip
    told = {function.__name__ for function in DIVERGENCE_OF}
    functions = {
        name
        for name in dir(L)
        if callable(getattr(L, name)) and name.islower() and len(name) > 4
    } - {"deserialize", "serialize"}
    unknown = {getattr(L, name).__name__ for name in functions} - told - looked_at
    assert unknown == set()
