"""Sequences: a GRU reads scikit-learn's digits row by row.

python -m benchmarks.examples.sequence_gru
"""

import keras
from sklearn import datasets, model_selection

from benchmarks.examples.compare import Example, main
from keras_reinit import WeightForgetting


def load():
    """600 sequences of 8 steps of 8 features to train on, 1197 to test on."""
    digits = datasets.load_digits()
    x, x_test, y, y_test = model_selection.train_test_split(
        digits.images / 16, digits.target, train_size=600, random_state=0
    )
    return (x, y), (x_test, y_test)


def build():
    """A GRU in both directions."""
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Bidirectional(keras.layers.GRU(32)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    adam = keras.optimizers.Adam(3e-3)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


EXAMPLE = Example(
    load,
    build,
    method=lambda schedule, seed: WeightForgetting(schedule, seed=seed),
    metric="accuracy",
    epochs=40,
)

if __name__ == "__main__":
    main(EXAMPLE)
