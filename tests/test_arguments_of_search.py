"""No argument of a search is accepted and ignored."""

import dataclasses
import itertools

import keras
import keras_tuner
import numpy as np
import pytest
from searching import BASE

from keras_reinit import data, results, training, tuning
from keras_reinit.tuning.cells import cells

ONE_RATE = {"learning_rate": 0.1}
X, Y = np.zeros((4, 8, 8, 1), "float32"), np.zeros(4, "int32")


def one_rate(hp):
    return {"learning_rate": hp.Choice("learning_rate", [0.1])}


def random_search(folder, hypermodel=None, **kwargs):
    rows = folder / "rows.jsonl"
    hypermodel = hypermodel or tuning.HyperModel(one_rate, BASE, rows=rows)
    kwargs = {"max_trials": 1, **kwargs}
    return keras_tuner.RandomSearch(
        hypermodel, "val_accuracy", directory=folder, **kwargs
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((X, Y), {}, "x, y"),
        ((X,), {"validation_data": (X, Y)}, "x, validation_data"),
        ((), {"batch_size": 8}, "batch_size"),
        ((), {"x": X, "y": Y}, "x, y"),
        ((), {"validation_split": 0.1, "shuffle": False}, "shuffle, validation_split"),
        ((), {"steps_per_epoch": 3}, "steps_per_epoch"),
        ((), {"initial_epoch": 1}, "initial_epoch"),
        ((), {"class_weight": {0: 1.0}}, "class_weight"),
    ],
)
def test_data_and_arguments_of_fit_are_refused(args, kwargs, named, tmp_path):
    message = f"`search` must not be given .* Received: {named}$"
    with pytest.raises(ValueError, match=message):
        random_search(tmp_path).search(*args, verbose=0, **kwargs)
    hypermodel = tuning.HyperModel(one_rate, BASE)
    grid = tuning.GridSearch(hypermodel, directory=tmp_path / "grid", report=print)
    with pytest.raises(ValueError, match=message):
        grid.search(*args, **kwargs)
    assert not results.read_rows(tmp_path / "rows.jsonl")
    assert not results.read_rows(tmp_path / "grid" / "rows.jsonl")


def test_a_grid_takes_neither_callbacks_nor_a_budget(tmp_path):
    hypermodel = tuning.HyperModel(one_rate, BASE)
    grid = tuning.GridSearch(hypermodel, directory=tmp_path, report=print)
    for kwargs in ({"callbacks": []}, {"epochs": 3}):
        with pytest.raises(ValueError, match="`search` must not be given"):
            grid.search(**kwargs)


def test_a_compiled_model_of_ones_own_is_refused(tmp_path):
    def build(hp):
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(10)])
        model.compile("adam", "mse")
        return model

    hypermodel = tuning.HyperModel(one_rate, BASE, build=build)
    with pytest.raises(ValueError, match="`build` must return an uncompiled `keras"):
        random_search(tmp_path, hypermodel).search(verbose=0)


EPOCHS = []


