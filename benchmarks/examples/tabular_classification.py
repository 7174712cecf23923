"""A table with a class: tumors of scikit-learn's breast cancer data, benign or not.

python -m benchmarks.examples.tabular_classification
"""

import keras
from sklearn import datasets, model_selection

from benchmarks.examples.compare import Example, main
from keras_reinit import ShrinkPerturb


def load():
    """398 examples of 30 features to train on, 171 to test on."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = model_selection.train_test_split(
        x, y, test_size=0.3, random_state=0, stratify=y
    )
    mean, std = x.mean(0), x.std(0)
    return ((x - mean) / std, y), ((x_test - mean) / std, y_test)


def build():
    """Two hidden layers and one probability."""
    model = keras.Sequential(
        [
            keras.Input((30,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


EXAMPLE = Example(
    load,
    build,
    method=lambda schedule, seed: ShrinkPerturb(schedule, seed=seed),
    metric="accuracy",
    epochs=50,
)

if __name__ == "__main__":
    main(EXAMPLE)
