"""Self-Normalized Resets: a unit starts again when it is silent longer than is usual.

    age_i <- 0 if unit i fired (h_i > 0) anywhere in the batch, else age_i + 1
    age_i >= tau_i:   weights into unit i <- fresh, weights out of it <- 0, age_i <- 0
    at times:   q_i <- -log(1 - percentile) * (mean time between firings of unit i)
                tau_i <- q_i if q_i < tau_i, else expansion * tau_i

Farias & Jozefiak 2025, "Self-Normalized Resets for Plasticity in Continual Learning"
(arXiv 2410.20098, ICLR 2025). Each unit has its own threshold: the percentile of how
long it is silent between two firings. There are two repositories of the authors. The
official one, ajozefiak/SelfNormalizedResets, has dense layers and convolutions only
(its experiment with Transformers is a template without a network), and keeps a
histogram of these times for each unit, with up to tens of thousands of bins. The other
one, ajozefiak/CL-transformers, has Transformers, and takes the times to be
exponentially distributed, so that two sums are enough; this method follows it. In both,
and here, a reset counts as a firing. Where they differ:

- Ages are in events, at each step in the paper; in the official code they grow by the
  size of the batch, and a threshold is never below that.
- Thresholds are updated at every `period`-th event; in the code for Transformers with a
  chance at each step, in the official code by default at the end of every 16th task.
- The percentile is 0.99 and the expansion 2, the defaults of the official code; most
  experiments with Transformers have 0.95. The first threshold and the period are chosen
  for each experiment; the defaults of these two are ours.
- Both restart Adam's moments, not its step count; here the touched entries start at
  step 1 (`per_entry_steps`). Both set biases of a unit to zero; here they and its
  normalization start fresh.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_positive, checked_integer, is_number
from keras_reinit.units import Recycling, UnitStatistics


def renewed(threshold, silence, firings, percentile, expansion):
    """The new thresholds, from the times between firings.

    Args:
        threshold: Array of shape (units,), in events.
        silence: Array of shape (units,), the sum of the times between firings.
        firings: Array of shape (units,), how many such times there are.
        percentile: Float in (0, 1).
        expansion: Float > 1.

    Example:

    >>> renewed(np.array([50.0, 4.0]), np.array([20.0, 20.0]), np.array([10, 10]),
    ...         percentile=0.99, expansion=2.0).tolist()
    [10.0, 8.0]
    """
    usual = -np.log(1 - percentile) * silence / firings
    return np.ceil(np.where(usual < threshold, usual, expansion * threshold))


@keras.saving.register_keras_serializable("keras_reinit")
class UnitFirings(UnitStatistics):
    """A `UnitStatistics` that also keeps what `SelfNormalizedResets` remembers.

    Attributes:
        fired: Weight of shape (features,): 1 where a feature was above zero anywhere in
            the last training batch, else 0.
        age: Weight of shape (features,): events since the unit fired.
        silence, firings: Weights of shape (features,): sum and number of the times
            between firings, both from one.
        threshold: Weight of shape (features,), in events; 0 before the first one.
        events: Weight of shape (): how many there were.

    Example:

    >>> layer = UnitFirings()
    >>> _ = layer(np.array([[0.0, 2.0], [0.0, -1.0]]), training=True)
    >>> keras.ops.convert_to_numpy(layer.fired).tolist()
    [0.0, 1.0]
    """

    def build(self, input_shape):
        super().build(input_shape)
        for name, first in (
            ("fired", "ones"),
            ("age", "zeros"),
            ("silence", "ones"),
            ("firings", "ones"),
            ("threshold", "zeros"),
            ("events", "zeros"),
        ):
            weight = self.add_weight(
                name=name,
                shape=() if name == "events" else (input_shape[-1],),
                initializer=first,
                trainable=False,
                dtype="float32",
                aggregation="mean",  # Over replicas: above zero where any has fired.
            )
            setattr(self, name, weight)

    def call(self, inputs, training=None):
        if training:
            axes = tuple(range(len(inputs.shape) - 1))
            fired = keras.ops.any(inputs > 0, axis=axes)
            self.fired.assign(keras.ops.cast(fired, "float32"))
        return super().call(inputs, training=training)


@keras.saving.register_keras_serializable("keras_reinit")
class SelfNormalizedResets(Recycling):
    """Re-initializes units that are silent for longer than is usual for them.

    The paper has an event at each step: `StepStages(total, total)`.

    Args:
        schedule: A `StepStages` or `Stages`.
        threshold: Float > 0, the first threshold of all units, in events.
        period: Integer >= 1: thresholds are set anew at every so many events.
        percentile: Float in (0, 1), of the times between firings that are usual.
        expansion: Float > 1, by which a threshold grows that is not above that.
        **kwargs: As in `keras_reinit.Reinitialize`: `seed`, `initializers`, `when`, and
            `optimizer_state`, here `"reinitialized"` by default: of exactly the entries
            that changed.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a model
            without `UnitFirings`, or an optimizer that does not fit.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
    ...     keras.layers.Dense(1)])
    >>> model = add_unit_statistics(model, UnitFirings)
    >>> model.compile(per_entry_steps(keras.optimizers.Adam()), loss="mse")
    >>> callback = SelfNormalizedResets(StepStages(8, 8), threshold=2)
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), batch_size=4, epochs=4, verbose=0,
    ...     callbacks=[callback])
    """

    statistics = UnitFirings

    def __init__(
        self,
        schedule,
        threshold=100,
        period=1000,
        percentile=0.99,
        expansion=2.0,
        **kwargs,
    ):
        super().__init__(schedule, **kwargs)
        check_positive("threshold", threshold)
        for name, value, low, high in (
            ("percentile", percentile, 0, 1),
            ("expansion", expansion, 1, float("inf")),
        ):
            if not (is_number(value) and low < value < high):
                raise ValueError(
                    f"`{name}` must be in ({low}, {high}). Received: {name}={value!r}"
                )
        self.threshold = threshold
        self.period = checked_integer("period", period, low=1)
        self.percentile = percentile
        self.expansion = expansion

    def choose(self, units, layers):
        """Units that have been silent for their threshold, wherever they are seen."""
        seen, kept = np.zeros((2, len(units.free)), bool)
        found = []
        for layer, ids in layers:
            age, silence, firings, threshold, events = map(
                keras.ops.convert_to_numpy,
                (
                    layer.age,
                    layer.silence,
                    layer.firings,
                    layer.threshold,
                    layer.events,
                ),
            )
            fired = keras.ops.convert_to_numpy(layer.fired) > 0
            threshold = np.where(threshold == 0, self.threshold, threshold)
            found.append(
                (layer, ids, fired, age + 1, silence, firings, threshold, events)
            )
            seen[ids] = True
            kept[ids[fired | (age + 1 < threshold)]] = True
        chosen = seen & ~kept & units.free
        return chosen, [
            pair
            for layer, ids, *state in found
            for pair in self._remembered(layer, chosen[ids], *state)
        ]

    def _remembered(
        self, layer, gone, fired, time, silence, firings, threshold, events
    ):
        """Pairs of a layer's weights and their new values; `time` since it fired."""
        arrived = fired | gone
        silence, firings = silence + time * arrived, firings + arrived
        if (events + 1) % self.period == 0:
            threshold = renewed(
                threshold, silence, firings, self.percentile, self.expansion
            )
            silence, firings = np.ones_like(silence), np.ones_like(firings)
        return [
            (layer.age, np.where(arrived, 0, time)),
            (layer.silence, silence),
            (layer.firings, firings),
            (layer.threshold, threshold),
            (layer.events, events + 1),
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "period": self.period,
            "percentile": self.percentile,
            "expansion": self.expansion,
        }