class Recorder(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        EPOCHS.append((epoch, "val_accuracy" in logs))


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_executions_have_seeds_of_their_own_and_the_best_weights_are_kept(tmp_path):
    EPOCHS.clear()
    tuner = random_search(tmp_path, executions_per_trial=3)
    tuner.search(verbose=0, epochs=3, callbacks=[Recorder()])
    rows = results.read_rows(tmp_path / "rows.jsonl")
    assert [row["config"]["seed"] for row in rows] == [0, 1, 2]
    assert [row["config"]["epochs"] for row in rows] == [3, 3, 3]
    assert [(epoch, True) for epoch in range(3)] * 3 == EPOCHS
    scores = [row["final"]["validation_accuracy"] for row in rows]
    assert len(set(scores)) > 1
    score = tuner.oracle.get_best_trials()[0].score
    assert score == pytest.approx(np.mean(scores))
    # The kept weights are those of the seed with the best validation accuracy.
    best = rows[int(np.argmax(scores))]
    weights = tuner.get_best_models()[0].get_weights()
    config = {**best["config"], "train_size": 64}
    network = training.compiled.network_for(BASE, training.load(BASE))
    training.run(
        dataclasses.replace(BASE, **config), network=network,
        callbacks=[Keep(network)],
    )  # fmt: skip
    for kept, expected in zip(weights, Keep.weights, strict=True):
        np.testing.assert_array_equal(kept, expected)


class Keep(keras.callbacks.Callback):
    """Keeps the weights of the last epoch."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def on_epoch_end(self, epoch, logs=None):
        type(self).weights = self.network.get_weights()


def test_a_callback_that_ends_a_training_is_said():
    with pytest.raises(ValueError, match="`callbacks` must not end a training before"):
        training.run(BASE, callbacks=[Stop()])


def opening(hp):
    method = hp.Choice("method", ["standard", "shrink_perturb", "born_again"])
    fields = {"method": method}
    if method == "shrink_perturb":
        fields["shrink"] = hp.Choice("shrink", [0.2, 0.4])
        if fields["shrink"] > 0.3:
            fields["perturb"] = hp.Float("perturb", 0.1, 0.3, step=0.1)
    with hp.conditional_scope("method", ["born_again"]):
        temperature = hp.Choice("temperature", [1.0, 2.0])
    if method == "born_again":
        fields["temperature"] = temperature
    return fields


def test_a_grid_has_every_cell_that_pythons_if_opens():
    expected = set()
    for values in itertools.product(
        ["standard", "shrink_perturb", "born_again"], [0.2, 0.4], [0.1, 0.2, 0.3],
        [1.0, 2.0],
    ):  # fmt: skip
        hp = keras_tuner.HyperParameters()
        names = ("method", "shrink", "perturb", "temperature")
        hp.values = dict(zip(names, values, strict=True))
        expected.add(tuple(sorted(opening(hp).items())))
    cells_ = cells(opening, seeds=(0,)).values()
    found = [{k: v for k, v in cell.items() if k != "seed"} for cell in cells_]
    assert len(found) == len(expected) == 1 + 1 + 3 + 2
    assert {tuple(sorted(cell.items())) for cell in found} == expected


@pytest.mark.parametrize(
    ("declare", "values"),
    [
        (lambda hp: hp.Float("x", 0.1, 0.3, step=0.1), [0.1, 0.2, 0.3]),
        (lambda hp: hp.Float("x", 0.0, 1.0, step=0.5), [0.0, 0.5, 1.0]),
        (lambda hp: hp.Float("x", 0.0, 1.0, step=0.4), [0.0, 0.4, 0.8]),
        (
            lambda hp: hp.Float("x", 1e-3, 1.0, step=10, sampling="log"),
            [1e-3, 1e-2, 1e-1, 1.0],
        ),
        (lambda hp: hp.Int("x", 1, 5, step=2), [1, 3, 5]),
        (lambda hp: hp.Fixed("x", 3), [3]),
        (lambda hp: hp.Boolean("x"), [False, True]),
    ],
)
def test_a_range_has_both_ends(declare, values):
    found = [cell["x"] for cell in cells(declare, seeds=(0,)).values()]
    assert sorted(found) == pytest.approx(values)


def test_a_network_of_ones_own_may_open_values_too():
    def build(hp):
        for i in range(hp.Int("layers", 1, 2)):
            hp.Choice(f"units_{i}", [4, 8])
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
        return keras.Sequential([*layers, keras.layers.Dense(10)])

    hypermodel = tuning.HyperModel(one_rate, BASE, build=build)
    assert len(cells(hypermodel.declare, seeds=(0, 1))) == 2 * (2 + 4)


def test_a_combination_that_its_space_refuses_is_a_cell_that_fails():
    def space(hp):
        if hp.Choice("width", [1, 2]) == 2:
            raise RuntimeError("too wide")

    assert len(cells(space, seeds=(0,))) == 2
    with pytest.raises(ValueError, match="`space` must not have a hyperparameter 'see"):
        cells(lambda hp: hp.Choice("seed", [1, 2]), seeds=(0,))
    with pytest.raises(ValueError, match="`space` must have values that can be listed"):
        cells(lambda hp: hp.Float("rate", 0.0, 1.0), seeds=(0,))


@pytest.mark.parametrize("seeds", [3, (), "01", [0, 0], [-1], [0.5], None, np.zeros(2)])
def test_seeds_are_different_integers(seeds, tmp_path):
    hypermodel = tuning.HyperModel(one_rate, BASE)
    with pytest.raises(ValueError, match="`seeds` must be different integers >= 0"):
        tuning.GridSearch(hypermodel, directory=tmp_path, seeds=seeds, report=print)


def test_seeds_may_be_an_array_and_models_are_not_kept(tmp_path):
    hypermodel = tuning.HyperModel(one_rate, BASE)
    lines = []
    tuner = tuning.GridSearch(
        hypermodel, directory=tmp_path, seeds=np.arange(2), report=lines.append
    )
    tuner.search()
    rows = results.read_rows(tmp_path / "rows.jsonl")
    assert [row["config"]["seed"] for row in rows] == [0, 1]
    assert tuner.results() == rows
    with pytest.raises(ValueError, match="keeps rows, not weights. Train a network"):
        tuner.get_best_models()
    hp = tuner.get_best_hyperparameters()[0]
    network = hypermodel.build(hp)
    metrics = hypermodel.fit(hp, network)
    assert metrics["val_accuracy"] == max(
        row["final"]["validation_accuracy"] for row in rows
    )


@pytest.mark.parametrize(
    "objective", [["val_accuracy", "accuracy"], [keras_tuner.Objective("loss", "min")]]
)
def test_one_objective_is_wanted(objective, tmp_path):
    hypermodel = tuning.HyperModel(one_rate, BASE)
    with pytest.raises(ValueError, match=r"`objective` must be one of \('accuracy'"):
        tuning.GridSearch(hypermodel, objective, directory=tmp_path, report=print)


def own_network(hp):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: tuning.HyperModel(one_rate, BASE, build="mlp"), "`build` must be a"),
        (
            lambda d: grid_of(d, one_rate, build=lambda hp: None),
            "`build` must return an uncompiled `keras.Model`",
        ),
        (
            lambda d: grid_of(d, lambda hp: {"seed": hp.Choice("s", [7])}),
            "`space` must not return a 'seed'",
        ),
        (
            lambda d: grid_of(
                d, lambda hp: {"width": hp.Choice("width", [4, 8])}, build=own_network
            ),
            "`space` must not return 'width'",
        ),
        (
            lambda d: grid_of(d, one_rate, rows=d / "mine.jsonl"),
            "`rows` of a `HyperModel` must be None",
        ),
        (
            lambda d: random_search(d).search(verbose=0, epochs=0),
            "`epochs` must be an integer >= 1",
        ),
        (
            lambda d: random_search(d).search(verbose=0, epochs="3"),
            "`epochs` must be an integer >= 1",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path)
    assert not list(tmp_path.glob("*.jsonl"))


def grid_of(folder, space, **kwargs):
    hypermodel = tuning.HyperModel(space, BASE, **kwargs)
    return tuning.GridSearch(hypermodel, directory=folder, report=print).missing()


def test_weights_of_layer_wise_trials_are_those_that_were_judged(tmp_path):
    base = dataclasses.replace(BASE, model="small_cnn", method="layerwise", width=4)
    hypermodel = tuning.HyperModel(one_rate, base, rows=tmp_path / "rows.jsonl")
    tuner = random_search(tmp_path, hypermodel)
    tuner.search(verbose=0)
    (row,) = results.read_rows(tmp_path / "rows.jsonl")
    splits = training.load(base)
    inputs = data.Standardize.fit(splits.train[0])(splits.validation[0])
    logits = tuner.get_best_models()[0].predict(inputs, verbose=0)
    accuracy = np.mean(logits.argmax(-1) == splits.validation[1])
    assert accuracy == pytest.approx(row["final"]["validation_accuracy"])
    again = training.run(base)
    config = {**row["config"], "steps_per_execution": None}
    assert config == {**again["config"], "steps_per_execution": None, **ONE_RATE}
