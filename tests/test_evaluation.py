import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reinit import data
from keras_reinit.config import Config
from keras_reinit.training import load
from keras_reinit.training.compiled import Compiled, one_hot
from keras_reinit.training.evaluation import Evaluations, Validation, evaluator

BASE = {"model": "mlp", "width": 8, "train_size": 100, "batch_size": 32}


def trained(**fields):
    config = Config(**BASE, regularization="DW", **fields)
    splits = load(config)
    compiled, classes = Compiled(config, splits), one_hot(config, splits)
    standardize = data.Standardize.fit(splits.train[0])
    dataset = data.eval_dataset(
        *splits.train, 30, standardize=standardize, num_classes=classes
    )
    compiled.model.fit(dataset, epochs=2, verbose=0)
    return compiled, dataset


@pytest.mark.parametrize(
    "fields", [{}, {"label_smoothing": 0.1}, {"method": "born_again"}], ids=str
)
def test_the_numbers_are_those_of_keras(fields):
    compiled, dataset = trained(**fields)
    expected = compiled.model.evaluate(dataset, return_dict=True, verbose=0)
    assert compiled.evaluate(dataset) == expected
    assert expected["cross_entropy"] > 0


def test_the_steps_are_traced_once_for_batches_of_any_size():
    compiled, dataset = trained()
    traces = []
    step = compiled.model.test_step
    compiled.model.test_step = lambda batch: traces.append(1) or step(batch)
    evaluate = evaluator(compiled.model)
    once, again = evaluate(dataset), evaluate(dataset)
    assert once == again and len(traces) == 1


def test_replicas_are_evaluated_by_keras():
    compiled, dataset = trained()
    cpu = tf.distribute.OneDeviceStrategy("CPU")
    with cpu.scope():
        twin = keras.models.clone_model(compiled.network)
        twin.set_weights(compiled.network.get_weights())
        twin.compile(loss=compiled.model.loss, metrics=["accuracy"])
        evaluate = evaluator(twin)
    expected = compiled.evaluate(dataset)["accuracy"]
    assert evaluate(dataset)["accuracy"] == pytest.approx(expected)


def test_validation_is_in_the_logs_for_the_callbacks_after_it():
    compiled, dataset = trained()
    evaluations = Evaluations(compiled.evaluate, {"validation": dataset})
    seen = []
    after = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(logs["val_accuracy"])
    )
    history = compiled.model.fit(
        dataset, epochs=2, verbose=0, callbacks=[Validation(evaluations), after]
    ).history
    assert history["val_accuracy"] == seen and len(seen) == 2
    assert seen[-1] == evaluations("validation")["validation_accuracy"]


def test_a_metric_that_is_not_finite_is_an_error():
    evaluations = Evaluations(
        lambda dataset: {"accuracy": 0.1, "cross_entropy": np.nan}, {"test": None}
    )
    with pytest.raises(FloatingPointError, match="the test cross_entropy"):
        evaluations()
