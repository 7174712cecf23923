"""Weight-level forgetting: single weights start again, wherever they are.

    theta <- theta * m + theta_fresh * (1 - m)

with a mask m of zeros and ones over the kernels, which has a given share of zeros:

    "random"     anywhere, other places at each event
    "fixed"      anywhere, the same places at each event: the weight-level split (WELS)
                 of Knowledge Evolution, Taha et al. 2021 (arXiv 2103.05152)
    "magnitude"  where weights are smallest, kernel by kernel, as Han et al. 2017 choose
                 what they prune (arXiv 1607.04381)

The first and the last are the weight-level rules that Zhou et al. 2022 (arXiv
2202.00155) and Alabdulmohsin et al. 2021 (arXiv 2109.00267) compare with. Biases,
normalization layers and slopes of a PReLU stay as they are: the code of Knowledge
Evolution, too, re-draws kernels of dense layers and convolutions alone. That code
draws uniform numbers for fresh weights, whatever initializer the model has; here each
kernel has its own initializer's, which is what a new network would have.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_choice, check_share
from keras_reinit.callback import Reinitialize
from keras_reinit.fresh.random_numbers import filled, uniform
from keras_reinit.graph.roles import kernels

CHOICES = ("random", "fixed", "magnitude")
# A stream of random numbers apart from those of the fresh weights.
STREAM = 2**31


def smallest(weight, share):
    """Mask of the floor(share * size) entries of an array that are nearest to zero."""
    count = int(share * weight.size)
    mask = np.zeros(weight.size, bool)
    mask[np.argsort(np.abs(weight), axis=None, kind="stable")[:count]] = True
    return mask.reshape(weight.shape)


@keras.saving.register_keras_serializable("keras_reinit")
class WeightForgetting(Reinitialize):
    """Re-initializes a share of the weights of each kernel at each stage.

    Args:
        schedule: A `Stages`.
        share: Float in [0, 1], how many weights of a kernel start again: each with this
            chance, or this share of them with `choice="magnitude"`.
        choice: `"random"`, `"fixed"` or `"magnitude"`: which ones.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`, `seed`,
            `initializers`.

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> callback = WeightForgetting(Stages(epochs=4, stages=2), share=0.5, seed=0)
    >>> smallest(np.array([3.0, -1.0, 2.0, 0.5]), share=0.5)
    array([False,  True, False,  True])
    """

    entries = True

    def __init__(self, schedule, share=0.5, choice="random", **kwargs):
        super().__init__(schedule, **kwargs)
        check_share("share", share)
        check_choice("choice", choice, CHOICES)
        self.share = share
        self.choice = choice
        self._places = None

    def outcomes(self, stage):
        self._places = {id(v): i for i, v in enumerate(kernels(self.network))}
        return super().outcomes(stage)

    def rule(self, stage, variable, fresh):
        """Puts fresh weights into the chosen places of a kernel."""
        place = self._places.get(id(variable))
        if place is None or self.share == 0:
            return None
        chosen = self._chosen(stage, place, keras.ops.convert_to_numpy(variable))
        return np.ma.array(fresh(), mask=~chosen)

    def _chosen(self, stage, place, weight):
        if self.choice == "magnitude":
            return smallest(weight, self.share)
        event = 0 if self.choice == "fixed" else stage
        key = (self.seed, event, place, STREAM)
        numbers = filled(uniform, 0.0, 1.0, weight.size, key)
        return numbers.reshape(weight.shape) < self.share

    def get_config(self):
        return {**super().get_config(), "share": self.share, "choice": self.choice}
