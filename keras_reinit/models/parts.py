"""What the reference networks share: initializers, BatchNorm constants, the head.

The initial scale of a network sets the size of Shrink & Perturb's perturbation, so
it follows the evidence in Zaidi et al. (2022): with variance scaling 2 over fan-out
for convolutions and PyTorch's uniform default for the classifier, ResNet-18 begins
at the norm 111.8 that their weight-norm figure shows. BatchNorm forgets with 0.9 a
step: Keras' default 0.99 lags far behind the weights in short stages.
"""

import keras
from keras import layers

from keras_reinit.graph import add_block_normalization


def conv(x, filters, kernel, stride=1, *, name, depthwise=False):
    """A convolution without bias; its padding does not depend on the input's size."""
    if kernel > 1 and stride > 1:  # As PyTorch pads: the same on both sides.
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    kwargs = {
        "strides": stride,
        "padding": "same" if stride == 1 or kernel == 1 else "valid",
        "use_bias": False,
        "name": name,
    }
    if depthwise:
        # One input and one output channel a group: fan-out is the kernel's area.
        scale = keras.initializers.RandomNormal(stddev=(2 / kernel**2) ** 0.5)
        return layers.DepthwiseConv2D(kernel, depthwise_initializer=scale, **kwargs)(x)
    return layers.Conv2D(filters, kernel, kernel_initializer=fan_out(), **kwargs)(x)


def fan_out():
    """He initialization over the outputs, as torchvision's networks have it."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def norm(x, name):
    """Batch normalization with the constants of the module's first lines."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def classifier(inputs, x, num_classes, name, normalized_blocks):
    """Ends a network with its logits and, on request, block normalization."""
    scale = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    logits = layers.Dense(num_classes, kernel_initializer=scale, name="logits")(x)
    model = keras.Model(inputs, logits, name=name)
    if normalized_blocks is None:
        return model
    return add_block_normalization(model, normalized_blocks)


def check_width(width, step=1):
    """A `ValueError` unless `width` is a positive multiple of `step`."""
    if not (isinstance(width, int) and width > 0 and width % step == 0):
        raise ValueError(
            f"`width` must be a positive multiple of {step}. Received: width={width!r}"
        )
