"""Self-distillation: the network of the last stage teaches the next.

    loss = loss(student) + distillation_weight * T^2 * KL(teacher ‖ student)

with softmax outputs at temperature T on both sides. Zaidi et al. (2022), Equation 1,
with T = 1 and a weight of 1 (CIFAR) or 2 (Tiny ImageNet); the T^2 keeps the size of
the gradient when T changes (Hinton et al. 2015, arXiv 1503.02531).
"""

import keras
from keras import ops


class DistillationLoss(keras.losses.Loss):
    """`T^2 * KL(teacher ‖ student)` between softmax outputs, averaged over examples.

    Args:
        temperature: Float > 0; 1 compares the predicted probabilities themselves,
            more compares softer ones.
        reduction: As in `keras.losses.Loss`.

    Example:

    >>> loss = DistillationLoss()
    >>> float(loss(np.array([[2.0, 0.0]]), np.array([[2.0, 0.0]])))
    0.0
    """

    def __init__(self, temperature=1.0, reduction="sum_over_batch_size"):
        super().__init__(name="distillation_loss", reduction=reduction)
        if not temperature > 0:
            raise ValueError(
                f"`temperature` must be > 0. Received: temperature={temperature!r}"
            )
        self.temperature = temperature

    def call(self, y_true, y_pred):
        """Takes the teacher's and the student's logits, shape (batch, ..., classes)."""
        teacher = ops.log_softmax(y_true / self.temperature)
        student = ops.log_softmax(y_pred / self.temperature)
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return self.temperature**2 * divergence


@keras.saving.register_keras_serializable("keras_reinit")
class BornAgain(keras.Model):
    """A student that is taught by its own predecessor from the second stage on.

    Train it with any re-initialization callback, which hands the network at the end
    of each stage over as the teacher of the next. With `FullReinit` this is the
    Born-Again Network of Furlanello et al. 2018 (arXiv 1805.04770) at a fixed budget;
    with `ShrinkPerturb` or `LayerwiseReinit`, that method with self-distillation.
    The first stage has no teacher and does not run one. The teacher sees the same
    batch as the student, in inference mode, and is not trained;
    sample weights weigh its term as they do the loss. `evaluate` reports
    the plain loss of the student.

    Args:
        student: A built `keras.Model` with one output, logits of shape
            (batch, ..., classes). It is trained in place; save it, not this model.
        distillation_weight: Float >= 0.
        temperature: Float > 0.

    Raises:
        ValueError: If the student is not built, has several outputs or ends in a
            softmax, or a number is out of its range.

    Example:

    >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model = BornAgain(student)
    >>> model.compile(
    ...     "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> _ = model.fit(np.ones((8, 3)), np.ones(8), epochs=4, verbose=0,
    ...               callbacks=[FullReinit(Stages(epochs=4, stages=2))])
    >>> int(model.generation)
    1
    """

    def __init__(
        self, student, distillation_weight=1.0, temperature=1.0, name=None, **kwargs
    ):
        _check_student(student)
        if not distillation_weight >= 0:
            raise ValueError(
                "`distillation_weight` must be >= 0. "
                f"Received: distillation_weight={distillation_weight!r}"
            )
        super().__init__(name=name or f"born_again_{student.name}", **kwargs)
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.distillation_loss = DistillationLoss(temperature)
        self.student = student
        self.teacher = _untrained_copy(student)
        self.generation = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False,
            name="generation",
        )  # fmt: skip
        self.built = True

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def hand_over(self):
        """Makes the student as it is now the teacher of the next generation."""
        # Through NumPy: student and teacher must not share buffers on JAX.
        self.teacher.set_weights(self.student.get_weights())
        self.generation.assign(self.generation + 1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training or self.distillation_weight == 0:
            return loss
        # Not a sum with weight 0: the first generation must not run a teacher.
        return loss + ops.cond(
            self.generation > 0,
            lambda: ops.cast(self._taught(x, y_pred, sample_weight), loss.dtype),
            lambda: ops.zeros((), loss.dtype),
        )

    def _taught(self, x, y_pred, sample_weight):
        teacher = ops.stop_gradient(self.teacher(x, training=False))
        loss = self.distillation_loss(teacher, y_pred, sample_weight=sample_weight)
        return self.distillation_weight * loss

    def get_config(self):
        return {
            "student": keras.saving.serialize_keras_object(self.student),
            "distillation_weight": self.distillation_weight,
            "temperature": self.temperature,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        student = keras.saving.deserialize_keras_object(
            config["student"], custom_objects=custom_objects
        )
        return cls(**{**config, "student": student})


def _check_student(student):
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`student` must be a built `keras.Model`: give it an `Input`, or call it "
            f"once. Received: student={student!r}"
        )
    if len(getattr(student, "outputs", None) or [None]) != 1:
        raise ValueError(
            f"`student` must have one output. Received: {len(student.outputs)} outputs"
        )
    last = student.layers[-1]
    activation = getattr(last, "activation", None)
    if activation is keras.activations.softmax or isinstance(
        last, keras.layers.Softmax
    ):
        raise ValueError(
            "`student` must return logits, to be distilled without loss of precision: "
            "drop the softmax and use a loss with `from_logits=True`. Received: "
            f"student={student.name!r}, whose last layer {last.name!r} is a softmax."
        )


def _untrained_copy(student):
    teacher = keras.models.clone_model(student)
    teacher.trainable = False
    for layer in teacher._flatten_layers():
        layer.activity_regularizer = None  # A penalty of the student alone.
    return teacher
