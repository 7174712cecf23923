"""What a student learns from its teacher's outputs: the divergence between the two.

    "kl"             T^2 * KL(teacher ‖ student) of softmax outputs, for classes
    "bernoulli"      T^2 * KL(teacher ‖ student) of sigmoid outputs, for labels
    "squared_error"  (teacher - student)^2, for numbers

T is the temperature of both sides; T^2 keeps the size of the gradient when T changes
(Hinton et al. 2015, arXiv 1503.02531). As Keras' own losses do, the last two average
over the labels, or numbers, of an example.
"""

import keras
from keras import ops

from keras_reinit.arguments import check_choice, check_positive

DIVERGENCES = ("kl", "bernoulli", "squared_error")


@keras.saving.register_keras_serializable("keras_reinit")
class DistillationLoss(keras.losses.Loss):
    """The divergence between a teacher's and a student's outputs, over examples.

    Args:
        temperature: Float > 0; 1 compares the predicted probabilities themselves,
            more compares softer ones. Not used by `"squared_error"`.
        from_logits: Whether both are logits; else they are probabilities. Not used by
            `"squared_error"`.
        divergence: `"kl"` for one of several classes, `"bernoulli"` for one or several
            independent labels, `"squared_error"` for numbers.
        axis: Integer, the axis of the classes, labels or numbers.
        reduction, name: As in `keras.losses.Loss`.

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> loss = DistillationLoss()
    >>> float(loss(np.array([[2.0, 0.0]]), np.array([[2.0, 0.0]])))
    0.0
    >>> numbers = DistillationLoss(divergence="squared_error")
    >>> float(numbers(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    2.0
    """

    def __init__(
        self,
        temperature=1.0,
        from_logits=True,
        divergence="kl",
        axis=-1,
        reduction="sum_over_batch_size",
        name="distillation_loss",
    ):
        super().__init__(name=name, reduction=reduction)
        check_positive("temperature", temperature)
        check_choice("divergence", divergence, DIVERGENCES)
        self.temperature = temperature
        self.from_logits = from_logits
        self.divergence = divergence
        self.axis = axis

    def call(self, y_true, y_pred):
        """Takes outputs of teacher and student, of the same shape."""
        if self.divergence == "squared_error":
            return ops.mean(ops.square(y_true - y_pred), axis=self.axis)
        compared = _classes if self.divergence == "kl" else _labels
        teacher, student = (
            (z if self.from_logits else self._logits(z)) / self.temperature
            for z in (y_true, y_pred)
        )
        return self.temperature**2 * compared(teacher, student, self.axis)

    def _logits(self, probabilities):
        least = keras.config.epsilon()
        logits = ops.log(ops.maximum(probabilities, least))
        if self.divergence == "kl":
            return logits  # The softmax of log-probabilities is the probabilities.
        return logits - ops.log(ops.maximum(1 - probabilities, least))

    def get_config(self):
        return {
            "temperature": self.temperature,
            "from_logits": self.from_logits,
            "divergence": self.divergence,
            "axis": self.axis,
            "reduction": self.reduction,
            "name": self.name,
        }


def _classes(teacher, student, axis):
    """KL(teacher ‖ student) of the softmax of logits."""
    teacher = ops.log_softmax(teacher, axis=axis)
    student = ops.log_softmax(student, axis=axis)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=axis)


def _labels(teacher, student, axis):
    """KL(teacher ‖ student) of the sigmoid of logits, averaged over labels."""
    ones = ops.sigmoid(teacher) * (ops.log_sigmoid(teacher) - ops.log_sigmoid(student))
    zeros = ops.sigmoid(-teacher) * (
        ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    )
    return ops.mean(ones + zeros, axis=axis)


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
