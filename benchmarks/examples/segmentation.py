"""Several outputs: what digit an image shows, and which of its pixels are ink.

    python -m benchmarks.examples.segmentation

The network sees digits under noise: one output is a mask of every pixel, one a class.
"""

import keras
import numpy as np
from sklearn import datasets, model_selection

from benchmarks.examples.compare import Example, main
from keras_reinit import LaterLayerForgetting

NOISE = 0.4


def load():
    """600 noisy images, each with its mask and its class; 1197 to test on."""
    digits = datasets.load_digits()
    clean = digits.images[..., None] / 16
    noisy = clean + np.random.default_rng(0).normal(0, NOISE, clean.shape)
    masks = (clean > 0.4).astype("float32")
    x, x_test, m, m_test, y, y_test = model_selection.train_test_split(
        noisy, masks, digits.target, train_size=600, random_state=0
    )
    return (x, {"mask": m, "digit": y}), (x_test, {"mask": m_test, "digit": y_test})


def build():
    """A small U-Net with a class at its bottom."""

    def convolution(x, filters):
        return keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)

    inputs = keras.Input((8, 8, 1))
    fine = convolution(inputs, 16)
    coarse = convolution(keras.layers.MaxPooling2D()(fine), 32)
    bottom = keras.layers.GlobalAveragePooling2D()(convolution(coarse, 64))
    digit = keras.layers.Dense(10, activation="softmax", name="digit")(bottom)
    joined = keras.layers.Concatenate()([keras.layers.UpSampling2D()(coarse), fine])
    last = convolution(joined, 16)
    mask = keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask")(last)
    model = keras.Model(inputs, {"mask": mask, "digit": digit})
    model.compile(
        "adam",
        {"mask": "binary_crossentropy", "digit": "sparse_categorical_crossentropy"},
        metrics={"mask": [keras.metrics.BinaryIoU(name="iou")], "digit": ["accuracy"]},
    )
    return model


EXAMPLE = Example(
    load,
    build,
    method=lambda schedule, seed: LaterLayerForgetting(schedule, seed=seed),
    metric="mask_iou",
    epochs=40,
)

if __name__ == "__main__":
    main(EXAMPLE)
