"""What values: fresh weights of any built Keras model, seeded."""

from keras_reinit.fresh.weights import fresh_weights, reinitialize

__all__ = [
    "fresh_weights",
    "reinitialize",
]
