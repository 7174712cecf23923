"""What a teacher costs, for `benchmarks.speed --part=distillation`.

One training step of the reference CNN, 32x32x3, batches of 128: alone, as a student
before and after its first generation, and as that of Keras' own `Distiller`.
"""

import keras
import tensorflow as tf

from benchmarks.speed_input import BATCH, step_of
from keras_reinit import BornAgain, models


def ways():
    """The functions to time, by name; each takes one step."""
    taught = BornAgain(network())
    taught.hand_over()
    found = {
        "standard training": network(),
        "BornAgain, first generation": BornAgain(network()),
        "BornAgain, later generations": taught,
        "Keras' Distiller": distiller(),
    }
    steps = {name: step_of(model) for name, model in found.items()}
    alone, batch = network(), tf.zeros((BATCH, 32, 32, 3))
    forward = tf.function(lambda: alone(batch, training=False))
    return {**steps, "forward pass": forward}


def network():
    return models.small_cnn((32, 32, 3), num_classes=10)


def distiller():
    return keras.distillation.Distiller(
        teacher=network(),
        student=network(),
        distillation_losses=keras.distillation.LogitsDistillation(temperature=1.0),
    )


def ratios(seconds):
    """A later generation over what it may cost, and over its rivals."""
    later = seconds["BornAgain, later generations"]
    alone = seconds["standard training"]
    return {
        "first generation over standard": seconds["BornAgain, first generation"]
        / alone,
        "later over forward and step": later / (alone + seconds["forward pass"]),
        "later over Keras' Distiller": later / seconds["Keras' Distiller"],
        "later over standard": later / alone,
    }
