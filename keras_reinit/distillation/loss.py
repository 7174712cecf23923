"""What a student learns from its teacher's outputs.

    T^2 * KL(teacher ‖ student)

between softmax outputs at temperature T on both sides; the T^2 keeps the size of the
gradient when T changes (Hinton et al. 2015, arXiv 1503.02531).
"""

import keras
from keras import ops

from keras_reinit.arguments import check_positive


@keras.saving.register_keras_serializable("keras_reinit")
class DistillationLoss(keras.losses.Loss):
    """`T^2 * KL(teacher ‖ student)` between softmax outputs, averaged over examples.

    Args:
        temperature: Float > 0; 1 compares the predicted probabilities themselves,
            more compares softer ones.
        from_logits: Whether both are logits; else they are probabilities.
        reduction, name: As in `keras.losses.Loss`.

    Example:

    >>> loss = DistillationLoss()
    >>> float(loss(np.array([[2.0, 0.0]]), np.array([[2.0, 0.0]])))
    0.0
    """

    def __init__(
        self, temperature=1.0, from_logits=True, reduction="sum_over_batch_size",
        name="distillation_loss",
    ):  # fmt: skip
        super().__init__(name=name, reduction=reduction)
        check_positive("temperature", temperature)
        self.temperature = temperature
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        """Takes outputs of teacher and student, of shape (batch, ..., classes)."""
        if not self.from_logits:
            # The softmax of log-probabilities is the probabilities.
            least = keras.config.epsilon()
            y_true = ops.log(ops.maximum(y_true, least))
            y_pred = ops.log(ops.maximum(y_pred, least))
        teacher = ops.log_softmax(y_true / self.temperature)
        student = ops.log_softmax(y_pred / self.temperature)
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return self.temperature**2 * divergence

    def get_config(self):
        return {
            "temperature": self.temperature,
            "from_logits": self.from_logits,
            "reduction": self.reduction,
            "name": self.name,
        }


def permute_others(outputs, numbers):
    """Lets the outputs of all classes but the largest change places at random.

    Args:
        outputs: Tensor of shape (batch, ..., classes).
        numbers: Random numbers in [0, 1), of the same shape.
    """
    outputs, numbers = ops.convert_to_tensor(outputs), ops.convert_to_tensor(numbers)
    classes = ops.shape(outputs)[-1]
    largest = ops.one_hot(ops.argmax(outputs, axis=-1), classes, dtype="float32")
    # Both orders begin with the largest; the others come at random, or as they stand.
    random = ops.argsort(numbers - 2.0 * largest, axis=-1)
    places = ops.arange(classes, dtype="float32") - 2.0 * classes * largest
    standing = ops.argsort(places, axis=-1)
    shuffled = ops.take_along_axis(outputs, random, axis=-1)
    return ops.take_along_axis(shuffled, ops.argsort(standing, axis=-1), axis=-1)
