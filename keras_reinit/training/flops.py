"""Floating-point operations of a network, counted from its graph."""

import tensorflow as tf


def forward(network):
    """Operations of a prediction, for one example.

    Args:
        network: A built `keras.Model` with one input of a known shape, on TensorFlow.

    Returns:
        Integer; a multiplication and an addition are two.

    Example:

    >>> forward(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    14
    """
    return _counted(lambda inputs: network(inputs, training=False), network)


def forward_and_backward(network):
    """Operations of a prediction and of all gradients, for one example.

    Not counted are loss, optimizer and augmentation, which are small beside them. A
    convolution at the input counts a gradient too much, that of the input.
    """

    def gradients(inputs):
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=True)
        weights = [one.value for one in network.trainable_variables]
        return tape.gradient(outputs, weights)

    return _counted(gradients, network)


def _counted(function, network):
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(
        profiler.ProfileOptionBuilder.float_operation()
    )
    shape = (1, *network.input_shape[1:])
    spec = tf.TensorSpec(shape, network.inputs[0].dtype)
    graph = tf.function(function).get_concrete_function(spec).graph
    found = profiler.profile(graph, options=options.with_empty_output().build())
    return found.total_float_ops
