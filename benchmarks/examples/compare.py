"""What the examples share: training with and without a method, and the comparison."""

import collections.abc
import dataclasses

import keras
from absl import app, flags

from keras_reinit import Stages
from keras_reinit.results import Interval, markdown_table, paired_difference


@dataclasses.dataclass(frozen=True)
class Example:
    """A task with its data, its model and the method that it shows.

    Attributes:
        load: Function that returns (x, y) to train on and (x, y) to test on.
        build: Function that returns a compiled `keras.Model`.
        method: Function of a schedule and a seed that returns the callback.
        metric: String, what of `model.evaluate` is compared.
        epochs: Integer, the budget.
        stages: Integer.
    """

    load: collections.abc.Callable
    build: collections.abc.Callable
    method: collections.abc.Callable
    metric: str
    epochs: int
    stages: int = 5

    def train(self, seed, epochs, with_method):
        """Trains one model; returns its metric on the test data, and its history."""
        keras.utils.set_random_seed(seed)
        train, test = self.load()
        model = self.build()
        schedule = Stages(epochs, min(self.stages, epochs))
        callbacks = [self.method(schedule, seed)] if with_method else []
        history = model.fit(
            *train, batch_size=32, epochs=epochs, callbacks=callbacks, verbose=0
        )
        found = model.evaluate(*test, return_dict=True, verbose=0)
        return found[self.metric], history.history


def compare(example, seeds, epochs):
    """A Markdown table: the test metric without and with the method, and its gain."""
    name = type(example.method(Stages(epochs, 1), 0)).__name__
    found = [
        {seed: example.train(seed, epochs, chosen)[0] for seed in range(seeds)}
        for chosen in (False, True)
    ]
    difference = paired_difference(found[1], found[0])
    lines = [
        ("standard", str(Interval.of(list(found[0].values()))), ""),
        (name, str(Interval.of(list(found[1].values()))), difference.signed()),
    ]
    header = ("Method", f"Test {example.metric}", "Paired difference")
    return markdown_table(header, lines)


def main(example):
    """Runs an example as a script."""
    flags.DEFINE_integer("epochs", example.epochs, "the budget", lower_bound=1)
    flags.DEFINE_integer("seeds", 3, "trainings with each method", lower_bound=2)

    def run(argv):
        if len(argv) > 1:
            raise app.UsageError(f"unknown arguments: {argv[1:]}")
        print(compare(example, flags.FLAGS.seeds, flags.FLAGS.epochs))

    app.run(run)
