"""What a teacher costs, for `benchmarks.speed --part=distillation`.

One training step of the reference CNN, 32x32x3, batches of 128: alone, as a student
before and after its first generation, with a `TeacherCache` of 10,000 examples, and as
that of Keras' own `Distiller`.
"""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.speed_input import BATCH, EXAMPLES, step_of
from keras_reinit import BornAgain, TeacherCache, keyed, models


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
    steps["BornAgain, later generations, cached"] = cached_step()
    alone, batch = network(), tf.zeros((BATCH, 32, 32, 3))
    forward = tf.function(lambda: alone(batch, training=False))
    return {**steps, "forward pass": forward}


def cached_step():
    """A step of a later generation that need not run the teacher."""
    rng = np.random.default_rng(0)
    x = keyed(rng.normal(size=(EXAMPLES, 32, 32, 3)).astype("float32"))
    model = BornAgain(network(), cache=TeacherCache(x))
    model.hand_over()
    some = rng.permutation(EXAMPLES)[:BATCH]
    return step_of(model, {name: value[some] for name, value in x.items()})


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
    cached = seconds["BornAgain, later generations, cached"]
    alone = seconds["standard training"]
    return {
        "first generation over standard": seconds["BornAgain, first generation"]
        / alone,
        "later over forward and step": later / (alone + seconds["forward pass"]),
        "later over Keras' Distiller": later / seconds["Keras' Distiller"],
        "later over standard": later / alone,
        "cached over standard": cached / alone,
    }
