"""The shell that joins WHEN, WHAT VALUES and HOW THEY MIX: one callback."""

import math
import random
import warnings

import keras

from keras_reinit.fresh import fresh_layers
from keras_reinit.optimizers import reset_optimizer

OPTIMIZER_STATES = ("fresh", "keep")


class Reinitialize(keras.callbacks.Callback):
    """Base of all methods: re-initializes between the stages of one `fit`.

    A method overrides `rule`. The shell calls it at the begin of each stage but the
    first, before the first step: at that moment the metrics and the checkpoint of
    the epoch before are written, and they are of the same weights. Weights that
    are not trained (of layers with `trainable=False`) are never touched. Logs gain
    `stage`, counted from 0.

    Args:
        schedule: A `Stages`; `fit` runs its epochs, in one call or several.
        optimizer_state: `"fresh"` (each stage is a training of its own: moments,
            step count and so the learning-rate schedule start again) or `"keep"`.
        seed: Integer >= 0, or `None` for one from Python's generator, which
            `keras.utils.set_random_seed` governs.

    Raises:
        ValueError: For an argument out of its range; when training begins, for
            more epochs than the schedule has or a model that cannot be re-drawn.
    """

    # Whether the method draws fresh weights at all.
    draws = True

    def __init__(self, schedule, *, optimizer_state="fresh", seed=None):
        super().__init__()
        if not hasattr(schedule, "event"):
            raise ValueError(
                "`schedule` must be a schedule such as `Stages(epochs=100, stages=5)`. "
                f"Received: schedule={schedule!r}"
            )
        if optimizer_state not in OPTIMIZER_STATES:
            raise ValueError(
                f"`optimizer_state` must be one of {OPTIMIZER_STATES}. "
                f"Received: optimizer_state={optimizer_state!r}"
            )
        if seed is not None and not (isinstance(seed, int) and seed >= 0):
            raise ValueError(
                f"`seed` must be an integer >= 0 or None. Received: seed={seed!r}"
            )
        self.schedule = schedule
        self.optimizer_state = optimizer_state
        self.seed = random.randrange(2**31) if seed is None else seed

    def rule(self, stage, variable, fresh):
        """The new value of one weight at the begin of `stage` (1, 2, ...).

        Args:
            stage: Integer, the stage that begins, counted from 0.
            variable: The `keras.Variable`; its value is the end of the last stage.
            fresh: NumPy array, an independent draw of its initial value.

        Returns:
            Array of the same shape, or `None` to leave the weight alone, which is
            what the base class does with all of them.
        """
        return None

    @property
    def network(self):
        """The network whose weights change: the student of a distilling model."""
        return getattr(self.model, "student", self.model)

    def on_train_begin(self, logs=None):
        epochs = self.params.get("epochs")
        if epochs is not None and epochs > self.schedule.epochs:
            raise ValueError(
                "`fit` must not run longer than the schedule's fixed budget of "
                f"{self.schedule.epochs} epochs. Received: epochs={epochs}"
            )
        if self.draws and self.schedule.stages > 1:
            # A layer that cannot be re-drawn is found now, not after a stage.
            for _ in fresh_layers(self.network, self.seed):
                pass
            _warn_of_slow_statistics(self.network, self._steps_of_a_stage())

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model  # Must come first: on JAX this brings the weights back.
        stage = self.schedule.event(epoch)
        if stage is None:
            return
        if hasattr(model, "hand_over"):
            model.hand_over()
        if self.draws:
            self._reinitialize(stage)
        if self.optimizer_state == "fresh":
            reset_optimizer(model.optimizer, model.trainable_variables)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["stage"] = self.schedule.stage(epoch)

    def _reinitialize(self, stage):
        frozen = _frozen(self.network)
        for _, pairs in fresh_layers(self.network, self.seed, stage):
            for variable, fresh in pairs:
                if id(variable) in frozen:
                    continue
                value = self.rule(stage, variable, fresh)
                if value is not None:
                    variable.assign(value)

    def _steps_of_a_stage(self):
        steps = self.params.get("steps")
        shortest = self.schedule.epochs // self.schedule.stages
        return steps and steps * shortest


def _frozen(model):
    """Ids of the weights of frozen layers, however deep inside of others they are."""
    frozen = (layer for layer in model._flatten_layers() if not layer.trainable)
    return {id(variable) for layer in frozen for variable in layer.weights}


def _warn_of_slow_statistics(model, steps):
    """Warns where BatchNorm cannot forget its fresh statistics within a stage."""
    momenta = [
        layer.momentum
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    slowest = max(momenta, default=0.0)
    if steps and slowest**steps > 0.01:
        limit = math.floor(0.01 ** (1 / steps) * 1000) / 1000
        warnings.warn(
            f"A stage has {steps} steps: at BatchNormalization(momentum={slowest}), "
            f"{slowest**steps:.0%} of the moving statistics at its end are still the "
            "fresh ones, and evaluation may be far worse than training. Use a "
            f"momentum of at most {limit}, or longer stages.",
            stacklevel=2,
        )
