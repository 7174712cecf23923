"""Warm restarts: the learning-rate schedule begins again, the weights stay.

SGDR (Loshchilov & Hutter 2017, arXiv 1608.03983) as the baseline of Zaidi et al.
(2022): whatever a re-initialization gains beyond it is not due to the restarted
schedule. Use it with a schedule that spans one stage, such as
`keras.optimizers.schedules.CosineDecay(0.1, schedule.stage_epochs * steps)`.
"""

import keras

from keras_reinit.callback import Reinitialize


@keras.saving.register_keras_serializable("keras_reinit")
class WarmRestart(Reinitialize):
    """Restarts optimizer state and learning-rate schedule at each stage.

    Weights and BatchNorm statistics stay as they are. Args and errors as in
    `keras_reinit.Reinitialize`; nothing is drawn, so there is no `seed`.

    Example:

    >>> callback = WarmRestart(Stages(epochs=100, stages=5))
    >>> callback.optimizer_state
    'fresh'
    """

    changes = draws = False

    def __init__(self, schedule, *, optimizer_state="fresh", when=None):
        super().__init__(schedule, optimizer_state=optimizer_state, seed=0, when=when)
