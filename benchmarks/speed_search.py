"""The ways to search that `benchmarks.speed --part=search` times: ours and stock.

Both train the same network on the same data for as many epochs, over the same grid of
learning rates and weight decays, each from the start of its processes on.

    python -m benchmarks.speed_search small_cnn FOLDER

runs the stock one: `keras_tuner.GridSearch` as in its own guide.
"""

import functools
import os
import subprocess
import sys
import tempfile

import keras
import keras_tuner

from keras_reinit import add_weight_decay, data, training
from keras_reinit.config import Config
from keras_reinit.training.compiled import network_for

GRID = {
    "learning_rate": [0.01, 0.03, 0.1, 0.3, 1.0],
    "weight_decay": [0.0, 1e-4, 5e-4, 2e-3, 8e-3],
}
TRIALS = 5 * 5
BASE = Config(regularization="CW", epochs=50)
MODELS = ("mlp", "small_cnn")


def ways(model):
    """Functions by name, each of which runs the whole search."""
    stock = ["benchmarks.speed_search", model]
    lists = [f"--{name}={','.join(map(str, GRID[name]))}" for name in GRID]
    ours = [
        "benchmarks.search",
        f"--model={model}",
        f"--regularization={BASE.regularization}",
        f"--epochs={BASE.epochs}",
        *lists,
    ]
    cores = len(os.sched_getaffinity(0))
    return {
        "keras_tuner.GridSearch": functools.partial(_run, stock),
        "benchmarks.search": functools.partial(_run, ours, workers=cores),
    }


def _run(command, workers=None):
    with tempfile.TemporaryDirectory() as folder:
        # The second as a flag, the first as its only argument.
        where = [f"--workers={workers}", f"--output={folder}"] if workers else [folder]
        subprocess.run(
            [sys.executable, "-m", *command, *where], check=True, capture_output=True
        )


def build(hp, model, splits):
    """A compiled network, as a user of keras-tuner would write it."""
    network = network_for(Config(model=model), splits)
    add_weight_decay(network, hp.Choice("weight_decay", GRID["weight_decay"]))
    steps = BASE.epochs * (len(splits.train[1]) // BASE.batch_size)
    rate = hp.Choice("learning_rate", GRID["learning_rate"])
    network.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(rate, steps), BASE.momentum
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return network


def stock(model, folder):
    """Searches with `keras_tuner.GridSearch`."""
    splits = training.load(BASE)
    standardize = data.Standardize.fit(splits.train[0])
    train, validation = (
        (standardize(images), labels)
        for images, labels in (splits.train, splits.validation)
    )
    tuner = keras_tuner.GridSearch(
        functools.partial(build, model=model, splits=splits),
        "val_accuracy",
        directory=folder,
    )
    whole = len(train[1]) // BASE.batch_size * BASE.batch_size
    tuner.search(
        train[0][:whole], train[1][:whole],
        validation_data=validation, batch_size=BASE.batch_size, epochs=BASE.epochs,
        verbose=0,
    )  # fmt: skip
    assert len(tuner.oracle.trials) == TRIALS


if __name__ == "__main__":
    stock(*sys.argv[1:])
