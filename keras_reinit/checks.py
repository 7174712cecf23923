"""What a re-initialization checks when a training begins."""

import math
import sys
import warnings

import keras


def check_order(callback):
    """A `ValueError` if a callback of the same `fit` stands at a wrong place.

    - `BackupAndRestore` must come later: what is recorded when training begins is of
      the first weights, not of those that it restores. It must save by epoch: from the
      middle of one, Keras starts that epoch again, and its event would come twice.
    - `SwapEMAWeights` must come earlier: at the begin of an epoch it puts the trained
      weights back in place of their average, and would undo a change before that.
    """
    callbacks = _callbacks_of_the_same_fit()
    for i, other in enumerate(callbacks):
        backup = isinstance(other, keras.callbacks.BackupAndRestore)
        if backup and other.save_freq != "epoch":
            raise ValueError(
                "`BackupAndRestore` must have `save_freq='epoch'` beside a "
                f"re-initialization. Received: save_freq={other.save_freq!r}"
            )
        late = isinstance(other, keras.callbacks.SwapEMAWeights)
        if (backup and callback in callbacks[i:]) or (
            late and callback in callbacks[:i]
        ):
            place = "after" if backup else "before"
            raise ValueError(
                f"`callbacks` must have {type(other).__name__} {place} "
                f"{type(callback).__name__}. Received: "
                f"{[type(one).__name__ for one in callbacks]}"
            )


def check_after(callback):
    """A `ValueError` if a re-initialization of the same `fit` comes after this one."""
    callbacks = _callbacks_of_the_same_fit()
    later = callbacks[callbacks.index(callback) + 1 :] if callback in callbacks else []
    if any(hasattr(other, "outcomes") for other in later):
        raise ValueError(
            f"`callbacks` must have {type(callback).__name__} after the "
            f"re-initialization. Received: {[type(one).__name__ for one in callbacks]}"
        )


def _callbacks_of_the_same_fit():
    """Keras tells a callback nothing of the others; the list that calls it knows."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller.callbacks
        frame = frame.f_back
    return []


def check_budget(schedule, params):
    """A `ValueError` if a `fit` would run longer than its schedule."""
    epochs, steps = params.get("epochs"), params.get("steps")
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
