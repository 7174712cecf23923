"""Continual Backpropagation: at each step, the few least useful units start again.

    u_i <- decay * u_i + (1 - decay) * mean|h_i| * mean|w_out,i|;
    of a layer's units older than `maturity`, those of the lowest u_i / (1 - decay^age)
    start again: weights into them <- fresh, weights out of them <- 0, u_i, age_i <- 0

Dohare et al. 2024, "Loss of plasticity in deep continual learning" (Nature 632), with
the contribution utility, decay 0.99 and, as in most of its experiments, maturity 100.
At each step a layer is due `rate` times the number of its mature units; whole units are
replaced, and what is left adds up. Where sources differ, or are silent:

- mean|w_out,i| is over all weights that read the unit, whatever layer they are in; in
  the public code (shibhansh/loss-of-plasticity) there is one such layer. Where a
  feature map is flattened, that code multiplies position by position and takes the mean
  of the products; here the two means are multiplied. It measures units after pooling,
  here after the activation.
- That code's convolutional networks are due `rate` times the number of all units, once
  one is mature; its networks of dense layers replace less than a whole unit by chance,
  unless told to add up.
- The utility is the paper's running average; newer layers of that code take that of
  the last batch by default: `decay=0`.
- That code draws uniform numbers by the activation's gain; here each weight has its own
  initializer's, as in a new network. Normalization of a unit starts fresh in both.
- Its networks of dense layers add what a removed unit gave on average to the biases
  above; as in the paper's algorithm and in its newer layers, that is not done here.
- It restarts Adam's moments and step of the touched entries, which is the default
  here, but leaves the momentum of SGD as it is: that would be `optimizer_state="keep"`.
- Units that are added up (residual connections) are one, with one utility: where an
  activation shows them first.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_not_negative, check_share, checked_integer
from keras_reinit.units import Recycling, UnitStatistics
from keras_reinit.units.recycling import per_unit


def averaged(utility, contribution, decay):
    """The running average of utilities, one step on."""
    return decay * utility + (1 - decay) * contribution


def replaced(utility, age, due, *, rate, maturity, decay):
    """Which units of a layer start again, and what is left of the share that is due.

    Args:
        utility: Array of shape (units,), running averages from zero.
        age: Array of shape (units,), events since each unit began.
        due: Float, what earlier steps left, in units.
        rate: Float in [0, 1], of the mature units.
        maturity: Integer, the age up to which a unit is safe.
        decay: Float in [0, 1), of the averages.

    Returns:
        Boolean array of shape (units,), and a float.

    Example:

    >>> utility, age = np.array([0.3, 0.1, 0.0]), np.array([9, 9, 2])
    >>> chosen, due = replaced(
    ...     utility, age, 0.5, rate=0.25, maturity=5, decay=0.0)
    >>> chosen.tolist(), due
    ([False, True, False], 0.0)
    """
    mature = np.flatnonzero(age > maturity)
    due = due + rate * len(mature)
    count = min(int(due), len(mature))
    corrected = utility[mature] / (1 - decay ** age[mature])
    chosen = np.zeros(len(age), bool)
    chosen[mature[np.argsort(corrected, kind="stable")[:count]]] = True
    return chosen, due - count


@keras.saving.register_keras_serializable("keras_reinit")
class UnitUtilities(UnitStatistics):
    """A `UnitStatistics` that also keeps what `ContinualBackprop` remembers.

    Attributes:
        age: Weight of shape (features,): events since the unit began.
        utility: Weight of shape (features,), its running average from zero.
        due: Weight of shape (): units to be replaced that are no whole one yet.

    Example:

    >>> layer = UnitUtilities()
    >>> _ = layer(np.ones((4, 2)), training=True)
    >>> [tuple(weight.shape) for weight in (layer.age, layer.utility, layer.due)]
    [(2,), (2,), ()]
    """

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[-1],)
        self.age, self.utility, self.due = (
            self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros",
                trainable=False,
                dtype="float32",
                aggregation="mean",  # Over replicas.
            )
            for name, shape in (("age", shape), ("utility", shape), ("due", ()))
        )


@keras.saving.register_keras_serializable("keras_reinit")
class ContinualBackprop(Recycling):
    """Replaces the least useful mature units of each layer, a few at each event.

    The paper has an event at each step: `StepStages(total, total)`. Each then costs a
    copy of the weights that read hidden units; where that is too much, let events be
    further apart and raise the rate as much.

    Args:
        schedule: A `StepStages` or `Stages`.
        rate: Float in [0, 1], the share of a layer's mature units that each event
            replaces.
        maturity: Integer >= 0, the age up to which a unit is not replaced, in events.
        decay: Float in [0, 1), of the running average of utilities, over events.
        **kwargs: As in `keras_reinit.Reinitialize`: `seed`, `initializers`, `when`, and
            `optimizer_state`, here `"reinitialized"` by default: of exactly the entries
            that changed.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a model
            without `UnitUtilities`, or an optimizer that does not fit.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
    ...     keras.layers.Dense(1)])
    >>> model = add_unit_statistics(model, UnitUtilities)
    >>> model.compile(per_entry_steps(keras.optimizers.Adam()), loss="mse")
    >>> callback = ContinualBackprop(StepStages(8, 8), rate=0.1, maturity=2)
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), batch_size=4, epochs=4, verbose=0,
    ...     callbacks=[callback])
    """

    statistics = UnitUtilities

    def __init__(self, schedule, rate=1e-4, maturity=100, decay=0.99, **kwargs):
        super().__init__(schedule, **kwargs)
        check_share("rate", rate)
        check_not_negative("decay", decay)
        if decay >= 1:
            raise ValueError(f"`decay` must be in [0, 1). Received: decay={decay!r}")
        self.rate = rate
        self.maturity = checked_integer("maturity", maturity)
        self.decay = decay

    def choose(self, units, layers):
        """The least useful mature units of each layer, as many as are due."""
        out = _outgoing(units)
        chosen, seen = np.zeros((2, len(units.free)), bool)
        remembered = []
        for layer, ids in layers:
            activity, age, utility, due = map(
                keras.ops.convert_to_numpy,
                (layer.activity, layer.age, layer.utility, layer.due),
            )
            contribution = per_unit(activity, ids) * out[ids]
            utility, age = averaged(utility, contribution, self.decay), age + 1
            # No age counts of units without a full list of weights, or seen before.
            own = np.isin(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
            own &= units.free[ids] & ~seen[ids]
            gone, due = replaced(
                utility,
                np.where(own, age, 0),
                float(due),
                rate=self.rate,
                maturity=self.maturity,
                decay=self.decay,
            )
            seen[ids] = True
            chosen[ids[gone]] = True
            remembered += [
                (layer.utility, np.where(gone, 0, utility)),
                (layer.age, np.where(gone, 0, age)),
                (layer.due, np.array(due)),
            ]
        return chosen, remembered

    def get_config(self):
        own = {"rate": self.rate, "maturity": self.maturity, "decay": self.decay}
        return {**super().get_config(), **own}


def _outgoing(units):
    """The mean |w| of the weights that read each unit."""
    total, count = np.zeros((2, len(units.free)))
    for use in units.read:
        size = np.abs(np.asarray(keras.ops.convert_to_numpy(use.variable), "float32"))
        others = tuple(i for i in range(size.ndim) if i != use.axis)
        np.add.at(total, use.ids, size.sum(axis=others))
        np.add.at(count, use.ids, size.size / size.shape[use.axis])
    return total / np.maximum(count, 1)
