"""Self-distillation: the network of the last stage teaches the next.

    loss = loss(student) + distillation_weight * T^2 * KL(teacher ‖ student)

with softmax outputs at temperature T on both sides. Zaidi et al. (2022), Equation 1,
with T = 1 and a weight of 1 (CIFAR) or 2 (Tiny ImageNet); the T^2 keeps the size of
the gradient when T changes (Hinton et al. 2015, arXiv 1503.02531).
"""

import keras
from keras import ops

KNOWLEDGE = ("full", "permuted", "confidence")
TEACHERS = ("last", "average")


class DistillationLoss(keras.losses.Loss):
    """`T^2 * KL(teacher ‖ student)` between softmax outputs, averaged over examples.

    Args:
        temperature: Float > 0; 1 compares the predicted probabilities themselves,
            more compares softer ones.
        from_logits: Whether both are logits; else they are probabilities.
        reduction: As in `keras.losses.Loss`.

    Example:

    >>> loss = DistillationLoss()
    >>> float(loss(np.array([[2.0, 0.0]]), np.array([[2.0, 0.0]])))
    0.0
    """

    def __init__(
        self, temperature=1.0, from_logits=True, reduction="sum_over_batch_size"
    ):
        super().__init__(name="distillation_loss", reduction=reduction)
        if not temperature > 0:
            raise ValueError(
                f"`temperature` must be > 0. Received: temperature={temperature!r}"
            )
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
        student: A built `keras.Model`. It is trained in place; save it, not this
            model, for use without us.
        distillation_weight: Float >= 0 of the teacher's term, or a structure of
            floats like the student's outputs, such as `{"class": 1.0, "box": 0.0}`.
        temperature: Float > 0.
        student_loss_weight: Float >= 0 of the loss against the labels, once there is
            a teacher. The weighted average of the distillation literature is
            `student_loss_weight=1 - weight, distillation_weight=weight`.
        from_logits: Whether the student returns logits; else it returns
            probabilities. Checked against its last activation.
        knowledge: What of the teacher is used. `"full"`: all its probabilities.
            `"permuted"`: those of the classes that it does not predict change places
            at random (DKPP). `"confidence"`: only how sure it is, as the weight of
            the example in the loss against the labels (CWTM); the other weights and
            the temperature are not used then.
        teacher_of: `"last"`: the teacher is the student at the end of the last stage.
            `"average"`: it has the mean weights of the ends of all stages so far.

    Raises:
        ValueError: If the student is not built, its last activation does not fit
            `from_logits`, or an argument is out of its range.

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
        self,
        student,
        distillation_weight=1.0,
        temperature=1.0,
        *,
        student_loss_weight=1.0,
        from_logits=True,
        knowledge="full",
        teacher_of="last",
        seed=None,
        name=None,
        **kwargs,
    ):
        check_student(student, from_logits)
        weights = keras.tree.flatten(distillation_weight)
        _check_weights("distillation_weight", weights, distillation_weight)
        _check_weights("student_loss_weight", [student_loss_weight])
        _check_choice("knowledge", knowledge, KNOWLEDGE)
        _check_choice("teacher_of", teacher_of, TEACHERS)
        super().__init__(name=name or f"born_again_{student.name}", **kwargs)
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.student_loss_weight = student_loss_weight
        self.from_logits = from_logits
        self.knowledge = knowledge
        self.teacher_of = teacher_of
        self.distillation_loss = DistillationLoss(temperature, from_logits)
        self.student = student
        self.teacher = _untrained_copy(student)
        if knowledge == "permuted":
            self.seed_generator = keras.random.SeedGenerator(seed)
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
        values, count = self.student.get_weights(), int(self.generation)
        if self.teacher_of == "average" and count:
            values = [
                (new + count * old) / (count + 1) if new.dtype.kind == "f" else new
                for old, new in zip(self.teacher.get_weights(), values, strict=True)
            ]
        self.teacher.set_weights(values)
        self.generation.assign(count + 1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if training and self.knowledge == "confidence":
            sample_weight = self._weighed(x, y_pred, sample_weight)
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training or self.knowledge == "confidence":
            return loss
        numbers = self._random_numbers(y_pred)
        penalties = sum(self._aggregate_additional_loss(one) for one in self.losses)
        # Not a sum with weight 0: the first generation must not run a teacher.
        return loss + ops.cond(
            self.generation > 0,
            lambda: ops.cast(
                self._taught(x, y_pred, sample_weight, numbers)
                + (self.student_loss_weight - 1.0) * (loss - penalties),
                loss.dtype,
            ),
            lambda: ops.zeros((), loss.dtype),
        )

    def _random_numbers(self, y_pred):
        # Before the branch: on JAX a generator must not move inside of one.
        seed = getattr(self, "seed_generator", None)
        return [
            None if seed is None else keras.random.uniform(ops.shape(one), seed=seed)
            for one in keras.tree.flatten(y_pred)
        ]

    def _taught(self, x, y_pred, sample_weight, numbers):
        """The teacher's term, summed over outputs."""
        students = keras.tree.flatten(y_pred)
        betas = _for_each(self.distillation_weight, len(students))
        if not any(betas):
            return ops.zeros(())
        teachers = keras.tree.flatten(self._teach(x))
        weights = _for_each(sample_weight, len(students))
        if self.knowledge == "permuted":
            teachers = map(permute_others, teachers, numbers)
        return sum(
            beta * self.distillation_loss(old, new, sample_weight=weight)
            for beta, old, new, weight in zip(
                betas, teachers, students, weights, strict=True
            )
            if beta
        )

    def _teach(self, x):
        return keras.tree.map_structure(
            ops.stop_gradient, self.teacher(x, training=False)
        )

    def _weighed(self, x, y_pred, sample_weight):
        """Sample weights times the teacher's confidence, relative to the batch's."""
        first = keras.tree.flatten(y_pred)[0]

        def confidence():
            outputs = ops.cast(keras.tree.flatten(self._teach(x))[0], "float32")
            chances = ops.softmax(outputs) if self.from_logits else outputs
            most = ops.max(chances, axis=-1)
            return most / ops.mean(most)

        ones = ops.ones(ops.shape(first)[:-1], "float32")
        weights = ops.cond(self.generation > 0, confidence, lambda: ones)
        return weights if sample_weight is None else weights * sample_weight

    def get_config(self):
        return {
            "student": keras.saving.serialize_keras_object(self.student),
            "distillation_weight": self.distillation_weight,
            "temperature": self.temperature,
            "student_loss_weight": self.student_loss_weight,
            "from_logits": self.from_logits,
            "knowledge": self.knowledge,
            "teacher_of": self.teacher_of,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        student = keras.saving.deserialize_keras_object(
            config["student"], custom_objects=custom_objects
        )
        return cls(**{**config, "student": student})


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


def _for_each(value, count):
    """One entry for each output: of a structure, or the same one for all."""
    if value is None or not keras.tree.is_nested(value):
        return [value] * count
    return keras.tree.flatten(value)


def _check_weights(name, weights, value=None):
    if not all(weight >= 0 for weight in weights):
        value = weights[0] if value is None else value
        raise ValueError(f"`{name}` must be >= 0. Received: {name}={value!r}")


def _check_choice(name, value, known):
    if value not in known:
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")


def check_student(student, from_logits):
    """A `ValueError` unless a student is built and returns what is said."""
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`student` must be a built `keras.Model`: give it an `Input`, or call it "
            f"once. Received: student={student!r}"
        )
    for layer in _last_layers(student):
        softmax = isinstance(layer, keras.layers.Softmax)
        activation = getattr(layer, "activation", None)
        if activation is keras.activations.sigmoid:
            raise ValueError(
                "`student` must not end in a sigmoid: its classes are compared as one "
                f"distribution. Received: the last layer {layer.name!r}"
            )
        softmax = softmax or activation is keras.activations.softmax
        linear = activation is keras.activations.linear
        if (softmax and from_logits) or (linear and not from_logits):
            raise ValueError(
                "`from_logits` must be True for a student without and False for one "
                "with a softmax at its end. "
                f"Received: from_logits={from_logits}, and the last layer "
                f"{layer.name!r} of {student.name!r} with activation "
                f"{'softmax' if softmax else 'linear'}"
            )


def _last_layers(student):
    """The layers that make the outputs, as far as the model tells."""
    outputs = getattr(student, "outputs", None)
    if outputs:
        return [output._keras_history.operation for output in outputs]
    return student.layers[-1:]


def _untrained_copy(student):
    teacher = keras.models.clone_model(student)
    teacher.trainable = False
    for layer in teacher._flatten_layers():
        layer.activity_regularizer = None  # A penalty of the student alone.
    return teacher
