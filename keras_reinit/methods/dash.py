"""DASH: weights shrink, the more the less they point where the loss falls.

    G <- (1 - a) * G - a * gradient            over the batches of the data, a = 0.3
    w <- w * max(shrink, cos(G, w))            shrink = 0.3

for each filter of a convolution (of one input and one output channel), each row of a
dense kernel that leads to one output, and each bias as a whole. Shin et al. 2024,
"DASH: Warm-Starting Neural Network Training in Stationary Settings without Loss of
Plasticity" (arXiv 2410.23495), for data that arrive in chunks: before each new chunk,
with all the data so far. As in the public code
(baekrok/DASH-Direction-Aware-SHrinking), images are not augmented for it, layers other
than dense ones and convolutions stay as they are, and the optimizer runs on.

That code takes each chunk as one batch, in the order of arrival, so that G is an
average over chunks: `batch_size` is then the size of a chunk, or `None` where `data` is
one. The default here is 128, with which 97% of G is of the last 1,280 examples, as
(1 - a)^10 is 0.03. The committed rows (`method="dash"` of a `Config`) have batches of
500.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_share, checked_integer
from keras_reinit.callback import Reinitialize
from keras_reinit.diagnostics.gradients import Gradients, check_loss
from keras_reinit.graph.layer_kinds import KERNELS
from keras_reinit.network import all_layers

LAYERS = tuple(getattr(keras.layers, name) for name in KERNELS)


def direction_shrink(weight, descent, shrink, axes):
    """Returns `weight * max(shrink, cos(descent, weight))`, arrays of one shape.

    Args:
        weight, descent: Arrays; `descent` is an average of negative gradients.
        shrink: Float in [0, 1].
        axes: Tuple of axes that one vector lies along. Of a vector of zeros, the cosine
            counts as 0.
    """
    dot = np.sum(weight * descent, axes, keepdims=True)
    norms = np.sqrt(
        np.sum(np.square(weight), axes, keepdims=True)
        * np.sum(np.square(descent), axes, keepdims=True)
    )
    cosine = np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)
    return weight * np.clip(cosine, shrink, 1.0)


@keras.saving.register_keras_serializable("keras_reinit")
class Dash(Reinitialize):
    """Shrinks weights by the direction of the loss's descent at each stage.

    Args:
        schedule: A `Stages`.
        data: The training data: a data set of batches, such as a `tf.data.Dataset` that
            can be gone through again, or a tuple (x, y) of arrays. It is not part of a
            saved configuration: set it as an attribute, or for another chunk.
        shrink: Float in [0, 1], the least that is left of a weight.
        rate: Float in [0, 1], of the average of gradients.
        batch_size: Integer >= 1, for arrays; `None` makes them one batch. In the
            authors' code it is the size of a chunk.
        optimizer_state: As in `keras_reinit.Reinitialize`; here `"keep"` by default.
        when: As in `keras_reinit.Reinitialize`.

    Raises:
        ValueError: For an argument out of its range; when training begins, without
            data, or for a model that overrides `train_step` or `compute_loss`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y = np.ones((8, 3)), np.ones((8, 1))
    >>> callback = Dash(Stages(epochs=4, stages=2), data=(x, y))
    >>> _ = model.fit(x, y, epochs=4, callbacks=[callback], verbose=0)
    >>> weight, descent = np.array([[3.0], [4.0]]), np.array([[4.0], [3.0]])
    >>> direction_shrink(weight, descent, shrink=0.3, axes=(0,)).round(2).tolist()
    [[2.88], [3.84]]
    """

    draws = False

    def __init__(
        self,
        schedule,
        data=None,
        *,
        shrink=0.3,
        rate=0.3,
        batch_size=128,
        optimizer_state="keep",
        when=None,
    ):
        super().__init__(schedule, optimizer_state=optimizer_state, seed=0, when=when)
        check_share("shrink", shrink)
        check_share("rate", rate)
        self.data = data
        self.shrink = shrink
        self.rate = rate
        if batch_size is not None:
            batch_size = checked_integer("batch_size", batch_size, low=1)
        self.batch_size = batch_size
        self._axes = self._gradients = None

    def check(self):
        super().check()
        check_loss(self.model)
        if self.data is None:
            raise ValueError(
                "`data` must be the training data, a data set of batches or (x, y), "
                "which is no part of a configuration. Received: data=None"
            )

    def outcomes(self, stage):
        gradients = Gradients(self.model, self.network)
        self._gradients = gradients.average(self.data, self.rate, self.batch_size)
        self._axes = dict(_vectors(self.network))
        yield from super().outcomes(stage)
        self._axes = self._gradients = None

    def rule(self, stage, variable, fresh):
        """Shrinks each vector of a kernel or bias."""
        axes, gradient = self._axes.get(id(variable)), self._gradients.get(id(variable))
        if axes is None or gradient is None:
            return None
        weight = keras.ops.convert_to_numpy(variable)
        return direction_shrink(weight, -gradient, self.shrink, axes)

    def get_config(self):
        own = ("shrink", "rate", "batch_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _vectors(model):
    """Pairs of ids of kernels and biases, and the axes along which a vector lies."""
    for layer in all_layers(model):
        if not isinstance(layer, LAYERS):
            continue
        rank = len(layer.kernel.shape)
        # Positions of a convolution; inputs of a dense layer.
        yield id(layer.kernel), tuple(range(rank - 2)) or (0,)
        if layer.bias is not None:
            yield id(layer.bias), (0,)
