"""ReDo: units that have gone dormant start again, without a change of the function.

    s_i = mean|h_i| / mean_k mean|h_k|;   unit i of a layer is dormant if
    s_i <= threshold;   weights into it <- fresh,   weights out of it <- 0

Sokar et al. 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning" (arXiv
2302.12902), with means over the batch and all positions of the activations, threshold
0.025. As in the public code (google/dopamine, labs/redo) the biases of dormant units
start fresh, those of the layers above stay, and the output layer's units are never
dormant. Where sources differ, or are silent:

- That code draws all kernels by Glorot's uniform initializer; here each weight has its
  own initializer's, as in a new network.
- That code's threshold is 0 unless an experiment sets it, and its period 200,000 steps.
- Where a feature map is flattened, that code spreads the mask of its units in the order
  of channels first, though channels are last, and sets weights of other units to zero;
  here they are those that read the unit.
- That code measures 256 examples of the replay buffer; here it is the last training
  batch.
- That code keeps Adam's step count; a port (timoklein/redo) found it crucial to restart
  it. Here the touched entries start at step 1 (`per_entry_steps`).
- That code leaves out layers that are added to a residual stream. Here those that are
  added up are one unit, which is dormant if it is wherever an activation shows it.
- Normalization of a recycled unit (scale, offset, statistics) starts fresh, too, as in
  Continual Backpropagation; the networks of the paper have none.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_not_negative
from keras_reinit.diagnostics.plasticity import dormant
from keras_reinit.units import Recycling
from keras_reinit.units.recycling import per_unit


@keras.saving.register_keras_serializable("keras_reinit")
class ReDo(Recycling):
    """Recycles dormant units at each stage.

    The paper's every 1000 steps are `StepStages(total, total // 1000)`.

    Args:
        schedule: A `Stages` or `StepStages`.
        threshold: Float >= 0, the score up to which a unit is dormant; 0 means those
            that were never active in the last batch.
        **kwargs: As in `keras_reinit.Reinitialize`: `seed`, `initializers`, `when`, and
            `optimizer_state`, here `"reinitialized"` by default: of exactly the entries
            that changed.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a model
            without `UnitStatistics`, or an optimizer that does not fit.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
    ...     keras.layers.Dense(1)])
    >>> model = add_unit_statistics(model)
    >>> model.compile(per_entry_steps(keras.optimizers.Adam()), loss="mse")
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), epochs=4, verbose=0,
    ...     callbacks=[ReDo(Stages(epochs=4, stages=4))])
    """

    def __init__(self, schedule, threshold=0.025, **kwargs):
        super().__init__(schedule, **kwargs)
        check_not_negative("threshold", threshold)
        self.threshold = threshold

    def choose(self, units, layers):
        """Units that are dormant wherever they are measured."""
        seen, awake = np.zeros((2, len(units.free)), bool)
        for layer, ids in layers:
            activity = per_unit(keras.ops.convert_to_numpy(layer.activity), ids)
            seen[ids] = True
            awake[ids[~dormant(activity, self.threshold)]] = True
        return seen & ~awake & units.free, []

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}
