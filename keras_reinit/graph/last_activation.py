"""What each output of a network ends in, as far as its layer graph tells."""

import keras

from keras_reinit.graph.layer_graph import producers
from keras_reinit.keras_internals import call_of
from keras_reinit.network import CALLS, is_users, overridden

# Layers and operations that change nothing but the shape or dtype of what they take.
SHAPES = {
    "Cast", "Dropout", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape",
    "Squeeze", "Transpose", "UnitStatistics",
}  # fmt: skip
NAMES = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
# Layers of Keras that end in their activation.
ENDING = {"Activation", "Dense", "EinsumDense", *(f"Conv{n}D" for n in (1, 2, 3))}


def last_activations(model):
    """Finds the activation that makes each output.

    Args:
        model: A built `keras.Model`.

    Returns:
        List of `"softmax"`, `"sigmoid"`, `"linear"` (right after a kernel), or `None`
        where it is another one or unknown; empty for a model without a layer graph.
    """
    if overridden(model, CALLS):
        return []
    return [_of_tensor(tensor) for tensor in getattr(model, "outputs", None) or []]


def _of_tensor(tensor):
    node, position = call_of(tensor)
    layer = node.operation
    if getattr(layer, "outputs", None):  # A model in the model.
        inner = not overridden(layer, CALLS)
        return _of_tensor(layer.outputs[position]) if inner else None
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if is_users(type(layer)):
        return None
    name = type(layer).__name__
    activation = getattr(layer, "activation", None) if name in ENDING else None
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        return activation.__name__
    is_linear = activation is keras.activations.linear
    if name in SHAPES or (name == "Activation" and is_linear):
        return _of_tensor(node.input_tensors[0]) if producers(node) else None
    return "linear" if is_linear else NAMES.get(name)
