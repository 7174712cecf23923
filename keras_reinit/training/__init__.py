"""One run: a `Config` in, a result row out."""

from keras_reinit.training.training import STRATEGIES, failure, load, load_clean, run

__all__ = [
    "STRATEGIES",
    "failure",
    "load",
    "load_clean",
    "run",
]
