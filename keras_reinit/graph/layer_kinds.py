"""What the kinds of layers do with features, for those who follow them on the graph.

By name, for layers and `keras.ops` alike; what is in no list is taken as unknown.
"""

import keras

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
