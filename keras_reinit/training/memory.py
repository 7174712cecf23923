"""Memory that a training step needs, counted from the network's graph."""

import math

import keras


def training_memory(network, batch_size, taught=False):
    """Bytes of a training step with momentum, on paper: about, and no bound.

    Counted are, in float32, weights, gradients and momentum, the teacher's weights,
    and the outputs of all layers (also of those whose outputs no gradient needs). Not
    counted are what kernels need besides, the data, and the framework itself. In mixed
    precision the outputs take half.

    Args:
        network: A built functional `keras.Model`; of a model inside of it, only the
            outputs are counted.
        batch_size: Integer, examples of one device.
        taught: Whether there is a teacher with the same weights.

    Returns:
        Dict of two integers, `weights` and `outputs`.

    Example:

    >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> training_memory(network, batch_size=10)
    {'weights': 96, 'outputs': 80}
    """
    trained = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    outputs = sum(
        math.prod(output.shape[1:])
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
        for output in keras.tree.flatten(layer.output)
    )
    return {
        "weights": 4 * ((2 if taught else 1) * network.count_params() + 2 * trained),
        "outputs": 4 * batch_size * outputs,
    }
