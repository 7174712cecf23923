"""What `Diagnostics` cost, for `benchmarks.speed --part=diagnostics`.

What is measured at the end of an epoch, on a probe of 256 images with and without
labels, beside a training step of the same network: the reference CNN, 32x32x3, batches
of 128.
"""

import numpy as np

from benchmarks.speed_distillation import network
from benchmarks.speed_input import step_of
from keras_reinit import Diagnostics

PROBE = 256
STEP = "training step"


def ways():
    """The functions to time, by name."""
    model = network()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(PROBE, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, PROBE)
    step = step_of(model)  # Compiles the model, too.
    return {
        STEP: step,
        "with labels": _measure(model, Diagnostics(x, y)),
        "without labels": _measure(model, Diagnostics(x)),
    }


def _measure(model, diagnostics):
    diagnostics.set_model(model)
    diagnostics.on_train_begin()
    return diagnostics.measure


def ratios(seconds):
    """What is measured, in training steps."""
    return {
        name: some / seconds[STEP] for name, some in seconds.items() if name != STEP
    }
