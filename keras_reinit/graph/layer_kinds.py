"""What the kinds of layers do with features, for those who follow them on the graph.

By name, for layers and `keras.ops` alike; what is in no list is taken as unknown.
"""

import keras

from keras_reinit.graph.block_normalization import BlockNormalization
from keras_reinit.keras_internals import flatten_layers

NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    BlockNormalization,
)
# Their weights scale or shift each feature by itself, whatever shape they have.
ELEMENTWISE = (*NORMALIZATIONS, keras.layers.Normalization, keras.layers.PReLU)
# Kernels, and their axes of what is read and of what is made.
KERNELS = {
    "Dense": (-2, -1),
    **{f"Conv{n}D": (-2, -1) for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": (-1, -2) for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": (-2, -2) for n in (1, 2)},
}
ADDITIONS = {"Add", "Average", "Maximum", "Minimum", "Subtract"}
ACTIVATIONS = {
    "Activation", "CELU", "Celu", "ELU", "Elu", "Gelu", "HardSigmoid", "HardSilu",
    "LeakyReLU", "LeakyRelu", "PReLU", "ReLU", "Relu", "Relu6", "Selu", "Sigmoid",
    "Silu", "Softplus", "Softsign", "Tanh",
}  # fmt: skip
# Each feature of the result comes from the same one of the input.
PASSING = {
    *ACTIVATIONS, "ActivityRegularization", "AlphaDropout", "Dropout",
    "GaussianDropout", "GaussianNoise", "Identity", "Rescaling", "Softmax",
    "UnitFirings", "UnitStatistics", "UnitUtilities",
    *(f"{kind}{n}D" for n in (1, 2, 3) for kind in (
        "AveragePooling", "Cropping", "GlobalAveragePooling", "GlobalMaxPooling",
        "MaxPooling", "SpatialDropout", "UpSampling", "ZeroPadding")),
}  # fmt: skip
# Affine maps of what they take, outside of training.
LINEAR = {
    "Add", "Average", "BatchNormalization", "BlockNormalization", "Concatenate", "Cast",
    "Dropout", "Flatten", "Identity", "InputLayer", "Normalization", "Permute",
    "Rescaling", "Reshape", "Subtract", "UnitFirings", "UnitStatistics",
    "UnitUtilities",
    *(f"{kind}{n}D" for n in (1, 2, 3) for kind in (
        "AveragePooling", "Cropping", "GlobalAveragePooling", "SpatialDropout",
        "UpSampling", "ZeroPadding")),
}  # fmt: skip


def kind(layer):
    """The name of a layer's kind, or None for a user's own and for channels first."""
    ours = type(layer).__module__.startswith(("keras.", "keras_reinit."))
    first = getattr(layer, "data_format", None) == "channels_first"
    return type(layer).__name__ if ours and not first else None


def is_nonlinear(layer):
    """Whether a layer, or operation, ends in an activation that is no softmax."""
    linear = (keras.activations.linear, keras.activations.softmax)
    activation = getattr(layer, "activation", keras.activations.linear)
    name = kind(layer)
    if name in KERNELS or name == "Activation":
        return activation not in linear
    return name in ACTIVATIONS


def kernels_of(layer):
    """Returns the weights of a layer, and of layers in it, that mix features.

    These have two axes or more. Biases (of attention and of a GRU), normalization and
    the slopes of a PReLU do not count, though they may have as many.
    """
    others = {
        id(v)
        for part in flatten_layers(layer)
        if isinstance(part, ELEMENTWISE)
        for v in part.weights
    }
    return [
        v
        for v in layer.weights
        if len(v.shape) > 1 and v.name != "bias" and id(v) not in others
    ]


def has_kernel(operation):
    """Whether a layer has weights that mix features; an operation never has."""
    return isinstance(operation, keras.layers.Layer) and bool(kernels_of(operation))


def is_linear(operation):
    """Whether a layer or operation is an affine map of what it takes, outside training.

    A user's own layer, and whatever is in no list, counts as nonlinear.
    """
    if getattr(operation, "outputs", None):  # A model in the model.
        inside = getattr(operation, "operations", None) or operation.layers
        return all(map(is_linear, inside))
    name = kind(operation)
    if name in KERNELS or name in ("Activation", "EinsumDense"):
        return operation.activation is keras.activations.linear
    return name in LINEAR
