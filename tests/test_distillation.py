import keras
import numpy as np
import pytest
from keras import layers

from keras_reinit import (
    BornAgain,
    DistillationLoss,
    FullReinit,
    ShrinkPerturb,
    Stages,
    fresh_weights,
)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def divergence(teacher, student, temperature):
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return temperature**2 * (p * np.log(p / q)).sum(-1).mean()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_against_numpy(temperature):
    teacher, student = np.random.default_rng(0).normal(size=(2, 6, 5)) * 3
    ours = float(DistillationLoss(temperature)(teacher, student))
    assert ours == pytest.approx(divergence(teacher, student, temperature), rel=1e-5)
    uniform_gap = divergence(teacher, student, 1.0)
    assert temperature == 1 or ours != pytest.approx(uniform_gap, rel=0.01)


def test_first_generation_is_plain_and_the_next_adds_the_teacher(toy, toy_model):
    model = toy_model(wrap=lambda m: BornAgain(m, distillation_weight=2.0))
    x, y = toy
    logits = model.predict(x, verbose=0)
    plain = float(model.compute_loss(x, y, logits))
    cross_entropy = -np.log(softmax(logits)[np.arange(len(y)), y]).mean()
    assert plain == pytest.approx(cross_entropy, rel=1e-5)
    model.hand_over()
    other = np.random.default_rng(1).normal(size=logits.shape).astype("float32")
    taught = float(model.compute_loss(x, y, other))
    alone = float(model.compute_loss(x, y, other, training=False))
    expected = 2.0 * divergence(logits, other, 1.0)
    assert taught - alone == pytest.approx(expected, rel=1e-4)


def test_sample_weights_weigh_the_teachers_term(toy, toy_model):
    model = toy_model(wrap=BornAgain)
    x, y = toy
    model.hand_over()
    logits = model.predict(x, verbose=0)
    other = np.random.default_rng(1).normal(size=logits.shape).astype("float32")
    weights = np.zeros(len(y), "float32")
    assert float(model.compute_loss(x, y, other, weights)) == 0
    weights[:4] = 8.0
    taught = float(model.compute_loss(x, y, other, weights))
    alone = float(model.compute_loss(x, y, other, weights, training=False))
    expected = divergence(logits[:4], other[:4], 1.0)
    assert taught - alone == pytest.approx(expected, rel=1e-4)


def test_the_teacher_is_the_student_at_the_end_of_the_last_stage(toy, toy_model):
    model = toy_model(wrap=BornAgain)
    ends, teachers = [], []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda e, logs: (
            ends.append(model.student.get_weights()),
            teachers.append(model.teacher.get_weights()),
        )
    )
    callback = FullReinit(Stages(6, 3), seed=0)
    model.fit(*toy, epochs=6, batch_size=8, verbose=0, callbacks=[callback, spy])
    for epoch, last_of_stage in ((2, 1), (3, 1), (4, 3), (5, 3)):
        for a, b in zip(teachers[epoch], ends[last_of_stage], strict=True):
            np.testing.assert_array_equal(a, b)
    assert int(model.generation) == 2


def test_without_a_teacher_it_trains_as_the_student_alone(toy, toy_model):
    runs = []
    for wrap in (None, BornAgain):
        keras.utils.set_random_seed(2)
        model = toy_model(wrap=wrap)
        model.fit(*toy, epochs=2, batch_size=8, shuffle=False, verbose=0)
        runs.append((model.student if wrap else model).get_weights())
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


CALLS = []


@keras.saving.register_keras_serializable("tests")
class Counted(layers.Layer):
    """Counts how often it runs, not how often it is traced."""

    def call(self, x):
        import tensorflow as tf

        with tf.control_dependencies([tf.py_function(lambda: CALLS.append(1), [], [])]):
            return tf.identity(x)


def test_the_first_generation_does_not_run_the_teacher(toy):
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3), Counted()])
    model = BornAgain(student)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    counts = []
    for _ in range(2):
        CALLS.clear()
        model.fit(*toy, epochs=1, batch_size=8, verbose=0)
        counts.append(len(CALLS))
        model.hand_over()
    assert counts == [4, 8]
    CALLS.clear()
    model.evaluate(*toy, batch_size=8, verbose=0)
    assert len(CALLS) == 4


def test_any_method_drives_it_and_changes_the_student_only(toy, toy_model):
    model = toy_model(keras.optimizers.SGD(0.0), wrap=BornAgain)
    first = model.student.get_weights()
    callback = ShrinkPerturb(Stages(2, 2), seed=5)
    model.fit(*toy, epochs=2, batch_size=8, verbose=0, callbacks=[callback])
    fresh = fresh_weights(model.student, 5, 1)
    np.testing.assert_allclose(
        model.student.get_weights()[0], 0.4 * first[0] + 0.1 * fresh[0], rtol=1e-6
    )
    np.testing.assert_array_equal(model.teacher.get_weights()[0], first[0])


def test_penalties_count_once_and_evaluation_is_plain(toy):
    student = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l2"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    alone = keras.Sequential(student.layers)
    alone.compile("sgd", loss)
    model = BornAgain(student)
    model.compile(keras.optimizers.SGD(0.0), loss)
    model.hand_over()
    x, y = toy
    expected = alone.evaluate(x, y, batch_size=32, verbose=0)
    assert model.evaluate(x, y, batch_size=32, verbose=0) == pytest.approx(expected)
    # The student is its own teacher: the term is zero and must not bring penalties.
    history = model.fit(x, y, batch_size=32, verbose=0).history["loss"][0]
    assert history == pytest.approx(expected, rel=1e-5)


def test_saving(tmp_path, toy, toy_model):
    model = toy_model(wrap=BornAgain)
    model.hand_over()
    model.student.save(tmp_path / "student.keras")
    x = toy[0]
    alone = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(
        alone.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.generation) == 1
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.fit(*toy, verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: BornAgain(keras.Sequential([layers.Dense(2)])), "`student` must be"),
        (lambda s: BornAgain(s, distillation_weight=-1), "`distillation_weight`"),
        (lambda s: BornAgain(s, temperature=0), "`temperature` must be > 0"),
        (
            lambda s: BornAgain(
                keras.Sequential([s.inputs[0], *s.layers, layers.Softmax()])
            ),
            "must return logits",
        ),
    ],
)
def test_bad_arguments(make, message):
    student = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=message):
        make(student)
