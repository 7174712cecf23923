"""Searches with keras-tuner: any tuner of its own, and a grid that survives."""

from keras_reinit.tuning.estimate import Estimate, estimate
from keras_reinit.tuning.grid import GridSearch
from keras_reinit.tuning.hypermodel import HyperModel

__all__ = ["Estimate", "GridSearch", "HyperModel", "estimate"]
