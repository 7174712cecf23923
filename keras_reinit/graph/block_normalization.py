"""The normalization layer of layer-wise re-initialization."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_reinit")
class BlockNormalization(keras.layers.Layer):
    """Normalizes by the statistics of one single training batch; before, identity.

    `y = (x - mean) / std` for each channel (last axis). `measure_next_batch()` makes
    the next training batch set `mean` and `std`, which then stay as they are and
    are not trained. This is the normalization of layer-wise re-initialization
    (Alabdulmohsin, Maennel & Keysers 2021, arXiv 2109.00267). Channels that are
    constant in that batch are left unscaled.
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        def weight(name, shape, initializer):
            # Every replica measures its own part of the batch; they are averaged.
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                dtype="float32",
                autocast=False,  # Statistics stay in full precision.
                trainable=False,
                aggregation="mean",
            )

        self.mean = weight("mean", (input_shape[-1],), "zeros")
        self.std = weight("std", (input_shape[-1],), "ones")
        self.pending = weight("pending", (), "zeros")

    def measure_next_batch(self):
        """Lets the next training batch set the statistics."""
        self.pending.assign(1.0)

    def call(self, inputs, training=False):
        x = ops.cast(inputs, "float32")
        if training:
            mean, std = ops.cond(
                self.pending > 0,
                lambda: self._measured(ops.stop_gradient(x)),
                lambda: (1 * self.mean, 1 * self.std),
            )
            self.mean.assign(mean)
            self.std.assign(std)
            self.pending.assign(0.0)
        return ops.cast((x - self.mean) * (1 / self.std), self.compute_dtype)

    def _measured(self, x):
        mean, variance = ops.moments(x, axes=list(range(len(x.shape) - 1)))
        std = ops.sqrt(variance)
        return mean, ops.where(std > self.epsilon, std, ops.ones_like(std))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
