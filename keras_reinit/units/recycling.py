"""The base of methods that let single units start again."""

import numpy as np

from keras_reinit.callback import Reinitialize
from keras_reinit.units.unit_statistics import UnitStatistics
from keras_reinit.units.units import Units


class Recycling(Reinitialize):
    """Re-initializes single units: fresh weights into them, zero out of them.

    A method says which, in `choose`, from what the layers of the class `statistics`
    have measured. What it remembers are weights of these layers, so that backups have
    it.
    """

    entries = True
    statistics = UnitStatistics

    def __init__(self, schedule, *, optimizer_state="reinitialized", **kwargs):
        super().__init__(schedule, optimizer_state=optimizer_state, **kwargs)
        self._units = self._masks = None

    def choose(self, units, layers):
        """Which units start again, and what the method remembers.

        Args:
            units: The `Units` of the network.
            layers: List of pairs: a layer of `statistics`, and its units' numbers.

        Returns:
            Boolean array over all units, and a list of pairs of a weight of these
            layers and its new value. The base class chooses none.
        """
        return np.zeros(len(units.free), bool), []

    def prepare(self):
        super().prepare()
        self._units = Units(self.network)
        if not self._layers():
            name = self.statistics.__name__
            second = "" if name == "UnitStatistics" else f", keras_reinit.{name}"
            raise ValueError(
                f"`model` must have {name} layers: use `model = keras_reinit."
                f"add_unit_statistics(model{second})` before `compile`. "
                f"Received: model={self.network.name!r}"
            )

    def outcomes(self, stage):
        chosen, remembered = self.choose(self._units, self._layers())
        yield from ((weight, value, None) for weight, value in remembered)
        if chosen.any():
            self._masks = self._units.masks(chosen)
            yield from super().outcomes(stage)
            self._masks = None

    def rule(self, stage, variable, fresh):
        """Fresh weights into chosen units; zero out of them."""
        masks = self._masks.get(id(variable))
        if masks is None or not masks.any():
            return None
        made, read = masks
        value = fresh() if made.any() else np.zeros(variable.shape, "float32")
        return np.ma.array(np.where(read, 0, value), mask=~(made | read))

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._units = None  # They know the model's variables.

    def _layers(self):
        return [
            (node.operation, ids)
            for node, ids in self._units.features
            if isinstance(node.operation, self.statistics)
        ]

    def _steps_of_a_stage(self):
        return None  # Few units have fresh statistics, however short a stage is.


def per_unit(values, ids):
    """Averages the values of each unit, which has several behind a `Flatten`.

    Args:
        values: Array of shape (features,).
        ids: Integer array of shape (features,), the units.

    Returns:
        Array of shape (features,), the mean of its unit at each place.

    Example:

    >>> per_unit(np.array([1.0, 5.0, 3.0]), np.array([7, 8, 7])).tolist()
    [2.0, 5.0, 2.0]
    """
    _, unit = np.unique(ids, return_inverse=True)
    means = np.bincount(unit, values) / np.bincount(unit)
    return means[unit].astype(values.dtype)
