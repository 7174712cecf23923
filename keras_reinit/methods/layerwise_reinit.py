"""Layer-wise re-initialization: keep ever more blocks, from the input up.

With K blocks and T stages, the event after stage t = 1, ..., T-1 keeps the first
k = ceil(t * K / T) blocks and

    1. rescales each weight of theirs to its norm at initialization
       (w <- w * |w_init| / |w|; weights that began at zero become zero),
    2. normalizes the output of block k by the statistics of the next batch,
    3. re-initializes everything above block k, the head included.

Alabdulmohsin, Maennel & Keysers 2021 (arXiv 2109.00267), as scheduled by Zaidi et
al. (2022): their T = K * M stages repeat each block M times, k = ceil(t / M). Here
T need not be a multiple of K: some blocks then have one event more than others, or
share one.
Norms are per tensor, BatchNorm's scale and offset included; moving statistics stay
with their block; earlier normalizations stay as they were measured. That is the
reading of the one public re-implementation (hlml/fortuitous_forgetting).
"""

import keras
import numpy as np

from keras_reinit.arguments import checked_integer, checked_type
from keras_reinit.callback import Reinitialize
from keras_reinit.graph import BlockNormalization, blocks

# A tensor with a smaller initial norm is taken to have begun at zero.
ZERO_NORM = 1e-6


def kept_blocks(stage, stages, num_blocks):
    """Returns how many blocks the event that opens `stage` (1, ...) keeps."""
    return -(-stage * num_blocks // stages)


def rescale(weight, norm):
    """Returns `weight` scaled to the Frobenius norm `norm`; zero if that is zero."""
    current = np.linalg.norm(weight)
    if norm <= ZERO_NORM or current == 0:
        return np.zeros_like(weight)
    return weight * (norm / current)


@keras.saving.register_keras_serializable("keras_reinit")
class LayerwiseReinit(Reinitialize):
    """Re-initializes a model block by block, bottom-up.

    The normalization needs a place in the model before training begins: build the
    model with `keras_reinit.add_block_normalization`, which also marks the blocks.

    Args:
        schedule: A `Stages`.
        num_blocks: Integer, the paper's `K`; `None` takes the blocks that
            `BlockNormalization` layers mark, or all that `keras_reinit.blocks`
            finds.
        ends: Names of the layers that end the blocks, see `keras_reinit.blocks`.
        rescale: Whether to rescale kept weights to their norm at initialization,
            which is the norm when training began.
        normalize: Whether to normalize the output of the last kept block.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`, `seed`,
            `initializers`.

    Raises:
        ValueError: When training begins, if `normalize` is true and the model has
            no `BlockNormalization` layers, or `num_blocks` is more than it has.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(4),
    ...     keras.layers.Dense(1)])
    >>> model = add_block_normalization(model)
    >>> model.compile("sgd", loss="mse")
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), epochs=4, verbose=0,
    ...     callbacks=[LayerwiseReinit(Stages(epochs=4, stages=4))])
    """

    def __init__(
        self,
        schedule,
        num_blocks=None,
        *,
        ends=None,
        rescale=True,
        normalize=True,
        **kwargs,
    ):
        super().__init__(schedule, **kwargs)
        if num_blocks is not None:
            num_blocks = checked_integer("num_blocks", num_blocks, low=1)
        self.num_blocks = num_blocks
        self.ends = ends
        self.rescale = checked_type("rescale", rescale, True)
        self.normalize = checked_type("normalize", normalize, True)
        self._norms = None
        self._end = None

    def prepare(self):
        super().prepare()
        if self.normalize and not _ends_are_normalized(self._blocks()):
            raise ValueError(
                "`model` must have a BlockNormalization layer after each block: "
                "use `model = keras_reinit.add_block_normalization(model)` before "
                "`compile`, or pass `normalize=False` to do without. "
                f"Received: model={self.network.name!r}"
            )
        self._norms_at_begin = _norms(self.network)

    def on_epoch_begin(self, epoch, logs=None):
        # A later `fit` that goes on with the training keeps the first norms.
        if epoch == 0 or (self._norms is None and self._was_restored()):
            self._norms = self._norms_at_begin
        if self.rescale and self._norms is None and self.schedule.stages > 1:
            raise ValueError(
                "`initial_epoch` must be 0 for a callback that has not seen the first "
                "weights, whose norms it needs: go on with the same callback or with "
                "`keras_reinit.Backup`, or pass `rescale=False`. "
                f"Received: initial_epoch={epoch}"
            )
        super().on_epoch_begin(epoch, logs)

    def apply(self, model, stage):
        if self.rescale and self._norms is None:
            raise ValueError(
                "`rescale` must be False for `apply`, unless this callback has seen "
                "the first weights in a `fit` from epoch 0. Received: rescale=True"
            )
        super().apply(model, stage)

    def get_state(self):
        return {**super().get_state(), "norms": self._norms}

    def set_state(self, state):
        super().set_state(state)
        self._norms = state["norms"]

    def _was_restored(self):
        """Whether weights changed since this newly built model's training began."""
        return self._norms_at_begin != _norms(self.network)

    def outcomes(self, stage):
        found = self._blocks()
        kept = found[: kept_blocks(stage, self.schedule.stages, len(found))]
        self._end = kept[-1].output_layer
        self._kept = {id(v) for block in kept for v in block.weights}
        norms = self._norms or self._norms_at_begin
        self._norm_of = {
            id(v): norm for v, norm in zip(self.network.weights, norms, strict=True)
        }
        return super().outcomes(stage)

    def _reinitialize(self, stage):
        changed = super()._reinitialize(stage)
        if self.normalize:
            self._end.measure_next_batch()
        self._end = None  # A layer of the model: known during the event only.
        return changed

    def _blocks(self):
        return blocks(self.network, self.num_blocks, self.ends)

    def rule(self, stage, variable, fresh):
        """Keeps and rescales the lower blocks; what is above starts fresh."""
        if id(variable) not in self._kept:
            return fresh()
        if not (self.rescale and variable.trainable):
            return None
        return rescale(variable.numpy(), self._norm_of[id(variable)])

    def get_config(self):
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "ends": self.ends,
            "rescale": self.rescale,
            "normalize": self.normalize,
        }


def _ends_are_normalized(found):
    return all(isinstance(b.output_layer, BlockNormalization) for b in found)


def _norms(model):
    return [float(np.linalg.norm(v.numpy())) for v in model.weights]
