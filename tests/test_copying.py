"""A copy of a model is the model: judged by the outputs of the model itself."""

import keras
import numpy as np
import pytest
from contract import softmax
from keras import layers

from keras_reinit import (
    BornAgain,
    Dash,
    Diagnostics,
    FullReinit,
    SaveGenerations,
    Stages,
    WarmRestart,
    add_unit_statistics,
    ensemble,
    inject_plasticity,
)

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strings are TensorFlow's"
)
RNG = np.random.default_rng(0)
FAR = RNG.normal(100, 5, (32, 3)).astype("float32")
WORDS = [["a"], ["b"], ["c"], ["d"]] * 8
LABELS = np.arange(32) % 3
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def normalized():
    norm = layers.Normalization()
    norm.adapt(FAR)
    return keras.Sequential([keras.Input((3,)), norm, layers.Dense(3)]), FAR


def normalized_inside():
    inner = keras.Sequential([keras.Input((3,)), layers.Normalization(), layers.ReLU()])
    inner.layers[0].adapt(FAR)
    return keras.Sequential([keras.Input((3,)), inner, layers.Dense(3)]), FAR


def lora():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8), layers.Dense(3)])
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(RNG.normal(size=(2, 8)))
    return model, FAR / 100


def tied():
    embedding = layers.ReversibleEmbedding(3, 4)
    inputs = keras.Input((), dtype="int32")
    return keras.Model(
        inputs, embedding(layers.Dense(4)(embedding(inputs)), reverse=True)
    ), (np.arange(32) % 3)


def shared_with_a_model_inside():
    encoder = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="e")])
    inputs = keras.Input((3,))
    twice = encoder.layers[0](encoder(inputs))
    return keras.Model(inputs, layers.Dense(3)(twice)), FAR / 100


def discretized():
    layer = layers.Discretization(num_bins=4)
    layer.adapt(FAR[:, :1])
    inputs = keras.Input((1,))
    hidden = layers.Flatten()(layers.Embedding(5, 4)(layer(inputs)))
    return keras.Model(inputs, layers.Dense(3)(hidden)), FAR[:, :1]


def with_a_lambda():
    factor = 3.0
    inputs = keras.Input((3,))
    scaled = layers.Lambda(lambda x: x * factor)(layers.Dense(3)(inputs))
    return keras.Model(inputs, scaled), FAR / 100


def looked_up():
    layer = layers.StringLookup(output_mode="one_hot")
    layer.adapt(keras.ops.convert_to_tensor(WORDS, dtype="string"))
    inputs = keras.Input((1,), dtype="string")
    x = keras.ops.convert_to_tensor(WORDS, dtype="string")
    return keras.Model(inputs, layers.Dense(3)(layer(inputs))), x


def vectorized():
    layer = layers.TextVectorization(output_sequence_length=4)
    layer.adapt(np.array(["a b c", "d e"]))
    inputs = keras.Input((1,), dtype="string")
    hidden = layers.Flatten()(layers.Embedding(9, 2)(layer(inputs)))
    x = keras.ops.convert_to_tensor([["a d"], ["e q"]] * 16, dtype="string")
    return keras.Model(inputs, layers.Dense(3)(hidden)), x


MODELS = [
    normalized,
    normalized_inside,
    lora,
    pytest.param(
        tied,
        marks=pytest.mark.skipif(
            not hasattr(layers, "ReversibleEmbedding"), reason="not in every Keras"
        ),
    ),
    shared_with_a_model_inside,
    discretized,
    with_a_lambda,
    pytest.param(looked_up, marks=on_tensorflow),
    pytest.param(vectorized, marks=on_tensorflow),
]
every_model = pytest.mark.parametrize("make", MODELS)


def copy_model(model):
    from keras_reinit import copying

    return copying.copy_model(model)


def array(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@every_model
def test_a_copy_computes_the_same_with_variables_of_its_own(make):
    model, x = make()
    copy = copy_model(model)
    expected = array(model, x)
    np.testing.assert_allclose(array(copy, x), expected, rtol=1e-5, atol=1e-6)
    assert not {id(v) for v in model.weights} & {id(v) for v in copy.weights}
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + 1)
    np.testing.assert_allclose(array(copy, x), expected, rtol=1e-5, atol=1e-6)


