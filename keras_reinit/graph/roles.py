"""What the weights of a network are for."""

from keras_reinit.graph.layer_graph import output_layers
from keras_reinit.graph.layer_kinds import NORMALIZATIONS, kernels_of
from keras_reinit.keras_internals import variables_made_trainable
from keras_reinit.network import all_layers


def normalization_weights(model):
    """Set of the ids of all weights of normalization layers, statistics included."""
    layers = [one for one in all_layers(model) if isinstance(one, NORMALIZATIONS)]
    return {id(v) for layer in layers for v in layer.weights}


def kernels(model):
    """Returns the trained weights that mix features, see `kernels_of`."""
    chosen = {id(v) for v in kernels_of(model)}
    return [v for v in model.trainable_variables if id(v) in chosen]


def bias_weights(model):
    """Returns the ids of all biases: weights called `bias`, and vectors by a kernel."""
    found = {id(v) for v in model.weights if v.name == "bias"}
    for layer in all_layers(model):
        own = variables_made_trainable(layer)
        if any(len(v.shape) > 1 for v in own):
            found |= {id(v) for v in own if len(v.shape) == 1}
    return found


def head_weights(model):
    """Returns the ids of the weights of a model's head, see `output_layers`."""
    return {id(v) for layer in output_layers(model) for v in layer.weights}
