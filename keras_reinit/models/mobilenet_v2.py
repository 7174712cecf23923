"""MobileNetV2 in its CIFAR form: by default, stem and second stage have stride 1."""

import keras
from keras import layers

from keras_reinit.arguments import check_choice
from keras_reinit.models.parts import check_width, classifier, conv, norm

# Expansion, channels at width 32, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(
    input_shape,
    num_classes,
    width=32,
    *,
    stem_stride=1,
    stage2_stride=1,
    normalized_blocks=None,
):
    """Builds MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) for small images.

    The form of the CIFAR literature (kuangliu/pytorch-cifar): a 3x3 stem of stride
    1, ReLU in place of ReLU6, and a 1x1 convolution on the shortcut where a block of
    stride 1 changes the number of channels.

    Args:
        input_shape: Tuple (height, width, channels).
        num_classes: Integer, the number of logits.
        width: Integer, a multiple of 4: channels of the stem (32 in the paper).
        stem_stride: 1 or 2, stride of the stem; 2 on ImageNet.
        stage2_stride: 1 or 2, stride of the second stage; 2 on ImageNet.
        normalized_blocks: `None`, or the number of blocks to put a
            `BlockNormalization` after, for `LayerwiseReinit`.

    Returns:
        An uncompiled `keras.Model`; with ten classes and RGB images it has
        2,296,922 trainable parameters.

    Example:

    >>> mobilenet_v2((32, 32, 3), num_classes=10, width=8).output_shape
    (None, 10)
    """
    check_width(width, step=4)
    check_choice("stem_stride", stem_stride, (1, 2))
    check_choice("stage2_stride", stage2_stride, (1, 2))
    inputs = keras.Input(input_shape)
    x = _conv_norm_relu(inputs, width, 3, stem_stride, name="stem")
    for stage, (expansion, channels, count, first_stride) in enumerate(STAGES, 1):
        first_stride = stage2_stride if stage == 2 else first_stride
        for block in range(count):
            stride = first_stride if block == 0 else 1
            name = f"stage{stage}_block{block + 1}"
            x = _bottleneck(x, expansion, channels * width // 32, stride, name)
    x = _conv_norm_relu(x, 1280 * width // 32, 1, name="last")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return classifier(inputs, x, num_classes, "mobilenet_v2", normalized_blocks)


def _conv_norm_relu(x, filters, kernel, stride=1, *, name, depthwise=False):
    x = conv(x, filters, kernel, stride, name=f"{name}_conv", depthwise=depthwise)
    return layers.ReLU(name=f"{name}_relu")(norm(x, f"{name}_norm"))


def _bottleneck(x, expansion, filters, stride, name):
    inner = expansion * x.shape[-1]
    h = _conv_norm_relu(x, inner, 1, name=f"{name}_expand")
    h = _conv_norm_relu(h, inner, 3, stride, name=f"{name}_depthwise", depthwise=True)
    h = norm(conv(h, filters, 1, name=f"{name}_project_conv"), f"{name}_project_norm")
    if stride > 1:
        return h
    if x.shape[-1] != filters:
        x = conv(x, filters, 1, name=f"{name}_shortcut_conv")
        x = norm(x, f"{name}_shortcut_norm")
    return layers.Add(name=f"{name}_add")([h, x])
