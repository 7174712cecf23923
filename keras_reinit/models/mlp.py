"""A multilayer perceptron."""

import keras
from keras import layers

from keras_reinit.models.parts import check_width, classifier, norm


def mlp(input_shape, num_classes, width=128, *, depth=3, normalized_blocks=None):
    """Builds a perceptron with batch normalization and ReLU.

    Args:
        input_shape: Tuple, of one example; it is flattened.
        num_classes: Integer, the number of logits.
        width: Integer >= 1, units of each hidden layer.
        depth: Integer >= 1, hidden layers.
        normalized_blocks: `None`, or the number of blocks to put a
            `BlockNormalization` after, for `LayerwiseReinit`.

    Returns:
        An uncompiled `keras.Model`.

    Example:

    >>> mlp((8, 8, 1), num_classes=10, width=32).output_shape
    (None, 10)
    """
    check_width(width)
    inputs = keras.Input(input_shape)
    x = layers.Flatten(name="flatten")(inputs)
    for i in range(1, depth + 1):
        x = layers.Dense(
            width,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"block{i}_dense",
        )(x)
        x = norm(x, f"block{i}_norm")
        x = layers.ReLU(name=f"block{i}_relu")(x)
    return classifier(inputs, x, num_classes, "mlp", normalized_blocks)
