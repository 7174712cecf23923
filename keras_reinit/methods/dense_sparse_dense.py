"""Dense-Sparse-Dense (DSD): prune, train what is left, let the rest grow again.

    stage 0   train all weights
    stage 1   w <- w * m, with m = 0 for the smallest share of each kernel; m stays
    stage 2   train all weights again, the pruned ones from zero, at a tenth of the rate

Han et al. 2017, "DSD: Dense-Sparse-Dense Training for Deep Neural Networks" (arXiv
1607.04381): one mask for each layer, by magnitude, 25 to 50% of it pruned (30% for
convolutional networks on ImageNet), each stage a training of its own. The public
repository (songhan/DSD) holds trained models only. Biases and normalization layers are
never pruned. With more stages, every other one is sparse.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_share
from keras_reinit.callback import Reinitialize
from keras_reinit.graph.roles import kernels
from keras_reinit.methods.weight_forgetting import smallest


class _Masked(keras.constraints.Constraint):
    """Keeps at zero what is zero, after each step; then comes another constraint."""

    def __init__(self, weight, then):
        # As a variable it is no constant of the graph, which would be copied with it.
        self.mask = keras.Variable(weight != 0, dtype="float32", trainable=False)
        self.then = then

    def __call__(self, w):
        w = w * keras.ops.cast(self.mask, w.dtype)
        return w if self.then is None else self.then(w)


@keras.saving.register_keras_serializable("keras_reinit")
class DenseSparseDense(Reinitialize):
    """Prunes kernels for every other stage, from the second on.

    A training step is compiled anew where pruning begins and where it ends.

    Args:
        schedule: A `Stages`, of three stages for DSD itself.
        sparsity: Float in [0, 1], the share of each kernel that is pruned.
        final_rate: Float in (0, 1], what the learning rate is multiplied by when a
            sparse stage ends. For a learning-rate schedule it must be 1.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a
            schedule of the learning rate with another `final_rate` than 1.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    >>> events = plan(model, DenseSparseDense(Stages(epochs=6, stages=3)))
    stage       epochs        fresh        mixed       scaled         kept
    1            2            0            0            6           19
    2            4            0            0            0           25
    """

    draws = False
    entries = True

    def __init__(self, schedule, sparsity=0.3, final_rate=0.1, **kwargs):
        super().__init__(schedule, **{"seed": 0, **kwargs})
        check_share("sparsity", sparsity)
        check_share("final_rate", final_rate)
        if final_rate == 0:
            raise ValueError(
                f"`final_rate` must be in (0, 1]. Received: final_rate={final_rate!r}"
            )
        self.sparsity = sparsity
        self.final_rate = final_rate
        self._constraints = None  # Of the kernels, before a sparse stage.

    def apply(self, model, stage):
        raise ValueError(
            "`DenseSparseDense` must be a callback of `fit`, where its mask holds."
        )

    def _check(self):
        super()._check()
        rate = self.model.optimizer._learning_rate
        if self.final_rate != 1 and not isinstance(rate, keras.Variable):
            raise ValueError(
                "`final_rate` must be 1 where a schedule sets the learning rate. "
                f"Received: final_rate={self.final_rate}, learning_rate={rate}"
            )

    def rule(self, stage, variable, fresh):
        """Zero for the smallest weights of a kernel, when a sparse stage begins."""
        kernel = any(variable is one for one in kernels(self.network))
        if not (kernel and _is_sparse(stage)):
            return None
        weight = keras.ops.convert_to_numpy(variable)
        return np.ma.array(np.zeros_like(weight), mask=~smallest(weight, self.sparsity))

    def _event(self, stage):
        super()._event(stage)
        if stage > 1 and not _is_sparse(stage) and self.final_rate != 1:
            optimizer = self.model.optimizer
            optimizer.learning_rate = float(optimizer.learning_rate) * self.final_rate

    def _begin(self, at, previous):
        super()._begin(at, previous)
        sparse = _is_sparse(self.schedule.stage(at))
        if sparse and self._constraints is None:
            # After a resume, too: what is pruned is what is zero.
            found = kernels(self.network)
            self._constraints = [v.constraint for v in found]
            for v, then in zip(found, self._constraints, strict=True):
                v.constraint = _Masked(keras.ops.convert_to_numpy(v), then)
            self.model.make_train_function(force=True)
        elif not sparse:
            self._release()

    def _release(self):
        if self._constraints is None:
            return
        for v, then in zip(kernels(self.network), self._constraints, strict=True):
            v.constraint = then
        self._constraints = None
        self.model.make_train_function(force=True)

    def on_train_end(self, logs=None):
        self._release()
        super().on_train_end(logs)

    def get_config(self):
        own = {"sparsity": self.sparsity, "final_rate": self.final_rate}
        return {**super().get_config(), **own}


def _is_sparse(stage):
    return stage % 2 == 1
