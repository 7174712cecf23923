"""Diagnostics against numbers worked out by hand."""

import csv

import keras
import numpy as np
import pytest
from contract import Spy, fit

from keras_reinit import (
    BornAgain,
    Diagnostics,
    FullReinit,
    ShrinkPerturb,
    Stages,
)
from keras_reinit.diagnostics.forward import run
from keras_reinit.diagnostics.plasticity import effective_rank, norm, stable_rank

BEGIN = ("dormant_units", "dead_units", "effective_rank", "stable_rank", "srank",
         "weight_norm", "gradient_norm")  # fmt: skip


def network():
    """Four hidden units with biases 2, 1, 0.01 and -1, whatever the input."""
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, activation="relu", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.set_weights(
        [
            np.zeros((2, 4)),
            np.array([2.0, 1.0, 0.01, -1.0]),
            np.ones((4, 1)),
            np.zeros(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def measured(model, **kwargs):
    diagnostics = Diagnostics(np.ones((3, 2)), np.zeros((3, 1)), **kwargs)
    diagnostics.set_model(model)
    diagnostics.on_train_begin()
    return diagnostics.measure()


def test_units_and_norms_by_hand():
    found = measured(network())
    assert found["dormant_units"] == 0.5  # Scores are 2.66, 1.33, 0.013 and 0.
    assert found["dead_units"] == 0.25
    assert measured(network(), threshold=0.01)["dormant_units"] == 0.25
    assert found["weight_norm"] == pytest.approx(np.sqrt(4 + 1 + 1e-4 + 1 + 4))
    # The output is 3.01; the gradients: of the hidden units that are active, and out.
    error = 2 * 3.01
    per_unit = error * np.array([1, 1, 1, 0])
    hidden = np.array([2, 1, 0.01, 0])
    parts = [np.tile(per_unit, 2), per_unit, error * hidden, [error]]
    assert found["gradient_norm"] == pytest.approx(norm(parts), rel=1e-5)
    # All examples have the same features: rank one.
    assert found["effective_rank"] == pytest.approx(1.0)
    assert found["stable_rank"] == pytest.approx(1.0)


def test_ranks():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    features = q[:, :3] * [4.0, 2.0, 2.0]
    share = np.array([0.5, 0.25, 0.25])
    entropy = -(share * np.log(share)).sum()
    assert effective_rank(features) == pytest.approx(np.exp(entropy))
    assert stable_rank(features) == pytest.approx(24 / 16)
    assert effective_rank(np.zeros((3, 2))) == stable_rank(np.zeros((3, 2))) == 0


def test_the_logs_hold_both_sides_of_an_event(toy, toy_model):
    model = toy_model()
    x, y = toy
    callback = FullReinit(Stages(4, 2), seed=3)
    spy, history = fit(model, toy, callback, 4, [Diagnostics(x, y)])
    trained = [i for i, v in enumerate(model.weights) if v.trainable]

    def distance(some, others):
        return norm([some[i] - others[i] for i in trained])

    for epoch in range(4):
        begin, end = spy.begins[epoch], spy.ends[epoch]
        row = {name: values[epoch] for name, values in history.items()}
        assert row["weight_norm"] == pytest.approx(norm(end[i] for i in trained))
        begin_norm = norm(begin[i] for i in trained)
        assert row["begin_weight_norm"] == pytest.approx(begin_norm)
        assert row["update_norm"] == pytest.approx(distance(end, begin))
        assert row["distance_from_init"] == pytest.approx(distance(end, spy.begins[0]))
        first = range(4)  # The first block: a dense layer, and scale and offset.
        change = norm(end[i] - begin[i] for i in first) / norm(begin[i] for i in first)
        assert row["change_relu"] == pytest.approx(change)
        assert {"change_relu2", "change_head"} <= set(row)
    for name in BEGIN:
        ends, begins = history[name], history[f"begin_{name}"]
        assert begins[1] == ends[0] and begins[3] == ends[2]
    assert history["begin_weight_norm"][2] != history["weight_norm"][1]
    assert history["begin_gradient_norm"][2] != history["gradient_norm"][1]


def test_training_is_not_disturbed(toy, toy_model):
    weights = []
    for callbacks in ([], [Diagnostics(*toy)]):
        keras.utils.set_random_seed(1)
        model = toy_model(wrap=BornAgain)
        fit(model, toy, ShrinkPerturb(Stages(4, 2), seed=3), 4, callbacks)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_csv_and_tensorboard_take_the_measures(toy, toy_model, tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    callbacks = [Diagnostics(toy[0]), log]
    fit(toy_model(), toy, ShrinkPerturb(Stages(2, 2)), 2, callbacks)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and 0 <= float(rows[1]["begin_dormant_units"]) <= 1
    assert "gradient_norm" not in rows[0]  # There were no labels.


def test_a_trigger_waits_for_its_threshold(toy, toy_model):
    diagnostics = Diagnostics(*toy)
    asked = []

    def grown():
        asked.append(trigger())
        return asked[-1]

    trigger = diagnostics.when("weight_norm", above=4.5)
    callback = ShrinkPerturb(Stages(8, 8), 0.4, 0.1, seed=3, when=grown)
    spy, history = fit(toy_model(), toy, callback, 8, [diagnostics])
    norms = history["weight_norm"][:-1]
    assert asked == [value > 4.5 for value in norms]
    assert True in asked and False in asked
    fired = [stage + 1 for stage, fires in enumerate(asked) if fires]
    assert callback.events == [{"stage": s, "epochs": s} for s in fired]
    for epoch in range(1, 8):
        changed = not np.array_equal(spy.ends[epoch - 1][0], spy.begins[epoch][0])
        assert changed == (epoch in fired)


def test_several_outputs_and_a_model_inside():
    inner = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, activation="relu")], name="inner"
    )
    x = keras.Input((2,))
    hidden = inner(x)
    outputs = [keras.layers.Dense(1)(hidden), keras.layers.Dense(2)(hidden)]
    model = keras.Model(x, outputs)
    model.compile("sgd", ["mse", "mse"])
    inputs = np.random.default_rng(0).normal(size=(16, 2))
    labels = [np.zeros((16, 1)), np.zeros((16, 2))]
    history = model.fit(
        inputs, labels, verbose=0, callbacks=[Diagnostics(inputs)]
    ).history
    assert 1 <= history["effective_rank"][0] <= 3
    assert 0 <= history["dead_units"][0] <= 1


def test_a_model_without_a_graph_has_weights_only():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    diagnostics = Diagnostics(x, y)
    diagnostics.set_model(model)
    with pytest.raises(ValueError, match="`model` must be built"):
        diagnostics.on_train_begin()
    model(x)
    history = model.fit(x, y, verbose=0, epochs=2, callbacks=[diagnostics]).history
    assert "dormant_units" not in history and len(history["gradient_norm"]) == 2
    assert history["change_head"][0] > 0


def test_layer_by_layer_is_the_model_itself():
    x = keras.Input((4, 4, 3))
    y = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.Dropout(0.5)(y) + x
    y = keras.layers.Concatenate()([y, x * 2.0])
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(y)))
    inputs = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    names = []
    [found] = run(model, inputs, lambda node, *_: names.append(node.operation.name))
    expected = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-6)
    assert len(names) == 8


def test_bad_arguments(toy, toy_model):
    diagnostics = Diagnostics(toy[0])
    for call, message in (
        (lambda: Diagnostics(toy[0], threshold=-1), "`threshold` must be >= 0"),
        (lambda: diagnostics.when("loss", above=1), "`name` must be one of"),
        (lambda: diagnostics.when("gradient_norm", above=1), "`name` must be one of"),
        (lambda: diagnostics.when("weight_norm"), "`above` or `below`"),
        (lambda: ShrinkPerturb(Stages(2, 2), when=3), "`when` must be a function"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="`callbacks` must have Diagnostics after"):
        callbacks = [diagnostics, FullReinit(Stages(2, 2)), Spy()]
        toy_model().fit(*toy, epochs=2, verbose=0, callbacks=callbacks)
