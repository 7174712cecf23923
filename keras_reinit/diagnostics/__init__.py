"""Measures of plasticity while a network trains."""

from keras_reinit.diagnostics.diagnostics import Diagnostics

__all__ = [
    "Diagnostics",
]
