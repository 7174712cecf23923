"""The gradient of a network's loss over some data, on any backend."""

import operator
import warnings

import keras
import numpy as np

from keras_reinit.network import check_not_overridden


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

    def __init__(self, network, output_names):
        super().__init__(name="probe")
        self.network = network
        self.output_names = output_names  # Keras matches losses by these.

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)


class Gradients:
    """Averages the gradient of a compiled loss, without penalties, over batches.

    The loss is the one of `compile`, with the losses of all outputs, their
    `loss_weights` and reductions.

    Args:
        model: The compiled `keras.Model`.
        network: The network inside of it that returns what the loss is of.

    Raises:
        ValueError: As `check_loss`, and for a model with several losses whose
            `loss_weights` cannot be read, since it cannot be serialized.
    """

    def __init__(self, model, network):
        check_loss(model)
        self._network = network
        self._averages = _Averages()
        self._probe = _Probe(network, getattr(model, "output_names", None))
        self._probe.compile(
            self._averages,
            loss=model.loss,
            loss_weights=_loss_weights(model),
            run_eagerly=model.run_eagerly,
            jit_compile=model.jit_compile,
            auto_scale_loss=False,
        )

    def average(self, data, rate, batch_size=None):
        """An exponential average from zero, G <- (1 - rate) * G + rate * g.

        In training mode. Statistics and random states are restored at the end, also
        when it is interrupted; weights do not change.

        Args:
            data: What `fit` takes, as one value: a `tf.data.Dataset` or another data
                set of batches, or a tuple (x, y) or (x, y, sample_weight) of arrays.
            rate: Float in [0, 1].
            batch_size: Integer, for arrays; `None` makes them one batch.

        Returns:
            Dict of ids of the trainable variables to NumPy arrays.
        """
        # On JAX an interrupted `fit` leaves variables without a value.
        everything = keras.backend.backend() == "jax"
        held = [v for v in self._network.variables if everything or not v.trainable]
        before = [np.array(keras.ops.convert_to_numpy(v)) for v in held]
        self._averages.start_again(rate)
        try:
            self._go_through(data, batch_size)
        finally:
            for variable, value in zip(held, before, strict=True):
                variable.assign(value)
        trained = self._network.trainable_variables
        return {
            id(variable): np.array(keras.ops.convert_to_numpy(average))
            for variable, average in zip(trained, self._averages.slots, strict=True)
        }

    def _go_through(self, data, batch_size):
        if isinstance(data, tuple):
            # Not by `fit`, which on PyTorch moves the random state of shuffling.
            for batch in _batches(data, batch_size):
                self._probe.train_on_batch(*batch)
        else:
            self._probe.fit(data, shuffle=False, verbose=0)


def check_loss(model):
    """A `ValueError` unless a model is trained by the loss that it is compiled with."""
    check_not_overridden(
        model,
        ("train_step", "compute_loss"),
        "model",
        "the gradient that is asked for is that of the compiled loss",
    )
    if getattr(model, "loss", None) is None:
        raise ValueError(
            "`model` must be compiled with a loss, for its gradient. "
            f"Received: model={model!r} with loss=None"
        )


def _loss_weights(model):
    """Returns the `loss_weights` of `compile`, which Keras keeps in no attribute."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lambdas warn, but nothing is loaded.
            config = model.get_compile_config()
    except Exception as error:  # A user's `get_config` may raise anything.
        if not keras.tree.is_nested(model.loss):
            return None  # A single loss rarely has a weight.
        raise ValueError(
            "`model` must be compiled with an optimizer, losses and metrics that have "
            "a `get_config`, so that its `loss_weights` can be read. "
            f"Received: {error}"
        ) from error
    return keras.saving.deserialize_keras_object(config.get("loss_weights"))


def _batches(arrays, size):
    """Cuts a tuple of (nested) arrays into batches, the last one maybe smaller."""
    count = len(keras.tree.flatten(arrays)[0])
    for begin in range(0, count, size or count):
        some = slice(begin, begin + (size or count))
        yield keras.tree.map_structure(operator.itemgetter(some), arrays)
