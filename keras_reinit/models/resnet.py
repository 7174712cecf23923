"""ResNet-18 and PreAct-ResNet-18 in their CIFAR form: 3x3 stem, no early pooling."""

import keras
from keras import layers

from keras_reinit.arguments import check_choice
from keras_reinit.models.parts import check_width, classifier, conv, norm


def resnet18(
    input_shape, num_classes, width=64, *, stem_stride=1, normalized_blocks=None
):
    """Builds ResNet-18 (He et al. 2015, arXiv 1512.03385) for small images.

    The form of the CIFAR literature: a 3x3 stem of stride 1, four stages of two
    basic blocks, 1x1 convolutions on the shortcuts that change size.

    Args:
        input_shape: Tuple (height, width, channels).
        num_classes: Integer, the number of logits.
        width: Integer >= 1, channels of stem and first stage (64 in the paper).
        stem_stride: 1 or 2, stride of the stem; 2 halves all feature maps.
        normalized_blocks: `None`, or the number of blocks (1 to 9) to put a
            `BlockNormalization` after, for `LayerwiseReinit`; 5 gives stem and
            four stages.

    Returns:
        An uncompiled `keras.Model`; with ten classes and RGB images it has
        11,173,962 trainable parameters.

    Example:

    >>> resnet18((32, 32, 3), num_classes=10, width=8).output_shape
    (None, 10)
    """
    check_width(width)
    check_choice("stem_stride", stem_stride, (1, 2))
    inputs = keras.Input(input_shape)
    x = conv(inputs, width, 3, stem_stride, name="stem_conv")
    x = layers.ReLU(name="stem_relu")(norm(x, "stem_norm"))
    for filters, stride, name in _blocks(width):
        x = _basic_block(x, filters, stride, name)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return classifier(inputs, x, num_classes, "resnet18", normalized_blocks)


def preact_resnet18(
    input_shape, num_classes, width=64, *, stem_stride=1, normalized_blocks=None
):
    """Builds PreAct-ResNet-18 (He et al. 2016, arXiv 1603.05027) for small images.

    Normalization and ReLU come before each convolution and, as in the paper, once
    more before the pooling (a common PyTorch version leaves that one out).

    Args:
        input_shape: Tuple (height, width, channels).
        num_classes: Integer, the number of logits.
        width: Integer >= 1, channels of stem and first stage (64 in the paper).
        stem_stride: As in `resnet18`.
        normalized_blocks: As in `resnet18`.

    Returns:
        An uncompiled `keras.Model`; with ten classes and RGB images it has
        11,172,170 trainable parameters.

    Example:

    >>> preact_resnet18((32, 32, 3), num_classes=10, width=8).output_shape
    (None, 10)
    """
    check_width(width)
    check_choice("stem_stride", stem_stride, (1, 2))
    inputs = keras.Input(input_shape)
    x = conv(inputs, width, 3, stem_stride, name="stem_conv")
    for filters, stride, name in _blocks(width):
        x = _preact_block(x, filters, stride, name)
    x = layers.ReLU(name="head_relu")(norm(x, "head_norm"))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return classifier(inputs, x, num_classes, "preact_resnet18", normalized_blocks)


def _blocks(width):
    for stage in (1, 2, 3, 4):
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            yield width * 2 ** (stage - 1), stride, f"stage{stage}_block{block}"


def _basic_block(x, filters, stride, name):
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = conv(x, filters, 1, stride, name=f"{name}_shortcut_conv")
        shortcut = norm(shortcut, f"{name}_shortcut_norm")
    x = conv(x, filters, 3, stride, name=f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu1")(norm(x, f"{name}_norm1"))
    x = conv(x, filters, 3, name=f"{name}_conv2")
    x = layers.Add(name=f"{name}_add")([norm(x, f"{name}_norm2"), shortcut])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _preact_block(x, filters, stride, name):
    activated = layers.ReLU(name=f"{name}_relu1")(norm(x, f"{name}_norm1"))
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = conv(activated, filters, 1, stride, name=f"{name}_shortcut_conv")
    x = conv(activated, filters, 3, stride, name=f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu2")(norm(x, f"{name}_norm2"))
    x = conv(x, filters, 3, name=f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, shortcut])
