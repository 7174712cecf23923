"""RIFLE: the head starts again a few times while a network is fine-tuned.

    theta_head <- theta_head_fresh

Li et al. 2020, "RIFLE: Backpropagation in Depth for Deep Transfer Learning through
Re-Initializing the Fully-connected LayEr" (arXiv 2007.03349). In the public code
(lixingjian/RIFLE) the head is re-drawn every floor(E / (n + 1)) of E epochs, n = 1 in
its script (`Stages(E, n + 1)`), the optimizer runs on, and one schedule of the learning
rate spans all epochs. Where it differs:

- That code also re-draws after the last epoch, which leaves a random head; here nothing
  is ever re-drawn after the last stage.
- Its heads are one dense layer, drawn as PyTorch does by default, the bias included.
  Here the head is the last layer with a kernel and what follows it, such as
  normalization, and each weight has its own initializer's numbers.
"""

import keras

from keras_reinit.callback import Reinitialize
from keras_reinit.graph.roles import head_weights


@keras.saving.register_keras_serializable("keras_reinit")
class Rifle(Reinitialize):
    """Re-initializes the head (of several outputs, each) at each stage.

    The head is the last layer with a kernel, and all layers between it and the output:
    normalization with its statistics, scales, and whatever else has weights.

    Args:
        schedule: A `Stages`.
        optimizer_state: As in `keras_reinit.Reinitialize`; here `"keep"` by default.
        **kwargs: As in `keras_reinit.Reinitialize`: `seed`, `initializers`.

    Raises:
        ValueError: When training begins, for a model without a layer graph.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2),
    ...     keras.layers.Softmax()])
    >>> events = plan(model, Rifle(Stages(epochs=4, stages=2)))
    stage       epochs        fresh        mixed       scaled         kept
    1            2           10            0            0           16
    """

    def __init__(self, schedule, *, optimizer_state="keep", **kwargs):
        super().__init__(schedule, optimizer_state=optimizer_state, **kwargs)
        self._head = None

    def prepare(self):
        super().prepare()
        head_weights(self.network)  # Is there a graph?

    def outcomes(self, stage):
        self._head = head_weights(self.network)
        return super().outcomes(stage)

    def rule(self, stage, variable, fresh):
        """The head starts fresh; all else stays."""
        return fresh() if id(variable) in self._head else None
