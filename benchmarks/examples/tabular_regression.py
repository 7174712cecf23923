"""A table with a number: how a diabetes went on after a year, from scikit-learn.

python -m benchmarks.examples.tabular_regression
"""

import keras
from sklearn import datasets, model_selection

from benchmarks.examples.compare import Example, main
from keras_reinit import LaterLayerForgetting


def load():
    """309 examples of 10 features to train on, 133 to test on, all standardized."""
    x, y = datasets.load_diabetes(return_X_y=True)
    x, x_test, y, y_test = model_selection.train_test_split(
        x, y[:, None], test_size=0.3, random_state=0
    )
    (x_mean, y_mean), (x_std, y_std) = (x.mean(0), y.mean(0)), (x.std(0), y.std(0))
    return (
        ((x - x_mean) / x_std, (y - y_mean) / y_std),
        ((x_test - x_mean) / x_std, (y_test - y_mean) / y_std),
    )


def build():
    """Three hidden layers and one number."""
    model = keras.Sequential(
        [
            keras.Input((10,)),
            *(keras.layers.Dense(64, activation="relu") for _ in range(3)),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


EXAMPLE = Example(
    load,
    build,
    method=lambda schedule, seed: LaterLayerForgetting(schedule, seed=seed),
    metric="mae",
    epochs=50,
)

if __name__ == "__main__":
    main(EXAMPLE)
