"""Hare & Tortoise: a fast learner returns to the average of its weights at each stage.

    slow <- m * slow + (1 - m) * fast   after each step,   m = 0.999
    fast <- slow                        at the beginning of a stage

Lee et al. 2024, "Slow and Steady Wins the Race: Maintaining Plasticity with Hare and
Tortoise Networks" (arXiv 2406.02596). In the public code (dojeon-ai/Hare-Tortoise) the
fast network returns every 10 epochs, its optimizer runs on, and the slow network is
what is evaluated. The slow weights are the moving average that Keras' optimizers keep
(`use_ema`), which is part of their state: backups and `SwapEMAWeights` know it. That
code averages BatchNorm's statistics, too, which are not an optimizer's; here they stay
those of the fast network. It returns after epochs 1, 11, 21, ..., and so loses most of
the first epoch; here the fast network returns after epochs 10, 20, ...
"""

import keras

from keras_reinit.callback import Reinitialize
from keras_reinit.optimizers.levels import optimizers_of
from keras_reinit.optimizers.reset import average_of, keeps_average


@keras.saving.register_keras_serializable("keras_reinit")
class HareTortoise(Reinitialize):
    """Puts the optimizer's moving average in place of the weights at each stage.

    With `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` before it in the list of
    callbacks, the slow network is what is validated and saved at the end of each epoch.

    Args:
        schedule: A `Stages`: `Stages(100, 10)` returns every 10 epochs.
        optimizer_state: As in `keras_reinit.Reinitialize`; here `"keep"` by default.

    Raises:
        ValueError: When training begins, for an optimizer without `use_ema=True`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> optimizer = keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.999)
    >>> model.compile(optimizer, loss="mse")
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), epochs=4, verbose=0,
    ...     callbacks=[HareTortoise(Stages(epochs=4, stages=2))])
    """

    draws = False

    def __init__(self, schedule, *, optimizer_state="keep", when=None):
        super().__init__(schedule, optimizer_state=optimizer_state, seed=0, when=when)

    def prepare(self):
        super().prepare()
        if not self.model.compiled:
            raise ValueError(
                "`model` must be compiled with an optimizer that keeps a moving "
                f"average. Received: model={self.model.name!r}, not compiled"
            )

    def check(self):
        super().check()
        if not any(map(keeps_average, optimizers_of(self.model))):
            raise ValueError(
                "`optimizer` must keep a moving average of the weights: pass "
                "`use_ema=True, ema_momentum=0.999`. "
                f"Received: {self.model.optimizer}, use_ema=False"
            )

    def rule(self, stage, variable, fresh):
        """The average, where there is one."""
        averages = (average_of(one, variable) for one in optimizers_of(self.model))
        return next((average for average in averages if average is not None), None)
