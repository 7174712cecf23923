"""The gradient of a network's loss over some data, on any backend."""

import keras


class _Averages(keras.optimizers.Optimizer):
    """Averages gradients, G <- (1 - rate) * G + rate * g, and takes no steps."""

    def __init__(self, rate):
        super().__init__(learning_rate=0.0, name="averages")
        self.rate = rate

    def build(self, variables):
        super().build(variables)
        self.averages = [
            self.add_variable_from_reference(v, name="average") for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        average = self.averages[self._get_variable_index(variable)]
        gradient = keras.ops.cast(gradient, average.dtype)
        self.assign(average, (1 - self.rate) * average + self.rate * gradient)


class _Probe(keras.Model):
    """A network, to be given another optimizer than its own."""

    losses = ()  # Penalties are not of the data.

    def __init__(self, network):
        super().__init__(name="probe")
        self.network = network

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)


def average_gradient(model, network, data, rate, batch_size=None):
    """Averages the gradient of a compiled loss, without penalties, over batches.

    An exponential average from zero, G <- (1 - rate) * G + rate * g, in training mode;
    weights, statistics and random states are those of before when it returns.

    Args:
        model: The compiled `keras.Model`.
        network: The network inside of it that returns what the loss is of.
        data: What `fit` takes, as one value: a `tf.data.Dataset` or another data set of
            batches, or a tuple (x, y) or (x, y, sample_weight) of arrays.
        rate: Float in (0, 1].
        batch_size: Integer, for arrays.

    Returns:
        Dict of ids of the trainable variables to NumPy arrays.
    """
    held = [v for v in network.variables if not v.trainable]
    before = [keras.ops.convert_to_numpy(v) for v in held]
    probe, averages = _Probe(network), _Averages(rate)
    probe.compile(averages, loss=model.loss, auto_scale_loss=False)
    arguments = data if isinstance(data, tuple) else (data,)
    names = ("x", "y", "sample_weight")
    probe.fit(
        **dict(zip(names, arguments, strict=False)),
        batch_size=batch_size if isinstance(data, tuple) else None,
        shuffle=False,
        verbose=0,
    )
    for variable, value in zip(held, before, strict=True):
        variable.assign(value)
    return {
        id(v): keras.ops.convert_to_numpy(average)
        for v, average in zip(
            network.trainable_variables, averages.averages, strict=True
        )
    }
