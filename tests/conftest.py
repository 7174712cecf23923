import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def toy():
    """A small classification problem: 32 examples, 4 features, 3 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 32)
    return (rng.normal(size=(32, 4)) + 2 * labels[:, None]).astype("float32"), labels


@pytest.fixture
def toy_model():
    """Builds the same kind of small network at every call, compiled on request."""

    def build(optimizer=None, wrap=None, **kwargs):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, name="first"),
                keras.layers.BatchNormalization(momentum=0.5, name="norm"),
                keras.layers.ReLU(name="relu"),
                keras.layers.Dense(8, name="second"),
                keras.layers.ReLU(name="relu2"),
                keras.layers.Dense(3, name="logits"),
            ]
        )
        model = wrap(model) if wrap else model
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, loss=loss, **kwargs)
        return model

    return build