@every_model
def test_the_teacher_is_the_student_of_the_stage_before(make):
    """At a rate of zero the teacher is the student: its term is zero."""
    student, x = make()
    expected = array(student, x)
    model = BornAgain(student)
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    history = model.fit(x, LABELS, epochs=1, batch_size=32, verbose=0).history["loss"]
    model.hand_over()
    history += model.fit(x, LABELS, epochs=1, batch_size=32, verbose=0).history["loss"]
    assert history[1] == pytest.approx(history[0], rel=1e-5)
    np.testing.assert_allclose(array(model.teacher, x), expected, rtol=1e-5, atol=1e-6)


@every_model
def test_members_of_an_ensemble_are_what_was_trained(make, tmp_path):
    student, x = make()
    student.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    saving = SaveGenerations(Stages(2, 2), tmp_path)
    student.fit(x, LABELS, epochs=2, batch_size=32, verbose=0, callbacks=[saving])
    expected = softmax(array(student, x))
    got = array(ensemble(student, tmp_path), x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_a_compiled_student_is_copied_without_its_loss():
    student, _ = normalized()
    student.compile("sgd", lambda y, y_pred: keras.ops.mean(y_pred - y, axis=-1))
    assert not copy_model(student).compiled and student.compiled
    BornAgain(student)


def standardizing():
    layer = layers.Normalization()
    return layer, layer, keras.Input((3,)), FAR


def discretizing():
    layer = layers.Discretization(num_bins=4)
    rest = [layer, layers.Embedding(5, 4), layers.Flatten()]
    return layer, rest, keras.Input((3,)), FAR


def looking_up():
    x = keras.ops.convert_to_tensor(WORDS, dtype="string")
    layer = layers.StringLookup(output_mode="multi_hot", max_tokens=5)
    layer.adapt(x[:8])
    return layer, layer, keras.Input((1,), dtype="string"), x


def with_lora():
    class Later:
        def adapt(self, data):
            dense.enable_lora(2)
            dense.lora_kernel_b.assign(np.ones((2, 4)))

    dense = layers.Dense(4)
    return Later(), dense, keras.Input((3,)), FAR / 100


@pytest.mark.parametrize("compiled_before", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        standardizing,
        discretizing,
        with_lora,
        pytest.param(looking_up, marks=on_tensorflow),
    ],
)
def test_what_is_adapted_after_the_copy_was_made_is_carried_too(make, compiled_before):
    """At a rate of zero the teacher's term is zero, in the compiled step as well."""
    layer, inside, inputs, x = make()
    hidden = inputs
    for one in inside if isinstance(inside, list) else [inside]:
        hidden = one(hidden)
    model = BornAgain(keras.Model(inputs, layers.Dense(3)(hidden)))
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    if compiled_before:
        if isinstance(layer, layers.Discretization):
            layer.adapt(x + 50)
        model.fit(x, LABELS, batch_size=32, verbose=0)
    layer.adapt(x)
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    losses = model.fit(
        x, LABELS, epochs=3, batch_size=32, verbose=0,
        callbacks=[WarmRestart(Stages(3, 3))],
    ).history["loss"]  # fmt: skip
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_what_is_adapted_between_stages_is_in_the_next_step():
    norm = layers.Normalization()
    student = keras.Sequential([keras.Input((3,)), norm, layers.Dense(3)])
    model = BornAgain(student)
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    for data in (FAR, FAR + 7):
        norm.adapt(data)
        model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
        losses = model.fit(
            FAR, LABELS, epochs=2, batch_size=32, verbose=0,
            callbacks=[WarmRestart(Stages(2, 2))],
        ).history["loss"]  # fmt: skip
    alone = model.evaluate(FAR, LABELS, batch_size=32, verbose=0)
    assert losses[1] == pytest.approx(alone, rel=1e-4)  # And no longer the old teacher.


