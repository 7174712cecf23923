"""What each output of a network ends in, as far as its layer graph tells."""

import keras

from keras_reinit.graph.layer_graph import producers
from keras_reinit.keras_internals import call_of

# Layers and operations that change nothing but the shape or dtype of what they take.
SHAPES = {
    "Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
    "Squeeze", "Transpose", "UnitStatistics",
}  # fmt: skip
NAMES = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
LINEAR = {"Dense", "EinsumDense", *(f"Conv{n}D" for n in (1, 2, 3))}


def last_activations(model):
    """Finds the activation that makes each output.

    Args:
        model: A built `keras.Model`.

    Returns:
        List of `"softmax"`, `"sigmoid"`, `"linear"` (right after a kernel), or `None`
        where it is another one or unknown; empty for a model without a layer graph.
    """
    return [_of_tensor(tensor) for tensor in getattr(model, "outputs", None) or []]


def _of_tensor(tensor):
    node, position = call_of(tensor)
    layer = node.operation
    if getattr(layer, "outputs", None):  # A model in the model.
        return _of_tensor(layer.outputs[position])
    name = type(layer).__name__
    layer = getattr(layer, "layer", layer)  # Inside of a `TimeDistributed`.
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.softmax:
        return "softmax"
    if activation is keras.activations.sigmoid:
        return "sigmoid"
    linear = activation is None or activation is keras.activations.linear
    if name in SHAPES or (name == "Activation" and linear):
        return _of_tensor(node.input_tensors[0]) if producers(node) else None
    if type(layer).__name__ in LINEAR and activation is keras.activations.linear:
        return "linear"
    return NAMES.get(name)
