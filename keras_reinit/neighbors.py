"""The other callbacks of the same `fit`: their order, and what they compare."""

import sys
import warnings

import keras


def callbacks_of_the_same_fit():
    """Returns the callbacks of the `fit` that calls, or an empty list outside of one.

    Keras tells a callback nothing of the others; the list that calls it knows them.
    """
    frame = sys._getframe(1)
    while frame is not None:
        for name in ("self", "callbacks"):
            known = frame.f_locals.get(name)
            if isinstance(known, keras.callbacks.CallbackList):
                return known.callbacks
        frame = frame.f_back
    return []


def is_in_fit():
    """Whether the caller is called by a `fit` of Keras, at any depth."""
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "fit" and isinstance(owner, keras.Model):
            return True
        frame = frame.f_back
    return False


def check_neighbors(callback):
    """A `ValueError` for callbacks of one `fit` that do not go together.

    - Two re-initializations: the second one would act on a network that the first has
      just changed, and hand it over as a teacher.
    - A backup must come later: what is recorded when training begins is of the first
      weights, not of those that it restores. It must save by epoch: from the middle of
      one, that epoch starts again, and its event would come twice.
    - `SwapEMAWeights` must come earlier: at the beginning of an epoch it puts the
      trained weights back in place of their average, and would undo a change before.
    """
    callbacks = callbacks_of_the_same_fit()
    others = filter(is_reinitialization, callbacks)
    if sum(one.schedule.stages > 1 for one in others) > 1:
        raise ValueError(
            "`callbacks` must have only one re-initialization in a `fit`. "
            f"Received: {_names(callbacks)}"
        )
    for i, other in enumerate(callbacks):
        backup = is_backup(other)
        if backup and other.save_freq not in ("epoch", False):
            raise ValueError(
                f"`{type(other).__name__}` must have `save_freq='epoch'` together with "
                f"a re-initialization. Received: save_freq={other.save_freq!r}"
            )
        late = isinstance(other, keras.callbacks.SwapEMAWeights)
        if (backup and callback in callbacks[i:]) or (
            late and callback in callbacks[:i]
        ):
            place = "after" if backup else "before"
            raise ValueError(
                f"`callbacks` must have {type(other).__name__} {place} "
                f"{type(callback).__name__}. Received: {_names(callbacks)}"
            )


def check_after(callback):
    """A `ValueError` if a re-initialization of the same `fit` comes after this one."""
    callbacks = callbacks_of_the_same_fit()
    later = callbacks[callbacks.index(callback) + 1 :] if callback in callbacks else []
    if any(map(is_reinitialization, later)):
        raise ValueError(
            f"`callbacks` must have {type(callback).__name__} after the "
            f"re-initialization. Received: {_names(callbacks)}"
        )


def is_reinitialization(callback):
    """Whether a callback is a `keras_reinit.Reinitialize`."""
    return _is_ours(callback, "Reinitialize")


def is_backup(callback):
    """Whether a callback continues an interrupted training, Keras' or ours."""
    keras_own = isinstance(callback, keras.callbacks.BackupAndRestore)
    return keras_own or _is_ours(callback, "Backup")


def _is_ours(callback, name):
    # By name: their modules stand above this one.
    kinds = type(callback).__mro__
    return any(
        k.__name__ == name and k.__module__.startswith("keras_reinit.") for k in kinds
    )


def sets_rates(callback, changed):
    """Whether another callback of this `fit` sets the learning rate of each epoch.

    Args:
        callback: The re-initialization.
        changed: Whether the rate changed since the end of the epoch before. Then it was
            a callback before it that does something when an epoch begins, if any.
    """
    callbacks = callbacks_of_the_same_fit()
    scheduler = keras.callbacks.LearningRateScheduler
    if any(isinstance(one, scheduler) for one in callbacks):
        return True
    earlier = callbacks[: callbacks.index(callback)] if callback in callbacks else []
    return changed and any(map(_begins_epochs, earlier))


def _begins_epochs(callback):
    """Whether a callback of the user's own does something when an epoch begins."""
    hook = type(callback).on_epoch_begin
    is_own = not hook.__module__.startswith(("keras.", "keras_reinit."))
    return is_own or "on_epoch_begin" in vars(callback)  # As a `LambdaCallback` has it.


def warn_of_memories(last_epoch, stage_steps, optimizer_state):
    """Warns of callbacks that compare the epochs of one stage with those of another.

    Args:
        last_epoch: Integer, the epoch of the last event.
        stage_steps: Integer, steps of a stage, or None where unknown.
        optimizer_state: That of the re-initialization.
    """
    for other in callbacks_of_the_same_fit():
        text = _harm(other, last_epoch, stage_steps, optimizer_state)
        if text:
            warnings.warn(
                f"`{type(other).__name__}` compares epochs of different stages: {text}",
                stacklevel=2,
            )


def _harm(other, last_epoch, stage_steps, optimizer_state):
    """What a callback does wrong, and what to write instead; None if nothing."""
    if isinstance(other, keras.callbacks.EarlyStopping):
        first = other.start_from_epoch
        patience = max(other.patience, 1) - (other.baseline is not None)
        stops = first + patience < last_epoch
        if stops or (other.restore_best_weights and first < last_epoch):
            return (
                "it may end the training before the last event, or bring back weights "
                f"from before it. Pass `start_from_epoch={last_epoch}`."
            )
    elif isinstance(other, keras.callbacks.ReduceLROnPlateau):
        again = optimizer_state == "fresh"
        steps = (
            (stage_steps or "steps_of_a_stage") if again else "steps_of_the_training"
        )
        return (
            "it takes the first epochs of a stage, which are worse than the last ones "
            "of the stage before, for a plateau. Compile with a schedule, which "
            f"{'starts again' if again else 'runs on'} with each stage: `learning_rate="
            f"keras.optimizers.schedules.CosineDecay(rate, {steps})`."
        )
    elif getattr(other, "save_best_only", False):
        return (
            "what it saves may be from before the last event. Pass "
            "`save_best_only=False`."
        )
    return None


def _names(callbacks):
    return [type(one).__name__ for one in callbacks]
