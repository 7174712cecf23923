"""What a re-initialization checks when a training begins."""

import math
import warnings

import keras

from keras_reinit.network import all_layers


def check_budget(schedule, params):
    """A `ValueError` if a `fit` would run longer than its schedule."""
    epochs, steps = ((params or {}).get(name) for name in ("epochs", "steps"))
    if schedule.unit == "steps":
        if steps is None:
            raise ValueError(
                "`fit` must know its steps per epoch for a schedule in steps: pass "
                "`steps_per_epoch`. Received: steps_per_epoch=None"
            )
        epochs = epochs and epochs * steps
    if epochs is not None and epochs > schedule.total:
        raise ValueError(
            "`fit` must not run longer than the schedule's fixed budget of "
            f"{schedule.total} {schedule.unit}. Received: {schedule.unit}={epochs}"
        )


def warn_of_slow_statistics(model, steps):
    """Warns where BatchNorm cannot forget its fresh statistics within a stage."""
    momenta = [
        layer.momentum
        for layer in all_layers(model)
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
