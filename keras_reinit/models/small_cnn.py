"""A small convolutional network, for small images and small machines."""

import keras
from keras import layers

from keras_reinit.models.parts import check_width, classifier, conv, norm


def small_cnn(input_shape, num_classes, width=16, *, normalized_blocks=None):
    """Builds three blocks of 3x3 convolution, batch normalization, ReLU and pooling.

    Args:
        input_shape: Tuple (height, width, channels), sides of at least 4.
        num_classes: Integer, the number of logits.
        width: Integer >= 1, channels of the first block; then twice and four times.
        normalized_blocks: `None`, or the number of blocks (1 to 3) to put a
            `BlockNormalization` after, for `LayerwiseReinit`.

    Returns:
        An uncompiled `keras.Model`; with 16 channels, one input channel and ten
        classes it has 24,058 trainable parameters.

    Example:

    >>> small_cnn((8, 8, 1), num_classes=10).count_params()  # and 224 statistics
    24282
    """
    check_width(width)
    inputs = keras.Input(input_shape)
    x = inputs
    for i in (1, 2, 3):
        x = conv(x, width * 2 ** (i - 1), 3, name=f"block{i}_conv")
        x = norm(x, f"block{i}_norm")
        x = layers.ReLU(name=f"block{i}_relu")(x)
        if i < 3:
            x = layers.MaxPooling2D(name=f"block{i}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return classifier(inputs, x, num_classes, "small_cnn", normalized_blocks)
