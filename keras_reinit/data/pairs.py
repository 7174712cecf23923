"""Labels as pairs, the noisy one and the clean one: what a network has memorized."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_reinit")
class OfPair(keras.losses.Loss):
    """A loss of the labels trained on, where labels are pairs of these and clean ones.

    `train_dataset(..., clean_labels=...)` makes such pairs; `FlippedAccuracy` and its
    kin measure them.

    Args:
        loss: A `keras.losses.Loss` of integer labels.

    Raises:
        ValueError: If it is not a loss; when called, for labels that are not pairs.

    Example:

    >>> loss = OfPair(keras.losses.SparseCategoricalCrossentropy())
    >>> pairs, outputs = np.array([[1, 0]]), np.array([[0.5, 0.5]])
    >>> round(float(loss(pairs, outputs)), 3)
    0.693
    """

    def __init__(self, loss, name="of_pair"):
        # The loss itself averages.
        super().__init__(name=name, reduction=None)
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "`loss` must be a `keras.losses.Loss`, such as "
                "`keras.losses.SparseCategoricalCrossentropy()`. "
                f"Received: loss={loss!r}"
            )
        self.loss = loss

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of the first label of each pair."""
        _check_pairs(y_true)
        return self.loss(y_true[..., 0], y_pred, sample_weight)

    def get_config(self):
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(
            keras.saving.deserialize_keras_object(config["loss"]), config["name"]
        )


def _check_pairs(y_true):
    shape = tuple(ops.shape(y_true))
    if len(shape) < 2 or shape[-1] not in (2, None):
        raise ValueError(
            "`y_true` must be pairs of labels, as `train_dataset(..., "
            f"clean_labels=...)` makes them. Received: y_true of shape {shape}"
        )


class _PairAccuracy(keras.metrics.Mean):
    """The share of some examples whose prediction is one label of the pair."""

    # Which of the two labels, and whether of examples where they differ, are the
    # same, or of all (None).
    label, flipped = 0, None
    default_name = None

    def __init__(self, name=None, **kwargs):
        if not isinstance(name, str | None):
            raise ValueError(
                f"`name` must be a string or None. Received: name={name!r}"
            )
        super().__init__(name=name or self.default_name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        _check_pairs(y_true)
        y_true = ops.cast(y_true, "int32")
        found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        right = ops.cast(found == y_true[..., self.label], self.dtype)
        differ = y_true[..., 0] != y_true[..., 1]
        weight = ops.ones_like(right)
        if self.flipped is not None:
            weight = ops.cast(differ == self.flipped, self.dtype)
        if sample_weight is not None:
            weight = weight * ops.cast(sample_weight, self.dtype)
        super().update_state(right, weight)


@keras.saving.register_keras_serializable("keras_reinit")
class PairAccuracy(_PairAccuracy):
    """Accuracy against the labels trained on, of all examples."""

    default_name = "accuracy"


@keras.saving.register_keras_serializable("keras_reinit")
class UnflippedAccuracy(_PairAccuracy):
    """Accuracy on the examples whose label is the clean one."""

    flipped = False
    default_name = "unflipped_accuracy"


@keras.saving.register_keras_serializable("keras_reinit")
class FlippedAccuracy(_PairAccuracy):
    """Share of the wrongly labelled examples whose *wrong* label is predicted.

    This is memorization: nothing else than the example itself says so.

    Example:

    >>> metric = FlippedAccuracy()
    >>> metric.update_state(
    ...     np.array([[1, 1], [1, 0], [0, 1]]), np.array([[0, 1], [0, 1], [0, 1]]))
    >>> float(metric.result())
    0.5
    """

    flipped = True
    default_name = "flipped_accuracy"


@keras.saving.register_keras_serializable("keras_reinit")
class CorrectedAccuracy(_PairAccuracy):
    """Share of the wrongly labelled examples whose *clean* label is predicted."""

    label, flipped = 1, True
    default_name = "corrected_accuracy"
