"""Full re-initialization: every stage starts from a new network.

    theta <- theta_fresh

On its own it is training for one stage only. It is the re-initialization of
Born-Again Networks (Furlanello et al. 2018, arXiv 1805.04770) at a fixed budget of
epochs, where each stage learns from the network of the stage before: see
`keras_reinit.BornAgain`.
"""

import keras

from keras_reinit.callback import Reinitialize


@keras.saving.register_keras_serializable("keras_reinit")
class FullReinit(Reinitialize):
    """Replaces all weights by fresh ones at the begin of each stage but the first.

    Args and errors as in `keras_reinit.Reinitialize`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> callback = FullReinit(Stages(epochs=4, stages=2), seed=0)
    >>> history = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), epochs=4, callbacks=[callback], verbose=0)
    >>> history.history["stage"]
    [0, 0, 1, 1]
    """

    def rule(self, stage, variable, fresh):
        """Returns the fresh draw."""
        return fresh()
