"""Self-distillation: the network of the last stage teaches the next.

    loss = loss(student) + distillation_weight * T^2 * KL(teacher ‖ student)

Zaidi et al. (2022), Equation 1, with T = 1 and a weight of 1 (CIFAR) or 2 (Tiny
ImageNet).
"""

import keras
from keras import ops

from keras_reinit.arguments import check_choice, check_not_negative
from keras_reinit.distillation.loss import DistillationLoss, permute_others
from keras_reinit.distillation.student import check_student
from keras_reinit.distillation.teacher_cache import check_key, split_key

KNOWLEDGE = ("full", "permuted", "confidence")
TEACHERS = ("last", "average")


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
        seed: Integer, of the places that `"permuted"` knowledge changes.
        cache: A `TeacherCache` of the training inputs, which then have keys: the
            teacher is asked once a stage about each, not in each step.

    Raises:
        ValueError: If the student is not built, its last activation does not fit
            `from_logits`, or an argument is out of its range; in `fit`, for inputs
            without keys beside a cache.

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
        cache=None,
        name=None,
        **kwargs,
    ):
        check_student(student, from_logits)
        for weight in keras.tree.flatten(distillation_weight):
            check_not_negative("distillation_weight", weight)
        check_not_negative("student_loss_weight", student_loss_weight)
        check_choice("knowledge", knowledge, KNOWLEDGE)
        check_choice("teacher_of", teacher_of, TEACHERS)
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
        self.cache = cache
        if cache is not None:
            cache.prepare(self.teacher)
        if knowledge == "permuted":
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.generation = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False,
            name="generation",
        )  # fmt: skip
        self.built = True

    def call(self, inputs, training=None):
        return self.student(split_key(inputs)[0], training=training)

    def hand_over(self):
        """Makes the student as it is now the teacher of the next generation."""
        # Through NumPy: student and teacher must not share buffers on JAX.
        values, count = self.student.get_weights(), int(self.generation.numpy())
        if self.teacher_of == "average" and count:
            values = [
                (new + count * old) / (count + 1) if new.dtype.kind == "f" else new
                for old, new in zip(self.teacher.get_weights(), values, strict=True)
            ]
        self.teacher.set_weights(values)
        self.generation.assign(count + 1)
        self.fill_cache()

    def fill_cache(self):
        """Asks the teacher, if there is one, about all that is in the cache."""
        if self.cache is not None and int(self.generation.numpy()) > 0:
            self.cache.fill(self.teacher)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if training and self.cache is not None:
            check_key(x)
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
        teachers = self._teach(x)
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
        """The teacher's outputs, as a flat list."""
        inputs, key = split_key(x)

        def teach():
            return keras.tree.flatten(self.teacher(inputs, training=False))

        known = self.cache is not None
        outputs = self.cache.look_up(inputs, key, teach) if known else teach()
        return [ops.stop_gradient(output) for output in outputs]

    def _weighed(self, x, y_pred, sample_weight):
        """Sample weights times the teacher's confidence, relative to the batch's."""
        first = keras.tree.flatten(y_pred)[0]

        def confidence():
            outputs = ops.cast(self._teach(x)[0], "float32")
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


def _for_each(value, count):
    """One entry for each output: of a structure, or the same one for all."""
    if value is None or not keras.tree.is_nested(value):
        return [value] * count
    return keras.tree.flatten(value)


def _untrained_copy(student):
    teacher = keras.models.clone_model(student)
    teacher.trainable = False
    for layer in teacher._flatten_layers():
        layer.activity_regularizer = None  # A penalty of the student alone.
    return teacher
