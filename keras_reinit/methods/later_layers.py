"""Later-layer forgetting (LLF): the upper layers start again, the lower ones stay.

    theta <- theta * m + theta_fresh * (1 - m),  m = 1 below a layer, else 0

Zhou et al. 2022, "Fortuitous Forgetting in Connectionist Networks" (arXiv 2202.00155).
The public code (hlml/fortuitous_forgetting) re-draws, for a ResNet-18, the last of its
four groups of blocks and the head, with other numbers in each generation and a new
optimizer and schedule. With the networks here that is `num_blocks=5`: the stem and the
four groups are then one block each. Where it differs:

- By default the last single block starts again, of nine in a ResNet-18, and the head.
- That code never re-draws biases; here they start fresh unless `biases=False`.
- That code draws uniform numbers for all kernels; here each weight has its own
  initializer's.

The committed rows have the defaults. Scale, offset and statistics of BatchNorm stay as
they are in both, unless told otherwise.
"""

import keras

from keras_reinit.arguments import checked_integer, checked_type
from keras_reinit.callback import Reinitialize
from keras_reinit.graph import blocks
from keras_reinit.graph.roles import bias_weights, normalization_weights


@keras.saving.register_keras_serializable("keras_reinit")
class LaterLayerForgetting(Reinitialize):
    """Re-initializes the head and the blocks before it at each stage.

    Args:
        schedule: A `Stages`.
        forget: Integer >= 0, how many blocks at the top are re-initialized with the
            head; 0 for the head alone.
        num_blocks: Integer, how many blocks to cut the model into, see
            `keras_reinit.blocks`; `None` for all that it finds. In the paper's setting
            for a ResNet-18 it is 5: the last group of blocks and the head start again.
        ends: Names of the layers that end the blocks, see `keras_reinit.blocks`.
        normalization: Whether scale, offset and statistics of the normalization
            layers among them start again, too.
        biases: Whether the biases among them start again, too; in the authors' code
            they stay.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`, `seed`,
            `initializers`.

    Raises:
        ValueError: For an argument out of its range; when training begins, for more
            blocks than the model has.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(4),
    ...     keras.layers.Dense(1)])
    >>> events = plan(model, LaterLayerForgetting(Stages(epochs=4, stages=2)))
    stage       epochs        fresh        mixed       scaled         kept
    1            2           25            0            0           16
    """

    def __init__(
        self,
        schedule,
        forget=1,
        *,
        num_blocks=None,
        ends=None,
        normalization=False,
        biases=True,
        **kwargs,
    ):
        super().__init__(schedule, **kwargs)
        self.forget = checked_integer("forget", forget)
        if num_blocks is not None:
            num_blocks = checked_integer("num_blocks", num_blocks, low=1)
        self.num_blocks = num_blocks
        self.ends = ends
        self.normalization = checked_type("normalization", normalization, False)
        self.biases = checked_type("biases", biases, True)
        self._kept = None

    def prepare(self):
        super().prepare()
        count = len(self._blocks())
        if self.forget > count:
            raise ValueError(
                f"`forget` must be in [0, {count}], the number of blocks of "
                f"{self.network.name!r}. Received: forget={self.forget}"
            )

    def outcomes(self, stage):
        found = self._blocks()
        below = found[: len(found) - self.forget]
        self._kept = {id(v) for block in below for v in block.weights}
        if not self.normalization:
            self._kept |= normalization_weights(self.network)
        if not self.biases:
            self._kept |= bias_weights(self.network)
        return super().outcomes(stage)

    def _blocks(self):
        return blocks(self.network, self.num_blocks, self.ends)

    def rule(self, stage, variable, fresh):
        """Keeps what is below; what is above starts fresh."""
        return None if id(variable) in self._kept else fresh()

    def get_config(self):
        return {
            **super().get_config(),
            "forget": self.forget,
            "num_blocks": self.num_blocks,
            "ends": self.ends,
            "normalization": self.normalization,
            "biases": self.biases,
        }
