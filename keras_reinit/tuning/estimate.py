"""What a search is going to cost, before it is begun."""

import collections
import dataclasses
import json
import time
import warnings

import keras
import numpy as np

from keras_reinit import training
from keras_reinit.config import Config
from keras_reinit.data import Facts
from keras_reinit.training.compiled import Compiled, graph
from keras_reinit.training.flops import forward, forward_and_backward
from keras_reinit.training.memory import training_memory

# A short training: two stages, of which the second is taught by the first. It has few
# steps an epoch; where they take little time, more of them, in more epochs.
STAGES = 2
SHORT, LONGER = {"steps": 1, "epochs": 6}, {"steps": 32, "epochs": 22}
LITTLE = 0.2  # Seconds for an epoch.
# Bytes of an event file for each number in it.
EVENT = 75


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What trials need.

    Attributes:
        trials: Integer, how many.
        epochs, steps: Integers, of all of them together.
        flops: Float, floating-point operations of all training steps and evaluations,
            counted from the networks' graphs; not those of augmentation and optimizer.
        seconds: Float, of all trainings one after another in a process like this one.
        tracing: Float, the seconds in which a process builds and traces every network
            once.
        bytes: Float, of the rows and of the files for TensorBoard.
        measured: List of dicts, what was timed: the short trainings.
    """

    trials: int
    epochs: int
    steps: int
    flops: float
    seconds: float
    tracing: float
    bytes: float
    measured: list

    def hours(self, workers):
        """Hours on so many workers, after their start."""
        return (self.seconds / workers + self.tracing) / 3600


def estimate(configs, folder=None):
    """Estimates what the trainings of some configs need, from a few short ones.

    One short training is timed for each kind: each data set, network, batch size, with
    and without a teacher and layer-wise re-initialization. Random images stand in for
    data sets whose sizes are known, which need not be at hand.

    Args:
        configs: Sequence of at least one `Config`.
        folder: Where the data set lies, see `keras_reinit.data.load`.

    Returns:
        An `Estimate`.

    Example:

    >>> from keras_reinit.config import Config
    >>> small = Config(model="mlp", width=8, epochs=10)
    >>> found = estimate([small, dataclasses.replace(small, seed=1)])
    >>> found.trials, found.epochs, found.steps
    (2, 20, 180)
    """
    if isinstance(configs, Config) or not configs:
        raise ValueError(
            f"`configs` must be at least one `Config`, in a list. Received: {configs!r}"
        )
    groups = collections.defaultdict(list)
    for config in configs:
        groups[_kind(config)].append(config)
    kinds = [_Kind.of(some, folder) for some in groups.values()]
    costs = [kind.cost(one) for kind in kinds for one in groups[kind.key]]
    return Estimate(
        trials=len(configs),
        **{name: sum(cost[name] for cost in costs) for name in costs[0]},
        tracing=sum(kind.tracing * kind.graphs(groups[kind.key]) for kind in kinds),
        measured=[kind.told() for kind in kinds],
    )


def _kind(config):
    """What decides how long a step takes, up to little things."""
    return (
        config.dataset, config.train_size, config.validation_size, config.model,
        config.width, config.stem_stride, config.dtype_policy, config.batch_size,
        config.method.startswith("layerwise"), config.distills,
    )  # fmt: skip


class _Clock(keras.callbacks.Callback):
    """Seconds of each epoch, evaluations included."""

    def on_train_begin(self, logs=None):
        self.seconds, self._last = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


@dataclasses.dataclass
class _Kind:
    """What was measured of one kind of training."""

    key: tuple
    name: str
    facts: Facts
    forward: float
    both: float
    memory: int
    epoch: float
    stage_end: float
    fixed: float
    tracing: float
    row: int

    @classmethod
    def of(cls, configs, folder):
        """Times a short training of a config, with augmentation if one has it."""
        config = max(configs, key=lambda one: "D" in one.regularization)
        facts = Facts.of(
            config.dataset,
            train_size=config.train_size,
            validation_size=config.validation_size,
            folder=folder,
        )
        timed = _timed(config, facts, **SHORT)
        if timed["epoch"] < LITTLE:
            timed = _timed(config, facts, **LONGER)
        began = time.perf_counter()
        network = Compiled(config, facts.stand_in(config.batch_size)).network
        building = time.perf_counter() - began
        timed["fixed"] = max(0.0, timed["fixed"] - building)  # Not for each trial.
        timed["tracing"] += building
        return cls(
            _kind(config), f"{config.dataset}, {config.model}, {config.method}", facts,
            forward(network), forward_and_backward(network),
            sum(training_memory(network, config.batch_size, config.distills).values()),
            **timed,
        )  # fmt: skip

    def cost(self, config):
        """What one training needs."""
        epochs, stages = config.schedule.total, len(config.schedule.ends)
        facts, steps = self.facts, self.facts.train // config.batch_size
        examples = epochs * steps * config.batch_size
        taught = examples * (1 - 1 / stages) if config.distills else 0
        evaluated = epochs * facts.validation + (stages + 1) * (
            facts.train + facts.validation + facts.test
        )
        return {
            "epochs": epochs,
            "steps": epochs * steps,
            "flops": examples * self.both + (taught + evaluated) * self.forward,
            "seconds": self.fixed + epochs * self.epoch + stages * self.stage_end,
            # Two curves of numbers with five digits.
            "bytes": self.row + 2 * epochs * (len("0.12345, ") + EVENT),
        }

    def graphs(self, configs):
        """How many different networks have to be built and traced."""
        splits = self.facts.stand_in(configs[0].batch_size)
        return len({graph(config, splits) for config in configs})

    def told(self):
        """For people, and for a row."""
        return {
            "kind": self.name,
            "seconds_per_epoch": round(self.epoch, 4),
            "forward_flops_per_example": self.forward,
            "training_flops_per_example": self.both,
            "bytes_of_a_step": self.memory,
        }


def _timed(config, facts, steps, epochs):
    """Seconds of the parts of a training, from a short one, and its row's length."""
    short = dataclasses.replace(
        config, epochs=epochs, stages=STAGES, full_budget=False, num_blocks=None,
        train_size=None, validation_size=None, label_noise=0.0,
        steps_per_execution=None,
    )  # fmt: skip
    whole = facts.train // config.batch_size
    steps = min(steps, whole)
    clock = _Clock()
    began = time.perf_counter()
    splits = facts.stand_in(steps * config.batch_size)
    with warnings.catch_warnings(action="ignore"):  # Its stages are too short.
        row = training.run(short, splits=splits, callbacks=[clock])
    fixed = time.perf_counter() - began - sum(clock.seconds)
    first, *_, last = clock.seconds
    # Of the last stage, without its event and its end.
    epoch = float(np.median(clock.seconds[epochs // STAGES + 1 : -1]))
    row["history"] = {}
    return {
        "epoch": epoch * whole / steps,
        "stage_end": max(0.0, last - epoch) * whole / steps,
        "fixed": fixed,
        "tracing": max(0.0, first - epoch),
        "row": len(json.dumps(row)),
    }
