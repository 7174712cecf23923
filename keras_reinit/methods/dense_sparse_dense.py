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

import contextlib
import functools

import keras
import numpy as np

from keras_reinit.arguments import check_share
from keras_reinit.callback import Reinitialize
from keras_reinit.graph.roles import kernels
from keras_reinit.keras_internals import rate_of, set_rate_of
from keras_reinit.methods.weight_forgetting import smallest
from keras_reinit.neighbors import callbacks_of_the_same_fit, is_in_fit
from keras_reinit.network import compile_step_anew
from keras_reinit.optimizers.levels import optimizers_of, plain_levels, plain_rates


class _Masked(keras.constraints.Constraint):
    """Keeps at zero what is zero, after each step; then comes another constraint."""

    def __init__(self, weight, then):
        # As a variable it is no constant of the graph, which would be copied with it.
        self.mask = keras.Variable(weight != 0, dtype="float32", trainable=False)
        self.then = then

    def __call__(self, w):
        w = w * keras.ops.cast(self.mask, w.dtype)
        return w if self.then is None else self.then(w)


class _Step:
    """The training step of a stage, in the place of a model's `train_function`.

    Constraints and a lower rate hold inside of each call only, which is where steps are
    traced: whatever ends the training, variables and optimizer are as they were found.
    A `fit` without the callback gets the model's own step.
    """

    def __init__(self, callback, model, masked, factor):
        self.callback, self.factor = callback, factor
        self.slowed = plain_levels(optimizers_of(model)) if factor != 1 else []
        model.make_train_function()  # A training that goes on has none yet.
        self.plain = model.train_function
        self.masks = [
            (v, _Masked(keras.ops.convert_to_numpy(v), v.constraint)) for v in masked
        ]
        self.compiled = compile_step_anew(model)
        model.train_function = self

    def __call__(self, *args):
        if not self.callback.trains_now():
            return self.plain(*args)
        with contextlib.ExitStack() as stack:
            for variable, mask in self.masks:
                stack.callback(setattr, variable, "constraint", variable.constraint)
                variable.constraint = mask
            for level in self.slowed:
                stack.callback(set_rate_of, level, rate_of(level))
                lower = functools.partial(_times, rate_of(level), self.factor)
                set_rate_of(level, lower)
            return self.compiled(*args)


def _times(rate, factor):
    return rate * factor


@keras.saving.register_keras_serializable("keras_reinit")
class DenseSparseDense(Reinitialize):
    """Prunes kernels for every other stage, from the second on.

    A training step is compiled anew where pruning begins and where it ends.

    Args:
        schedule: A `Stages`, of three stages for DSD itself.
        sparsity: Float in [0, 1], the share of each kernel that is pruned.
        final_rate: Float in (0, 1], what the learning rate is multiplied by in the
            dense stage after a sparse one (and in later ones as often as one has
            ended). It acts in the training step alone: the optimizer's own rate stays.
            For a learning-rate schedule it must be 1.
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
        self._stage = 0  # Whose step the model has.
        self._in_fit = self._in_loop = False

    def apply(self, model, stage):
        raise ValueError(
            "`DenseSparseDense` must be a callback of `fit`, where its mask holds."
        )

    def check(self):
        super().check()
        rates = plain_rates(optimizers_of(self.model))
        if self.final_rate != 1 and not rates:
            raise ValueError(
                "`final_rate` must be 1 where a schedule sets the learning rate. "
                f"Received: final_rate={self.final_rate}, {self.model.optimizer}"
            )

    def rule(self, stage, variable, fresh):
        """Zero for the smallest weights of a kernel, when a sparse stage begins."""
        kernel = any(variable is one for one in kernels(self.network))
        if not (kernel and _is_sparse(stage)):
            return None
        weight = keras.ops.convert_to_numpy(variable)
        return np.ma.array(np.zeros_like(weight), mask=~smallest(weight, self.sparsity))

    def trains_now(self):
        """Whether the training that calls is the one with this callback."""
        if self._in_fit:
            return self in callbacks_of_the_same_fit()
        return self._in_loop  # It has no `fit` that could be another one's.

    def _begin(self, at, previous):
        super()._begin(at, previous)
        stage = self.schedule.stage(at)
        if stage != self._stage:
            self._stage = stage
            self._take_step_of(stage)

    def _take_step_of(self, stage):
        """Lets the model train as a stage does, after a resume as well."""
        self._release()
        # What is pruned is what is zero.
        masked = kernels(self.network) if _is_sparse(stage) else []
        factor = self.final_rate ** (stage // 2)
        if masked or factor != 1:
            _Step(self, self.model, masked, factor)

    def _release(self):
        step = self.model.train_function
        if isinstance(step, _Step):
            self.model.train_function = step.plain

    def on_train_begin(self, logs=None):
        self._stage = 0
        self._in_fit = is_in_fit()
        self._in_loop = not self._in_fit
        self._release()  # Of a training that was interrupted.
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self._stage > 0 and not isinstance(self.model.train_function, _Step):
            self._take_step_of(self._stage)  # Somebody has had it compiled again.

    def on_train_end(self, logs=None):
        self._release()
        self._in_fit = self._in_loop = False
        super().on_train_end(logs)

    def get_config(self):
        own = {"sparsity": self.sparsity, "final_rate": self.final_rate}
        return {**super().get_config(), **own}


def _is_sparse(stage):
    return stage % 2 == 1