def test_an_average_teacher_does_not_average_data():
    student, _ = normalized()
    model = BornAgain(student, teacher_of="average")
    model.hand_over()
    student.layers[0].adapt(FAR + 10)
    model.hand_over()
    mean = model.teacher.layers[0].get_weights()[0]
    np.testing.assert_allclose(np.ravel(mean), (FAR + 10).mean(0), rtol=1e-5)


class Hidden(layers.Layer):
    """Keeps what it learned where Keras does not look."""

    mean = 0.0

    def adapt(self, data):
        self.mean = float(data.mean())

    def call(self, x):
        return x - self.mean


class Untied(layers.Layer):
    """Reads another layer's kernel, and hands that layer on in its configuration."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.other = other

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.other.kernel))

    def get_config(self):
        other = keras.saving.serialize_keras_object(self.other)
        return {**super().get_config(), "other": other}

    @classmethod
    def from_config(cls, config):
        other = keras.saving.deserialize_keras_object(config["other"])
        return cls(**{**config, "other": other})


def hidden_state():
    layer = Hidden()
    layer.adapt(FAR)
    return keras.Sequential([keras.Input((3,)), layer, layers.Dense(3)])


def tied_by_hand():
    inputs, dense = keras.Input((3,)), layers.Dense(4, use_bias=False)
    return keras.Model(inputs, Untied(dense)(dense(inputs)))


class Unconfigured(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


class OwnSequential(keras.Sequential):
    """What users write most."""


class OwnConstructor(keras.Model):
    def __init__(self, units):
        inputs = keras.Input((3,))
        super().__init__(inputs, layers.Dense(units)(inputs))


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnSequential([keras.Input((3,)), layers.Dense(3)]),
        lambda: OwnConstructor(3),
        lambda: keras.Sequential(
            [keras.Input((3,)), OwnSequential([keras.Input((3,)), layers.Dense(3)])]
        ),
        lambda: keras.Sequential(
            [keras.Input((3,)), layers.Dense(3, lambda x: keras.ops.maximum(x, -1))]
        ),
    ],
)
def test_classes_and_functions_of_the_users_own_are_copied(make):
    student = make()
    copy = copy_model(student)
    np.testing.assert_allclose(array(copy, FAR), array(student, FAR), rtol=1e-6)
    BornAgain(student)


def without_a_config():
    model = Unconfigured(3)
    model(FAR)
    return model


@pytest.mark.parametrize("make", [hidden_state, tied_by_hand, without_a_config])
def test_what_cannot_be_copied_is_refused_before_any_training(make):
    with pytest.raises(ValueError, match="`student` must be a model"):
        BornAgain(make())


def test_a_copy_that_goes_wrong_later_is_found_at_the_first_hand_over():
    layer = Hidden()
    student = keras.Sequential([keras.Input((3,)), layer, layers.Dense(3)])
    model = BornAgain(student)
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    layer.adapt(FAR)
    callback = FullReinit(Stages(2, 2), seed=0)
    with pytest.raises(ValueError, match="copy computes the same"):
        model.fit(FAR, LABELS, epochs=2, verbose=0, callbacks=[callback])


def test_looking_at_a_model_moves_nothing_in_it():
    """A copy is tried: neither statistics nor recurrent states move by it."""
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 5, 3)),
            layers.LSTM(4, stateful=True),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )
    x = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32")
    first = array(model, x)
    model.layers[0].reset_states()
    copy_model(model)
    np.testing.assert_allclose(array(model, x), first, rtol=1e-6)


# --- other models that wrap one -----------------------------------------------------


class OwnStep(keras.Model):
    def train_step(self, *args):
        return super().train_step(*args)


class OwnLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        return super().compute_loss(x, y, y_pred, sample_weight) + 100.0


class OwnMetrics(keras.Model):
    def compute_metrics(self, *args, **kwargs):
        return {**super().compute_metrics(*args, **kwargs), "own": 1.0}


class OwnTest(keras.Model):
    def test_step(self, *args):
        return super().test_step(*args)


class OnlyNamed(keras.Model):
    """Overrides nothing of how it is trained."""


def network(kind):
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "relu", name="first")(inputs)
    return kind(inputs, layers.Dense(3)(layers.Dense(4, "relu")(hidden)))


class OwnLosses(keras.Model):
    losses = (100.0,)


class OwnCall(keras.Model):
    def __call__(self, *args, **kwargs):
        return 2 * super().__call__(*args, **kwargs)


WRAPS = [BornAgain, add_unit_statistics, lambda m: inject_plasticity(m, seed=0)]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (OwnStep, "train_step"),
        (OwnLoss, "compute_loss"),
        (OwnMetrics, "compute_metrics"),
        (OwnTest, "test_step"),
        (OwnLosses, "losses"),
    ],
)
def test_a_class_that_overrides_its_training_is_not_wrapped(wrap, kind, name):
    with pytest.raises(ValueError, match=f"must not override {name}"):
        wrap(network(kind))


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_class_that_overrides_nothing_is(wrap):
    wrap(network(OnlyNamed))


def test_a_step_of_the_object_itself_counts_as_well():
    model = network(keras.Model)
    model.train_step = lambda data: {}
    with pytest.raises(ValueError, match="must not override train_step"):
        BornAgain(model)


@pytest.mark.parametrize("kind", [OwnStep, OwnLoss, OwnMetrics, OwnTest])
def test_methods_without_distillation_keep_what_it_overrides(kind):
    model = network(kind)
    model.compile("sgd", CROSS_ENTROPY)
    callback = FullReinit(Stages(2, 2), seed=0)
    losses = model.fit(
        FAR / 100, LABELS, epochs=2, verbose=0, callbacks=[callback]
    ).history["loss"]
    assert (min(losses) > 100) == (kind is OwnLoss)


def test_a_call_of_its_own_is_not_on_the_layer_graph():
    class Doubled(keras.Model):
        def call(self, inputs, **kwargs):
            return 2 * super().call(inputs, **kwargs)

    for kind in (Doubled, OwnCall):
        with pytest.raises(ValueError, match="without a `call` of its own"):
            add_unit_statistics(network(kind))


def test_a_head_with_a_model_inside_is_injected():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu")])
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "relu"), inner, layers.Dense(1)]
    )
    injected = inject_plasticity(model, seed=0)
    np.testing.assert_array_equal(array(injected, FAR), array(model, FAR))


def probabilities(x):
    e = keras.ops.exp(x - keras.ops.max(x, axis=-1, keepdims=True))
    return e / keras.ops.sum(e, axis=-1, keepdims=True)


@pytest.mark.parametrize("end", [probabilities, keras.ops.sigmoid])
def test_heads_of_probabilities_are_not_added_up(end):
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "relu")(inputs)
    model = keras.Model(inputs, end(layers.Dense(3)(hidden)))
    with pytest.raises(ValueError, match="no softmax or sigmoid"):
        inject_plasticity(model, seed=0)


def test_state_is_carried_to_a_copy_of_the_same_layers_only():
    from keras_reinit.copying import copy_state

    with pytest.raises(ValueError, match="it has the layer"):
        copy_state(network(keras.Model), keras.Sequential([keras.Input((3,))]))


@pytest.mark.parametrize("kind", [OwnStep, OwnLoss])
@pytest.mark.parametrize("make", ["dash", "diagnostics"])
def test_what_asks_for_the_gradient_refuses_a_loss_of_the_models_own(kind, make):
    model = network(kind)
    model.compile("sgd", CROSS_ENTROPY)
    callbacks = [
        Dash(Stages(2, 2), data=(FAR, LABELS))
        if make == "dash"
        else Diagnostics(FAR, LABELS)
    ]
    before = model.get_weights()
    with pytest.raises(ValueError, match="must not override"):
        model.fit(FAR, LABELS, epochs=2, verbose=0, callbacks=callbacks)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_diagnostics_without_labels_ask_for_no_gradient():
    model = network(OwnLoss)
    model.compile("sgd", CROSS_ENTROPY)
    model.fit(FAR, LABELS, verbose=0, callbacks=[Diagnostics(FAR)])
