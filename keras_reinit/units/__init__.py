"""Single units: what makes and reads them, how they fare, and their recycling."""

from keras_reinit.units.recycling import Recycling
from keras_reinit.units.unit_statistics import UnitStatistics, add_unit_statistics
from keras_reinit.units.units import Units

__all__ = [
    "Recycling",
    "UnitStatistics",
    "Units",
    "add_unit_statistics",
]
