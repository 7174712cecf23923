"""What the weights of a network are for."""

import keras

from keras_reinit.graph.block_normalization import BlockNormalization
from keras_reinit.graph.layer_graph import output_layers

NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    BlockNormalization,
)


def normalization_weights(model):
    """Set of the ids of all weights of normalization layers, statistics included."""
    layers = [one for one in model._flatten_layers() if isinstance(one, NORMALIZATIONS)]
    return {id(v) for layer in layers for v in layer.weights}


def kernels(model):
    """List of the trained weights with two axes or more, but of normalizations."""
    others = normalization_weights(model)
    return [
        v for v in model.trainable_variables if len(v.shape) > 1 and id(v) not in others
    ]


def head_weights(model):
    """Set of the ids of the weights of the layers that make a model's outputs."""
    return {id(v) for layer in output_layers(model) for v in layer.weights}
