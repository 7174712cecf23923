"""The gradient of a network's loss over some data, on any backend."""

import operator

import keras
import numpy as np


class _Averages(keras.optimizers.Optimizer):
    """Averages gradients, G <- (1 - rate) * G + rate * g, and takes no steps."""

    slots = ()

    def __init__(self):
        super().__init__(learning_rate=1.0, name="averages")

    def build(self, variables):
        super().build(variables)
        self.slots = [
            self.add_variable_from_reference(v, name="average") for v in variables
        ]

    def start_again(self, rate):
        """Sets the averages to zero; the rate is in the place of a learning rate."""
        self.learning_rate = rate
        for slot in self.slots:
            slot.assign(np.zeros(slot.shape))

    def update_step(self, gradient, variable, learning_rate):
        average = self.slots[self._get_variable_index(variable)]
        gradient = keras.ops.cast(gradient, average.dtype)
        rate = keras.ops.cast(learning_rate, average.dtype)
        self.assign(average, (1 - rate) * average + rate * gradient)


class _Probe(keras.Model):
    """A network, to be given another optimizer than its own."""

    losses = ()  # Penalties are not of the data.

    def __init__(self, network):
        super().__init__(name="probe")
        self.network = network

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)


class Gradients:
    """Averages the gradient of a compiled loss, without penalties, over batches.

    Args:
        model: The compiled `keras.Model`.
        network: The network inside of it that returns what the loss is of.
    """

    def __init__(self, model, network):
        self._network = network
        self._averages = _Averages()
        self._probe = _Probe(network)
        self._probe.compile(self._averages, loss=model.loss, auto_scale_loss=False)

    def average(self, data, rate, batch_size=None):
        """An exponential average from zero, G <- (1 - rate) * G + rate * g.

        In training mode; weights, statistics and random states are those of before when
        it returns.

        Args:
            data: What `fit` takes, as one value: a `tf.data.Dataset` or another data
                set of batches, or a tuple (x, y) or (x, y, sample_weight) of arrays.
            rate: Float in [0, 1].
            batch_size: Integer, for arrays.

        Returns:
            Dict of ids of the trainable variables to NumPy arrays.
        """
        held = [v for v in self._network.variables if not v.trainable]
        before = [np.array(keras.ops.convert_to_numpy(v)) for v in held]
        self._averages.start_again(rate)
        if isinstance(data, tuple):
            # Not by `fit`, which on PyTorch moves the random state of shuffling.
            for batch in _batches(data, batch_size):
                self._probe.train_on_batch(*batch)
        else:
            self._probe.fit(data, shuffle=False, verbose=0)
        for variable, value in zip(held, before, strict=True):
            variable.assign(value)
        trained = self._network.trainable_variables
        return {
            id(variable): np.array(keras.ops.convert_to_numpy(average))
            for variable, average in zip(trained, self._averages.slots, strict=True)
        }


def _batches(arrays, size):
    """Cuts a tuple of (nested) arrays into batches, the last one maybe smaller."""
    count = len(keras.tree.flatten(arrays)[0])
    for begin in range(0, count, size or count):
        some = slice(begin, begin + (size or count))
        yield keras.tree.map_structure(operator.itemgetter(some), arrays)
