"""Augmentation: batched, stateless functions of images and given random numbers."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class PadCropFlip:
    """The literature's standard recipe: zero-pad, crop at random, flip at random.

    Args:
        pad: Integer >= 0, pixels added on each side before cropping to the old size.
        flip: Whether to mirror left-right, with chance one half.

    Raises:
        ValueError: If `pad` is negative.

    Example:

    >>> images = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> PadCropFlip(pad=1)(images, np.array([[0.5, 0.5, 0.9]]))[0, :, :, 0].numpy()
    array([[1., 0.],
           [3., 2.]])
    """

    pad: int = 4
    flip: bool = True

    # Random numbers that one example needs.
    num_draws = 3

    def __post_init__(self):
        if self.pad < 0:
            raise ValueError(f"`pad` must be >= 0. Received: pad={self.pad!r}")

    def __call__(self, images, draws):
        """Augments a batch.

        Args:
            images: Tensor of shape (batch, height, width, channels).
            draws: Float tensor of shape (batch, 3), uniform in [0, 1): row offset,
                column offset, and whether to flip.

        Returns:
            Tensor like `images`.
        """
        height, width = images.shape[1:3]
        margin = [self.pad, self.pad]
        padded = tf.pad(images, [[0, 0], margin, margin, [0, 0]])
        offsets = tf.cast(draws[:, :2] * (2 * self.pad + 1), tf.int32)
        rows = offsets[:, :1] + tf.range(height)
        columns = offsets[:, 1:] + tf.range(width)
        if self.flip:
            mirrored = tf.reverse(columns, axis=[1])
            columns = tf.where(draws[:, 2:] < 0.5, columns, mirrored)
        images = tf.gather(padded, rows, axis=1, batch_dims=1)
        return tf.gather(images, columns, axis=2, batch_dims=1)
