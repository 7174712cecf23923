"""Which callbacks must stand before and after a re-initialization."""

import sys

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


def _callbacks_of_the_same_fit():
    """Keras tells a callback nothing of the others; the list that calls it knows."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller.callbacks
        frame = frame.f_back
    return []
