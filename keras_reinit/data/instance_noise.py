"""Label noise that depends on the image: what looks like another class becomes it."""

import dataclasses

import numpy as np

from keras_reinit.arguments import check_share
from keras_reinit.data.images import check_examples, pixels_of
from keras_reinit.data.label_noise import LabelNoise, numbers_of

# Standard deviation of the rates of single examples.
RATE_STDDEV = 0.1


@dataclasses.dataclass(frozen=True)
class InstanceNoise(LabelNoise):
    """Changes labels with a rate of each example's own, to a class its image suggests.

    For an example (x, y), with the pixels x in [0, 255] as one vector: its rate q is
    drawn from a normal distribution around `noise_rate` with standard deviation 0.1,
    cut to [0, 1]; the noisy label stays y with chance 1 - q, and is another class
    with the chances `q * softmax(x @ W[y])`, y left out, where the entries of W are
    standard normal. So the label always differs where it is drawn anew, and about
    `noise_rate` of the labels change (a rate near 0 or 1 is pulled inwards by the
    cut; at 0 nothing changes). Algorithm 2 of Xia et al. 2020 (arXiv 2006.07836), with
    pixels as in the public code (xiaoboxia/Part-dependent-label-noise), which does not
    scale them: nearly all of q is then on one class. Floats, which are in [0, 1], are
    multiplied by 255.

    Args:
        noise_rate: Float in [0, 1].

    Raises:
        ValueError: If `noise_rate` is out of its range, or called without `images`.

    Example:

    >>> images = np.random.default_rng(0).random((500, 4, 4, 1))
    >>> labels = np.zeros(500, "int32")
    >>> noisy = InstanceNoise(0.3)(labels, 10, seed=0, images=images)
    >>> 0.25 < float((noisy != labels).mean()) < 0.35
    True
    """

    noise_rate: float

    def __post_init__(self):
        check_share("noise_rate", self.noise_rate)

    def transition_rows(self, labels, num_classes, seed, images, index):
        """The chances of each example, from its image and its rate."""
        if images is None:
            raise ValueError("`images` must be given to InstanceNoise. Received: None")
        images, labels = check_examples(images, labels)
        rows = np.eye(num_classes)[labels]
        if self.noise_rate == 0:
            return rows
        rates = self._rates(index, seed)
        for own in np.unique(labels):
            here = np.flatnonzero(labels == own)
            others = _softmax_of_others(images[here], own, num_classes, seed)
            rows[here] *= 1 - rates[here, None]
            rows[here] += rates[here, None] * others
        return rows

    def _rates(self, index, seed):
        from scipy import stats

        draws = numbers_of(index, 1, (seed, 0x4A7E))[:, 0]
        low, high = -self.noise_rate / RATE_STDDEV, (1 - self.noise_rate) / RATE_STDDEV
        return stats.truncnorm.ppf(draws, low, high, self.noise_rate, RATE_STDDEV)


def _softmax_of_others(images, own, num_classes, seed):
    """Chances of all classes but one, from a random projection of its own."""
    pixels = pixels_of(images)
    scale = 1 if pixels.dtype == np.uint8 else 255
    pixels = pixels.reshape(len(images), -1).astype("float64") * scale
    # Made for one class at a time: for all, it would be as large as a large model.
    weights = np.random.default_rng((seed, 0x3E17, int(own))).normal(
        size=(pixels.shape[1], num_classes)
    )
    scores = pixels @ weights
    scores[:, own] = -np.inf
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)
