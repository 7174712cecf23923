"""What a teacher says may be looked up; no result changes by it."""

import keras
import numpy as np
import pytest
from contract import fit, not_on_torch, same
from keras import layers

from keras_reinit import BornAgain, FullReinit, Stages, TeacherCache, keyed

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def cached(x, **kwargs):
    return lambda student: BornAgain(student, cache=TeacherCache(keyed(x)), **kwargs)


def train(toy_model, toy, wrap, x, **kwargs):
    keras.utils.set_random_seed(2)
    model = toy_model(wrap=wrap)
    callback = FullReinit(Stages(6, 3), seed=0)
    spy, history = fit(model, (x, toy[1]), callback, 6, shuffle=True, **kwargs)
    return model.student.get_weights(), history["loss"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"knowledge": "confidence"},
        {"knowledge": "permuted", "seed": 0},
        {"teacher_of": "average"},
        {"temperature": 4.0},
    ],
    ids=str,
)
def test_a_training_ends_as_without_it(toy, toy_model, kwargs):
    inputs = keyed(toy[0])
    weights, losses = train(toy_model, toy, cached(toy[0], **kwargs), inputs)
    plain, expected = train(toy_model, toy, lambda s: BornAgain(s, **kwargs), inputs)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for a, b in zip(weights, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_inputs_that_it_does_not_know_are_asked_about(toy, toy_model):
    """Augmented behind its back: not a bit is different."""
    x = toy[0]
    other = {"inputs": x + 0.01, "key": keyed(x)["key"]}
    weights, losses = train(toy_model, toy, cached(x), other)
    plain, expected = train(toy_model, toy, BornAgain, other)
    assert losses == expected and same(weights, plain)


class Asked(layers.Layer):
    """Counts how often it runs, not how often it is traced."""

    calls = 0

    def call(self, x):
        import tensorflow as tf

        def count():
            type(self).calls += 1

        with tf.control_dependencies([tf.py_function(count, [], [])]):
            return tf.identity(x)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="counts with a TensorFlow operation"
)
def test_a_step_does_not_run_the_teacher(toy):
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3), Asked()])
    x, y = toy
    model = BornAgain(student, cache=TeacherCache(keyed(x), batch_size=len(x)))
    model.compile("sgd", LOSS)
    counts = []
    for inputs in (keyed(x), keyed(x), keyed(x + 1)):
        Asked.calls = 0
        model.fit(inputs, y, epochs=1, batch_size=8, verbose=0)
        counts.append(Asked.calls)
        if len(counts) == 1:
            Asked.calls = 0
            model.hand_over()
            # The first teacher is also compared with the student, which runs twice.
            assert Asked.calls == 1 + 3
    assert counts == [4, 4, 8]


def test_each_generation_is_asked_anew(toy, toy_model):
    model = toy_model(wrap=cached(toy[0]))
    x = keyed(toy[0])
    for scale in (1.0, -2.0):
        model.student.layers[-1].kernel.assign(
            scale * np.ones(model.student.layers[-1].kernel.shape)
        )
        model.hand_over()
        check_answers(model, **x)


def check_answers(model, inputs, key):
    expected = model.teacher(inputs, training=False)
    (found,) = model.cache.look_up(inputs, key, lambda: [0 * expected])
    found, expected = map(keras.ops.convert_to_numpy, (found, expected))
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_batches_in_any_order_and_several_augmentations(toy_model, toy):
    x = toy[0]
    keys = np.random.default_rng(0).permutation(2 * len(x))
    inputs = np.concatenate([x, -x])
    batches = [
        {"inputs": inputs[keys[i : i + 5]], "key": keys[i : i + 5]}
        for i in range(0, len(keys), 5)
    ]
    model = toy_model(wrap=lambda s: BornAgain(s, cache=TeacherCache(batches)))
    model.hand_over()
    some = np.arange(40, 44)
    check_answers(model, inputs[some], some)


def test_several_inputs_and_outputs():
    a, b = keras.Input((3,), name="a"), keras.Input((2, 2), name="b")
    joined = layers.Concatenate()([a, layers.Flatten()(b)])
    outputs = {"one": layers.Dense(2)(joined), "two": layers.Dense(3)(joined)}
    student = keras.Model({"a": a, "b": b}, outputs)
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(8, 3)), "b": rng.normal(size=(8, 2, 2))}
    y = {"one": np.ones(8, int), "two": np.ones(8, int)}
    losses = []
    for cache in (TeacherCache(keyed(x)), None):
        model = BornAgain(keras.models.clone_model(student), cache=cache)
        model.student.set_weights(student.get_weights())
        model.compile(keras.optimizers.SGD(0.1), {"one": LOSS, "two": LOSS})
        model.hand_over()
        history = model.fit(keyed(x), y, epochs=3, verbose=0, shuffle=False).history
        losses.append(history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_inputs_that_change_are_refused(toy, toy_model):
    class Augmented:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __iter__(self):
            noise = self.rng.normal(size=toy[0].shape)
            yield keyed((toy[0] + noise).astype("float32"))

    model = toy_model(wrap=lambda s: BornAgain(s, cache=TeacherCache(Augmented())))
    with pytest.raises(ValueError, match="`inputs` must be the same whenever"):
        model.hand_over()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([0, 1, 1], "3 keys, 2 different"),
        ([1, 2, 3], "keys 0, 1"),
        ([], "0 keys"),
    ],
)
def test_keys_are_complete(keys, message):
    x = {"inputs": np.ones((len(keys), 2)), "key": np.array(keys, int)}
    with pytest.raises(ValueError, match=f"`inputs` must have each.*{message}"):
        TeacherCache(x)


def test_inputs_without_keys_are_refused(toy, toy_model):
    with pytest.raises(ValueError, match="`inputs` must be a dict of 'inputs'"):
        TeacherCache(toy[0])
    model = toy_model(wrap=cached(toy[0]))
    with pytest.raises(ValueError, match="`x` must have keys beside a `TeacherCache`"):
        model.fit(*toy, verbose=0)


def test_evaluation_and_prediction_need_no_keys(toy, toy_model):
    model = toy_model(wrap=cached(toy[0]))
    model.hand_over()
    assert np.isfinite(model.evaluate(*toy, verbose=0)).all()
    assert model.predict(toy[0], verbose=0).shape == (len(toy[0]), 3)


def test_it_is_no_part_of_what_is_saved(toy, toy_model, tmp_path):
    model = toy_model(wrap=cached(toy[0]))
    model.hand_over()
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.cache is None and int(again.generation) == 1
    history = again.fit(keyed(toy[0]), toy[1], verbose=0)
    assert np.isfinite(history.history["loss"][0])
    model.load_weights(tmp_path / "model.weights.h5")  # Of another teacher, it may be.
    assert not bool(model.cache._is_filled.numpy())
    model.fill_cache()
    assert bool(model.cache._is_filled.numpy())


@not_on_torch("needs compiled steps")
@pytest.mark.parametrize("jit", [True, False])
def test_compiled_steps(toy, toy_model, jit):
    keras.utils.set_random_seed(2)
    model = toy_model(wrap=cached(toy[0]))
    model.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=jit)
    callback = FullReinit(Stages(4, 2), seed=0)
    _, history = fit(model, (keyed(toy[0]), toy[1]), callback, 4)
    assert np.isfinite(history["loss"]).all()
