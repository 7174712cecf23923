"""Self-distillation: the network of the last stage teaches the next.

    loss = loss(student) + distillation_weight * divergence(teacher, student)

Zaidi et al. (2022), Equation 1, for classes: KL(teacher ‖ student) with a weight of 1
(CIFAR) or 2 (Tiny ImageNet). `keras_reinit.distillation.loss` has the divergences.
"""

import random

import keras
import numpy as np
from keras import ops

from keras_reinit.arguments import (
    check_choice,
    check_not_negative,
    check_positive,
    checked_integer,
)
from keras_reinit.copying import (
    check_copy,
    copy_model,
    copy_state,
    example_inputs,
    example_outputs,
    have_same_settings,
)
from keras_reinit.distillation.first_examples import first_examples
from keras_reinit.distillation.loss import permute_others
from keras_reinit.distillation.outputs import output_names
from keras_reinit.distillation.teacher_cache import check_key, split_key
from keras_reinit.distillation.terms import read_terms
from keras_reinit.fresh.recipes import data_of
from keras_reinit.keras_internals import aggregated
from keras_reinit.network import (
    TRAINING,
    all_layers,
    check_not_overridden,
    compile_step_anew,
    recurrent_states,
)

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
    batch as the student, in inference mode, and is not trained; sample weights,
    `loss_weights` and the reduction of the loss apply to its term as they do to the
    loss. `evaluate` reports the plain loss of the student.

    What the outputs mean is read from the loss that the model is compiled with: the
    teacher's term is a KL divergence for classes and for independent labels, and a
    squared error for numbers, see `keras_reinit.DistillationLoss`.

    Args:
        student: A built `keras.Model`. It is trained in place; save it, not this
            model, for use without us. Its class may not override how it is trained
            or evaluated, such as `train_step` or `compute_loss`.
        distillation_weight: Float >= 0 of the teacher's term, or one for each output,
            by name or position, such as `{"class": 1.0, "box": 0.0}`.
        temperature: Float > 0; not used for numbers.
        student_loss_weight: Float >= 0 of the loss against the labels, once there is
            a teacher. The weighted average of the distillation literature is
            `student_loss_weight=1 - weight, distillation_weight=weight`.
        from_logits: Whether the outputs are logits; else they are probabilities.
            `None` reads it from the loss; only a loss of your own does not tell.
        divergence: `"kl"`, `"bernoulli"` or `"squared_error"`, or one for each output;
            `None` reads it from the loss. Needed for a loss of your own.
        knowledge: What of the teacher is used. `"full"`: all its probabilities.
            `"permuted"`: those of the classes that it does not predict change places
            at random (DKPP). `"confidence"`: only how sure it is, as the weight of
            the example in the loss against the labels (CWTM); the other weights and
            the temperature are not used then. The last two are for classes only.
        teacher_of: `"last"`: the teacher is the student at the end of the last stage.
            `"average"`: it has the mean weights of the ends of all stages so far.
        seed: Integer >= 0, of the places that `"permuted"` knowledge changes; `None`
            for one from Python's generator.
        cache: A `TeacherCache` of the training inputs, which then have keys: the
            teacher is asked once a stage about each, not in each step.

    Raises:
        ValueError: If the student is not built, overrides how it is trained, or cannot
            be copied, or an argument is out of its range; in `compile`, if the loss
            does not tell how outputs are compared, or does not fit what the student
            returns; in `fit`, for inputs without keys when there is a cache.

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
        from_logits=None,
        divergence=None,
        knowledge="full",
        teacher_of="last",
        seed=None,
        cache=None,
        name=None,
        **kwargs,
    ):
        check_student(student)
        for weight in keras.tree.flatten(distillation_weight):
            check_not_negative("distillation_weight", weight)
        check_positive("temperature", temperature)
        check_not_negative("student_loss_weight", student_loss_weight)
        check_choice("knowledge", knowledge, KNOWLEDGE)
        check_choice("teacher_of", teacher_of, TEACHERS)
        super().__init__(name=name or f"born_again_{student.name}", **kwargs)
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.student_loss_weight = student_loss_weight
        self.from_logits = from_logits
        self.divergence = divergence
        self.knowledge = knowledge
        self.teacher_of = teacher_of
        self.student = student
        self.teacher = _untrained_copy(student)
        if hasattr(student, "output_names"):
            self.output_names = student.output_names  # For losses by name.
        self.cache = cache
        if cache is not None:
            cache.prepare(self.teacher)
        self.seed = seed if seed is None else checked_integer("seed", seed)
        if knowledge == "permuted":
            if seed is None:
                self.seed = random.randrange(2**31)
            self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.generation = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False,
            name="generation",
        )  # fmt: skip
        self._terms = self._examples = None
        self.built = True

    def compile(
        self, optimizer="rmsprop", loss=None, loss_weights=None, *args, **kwargs
    ):
        """As `keras.Model.compile`; also reads what the outputs mean."""
        super().compile(optimizer, loss, loss_weights, *args, **kwargs)
        self.loss_weights, self._terms = loss_weights, None
        self._look_at(None)

    def compile_from_config(self, config):
        """As Keras does where `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, **kwargs):
        """As `keras.Model.fit`."""
        examples, _ = split_key(first_examples(x))
        self._look_at(examples)
        if int(self.generation.numpy()) == 0:
            self._renew_teacher()
        self._examples = lambda: examples  # Past Keras' tracking of what it holds.
        try:
            return super().fit(x, *args, **kwargs)
        finally:
            self._examples = None

    def call(self, inputs, training=None):
        return self.student(split_key(inputs)[0], training=training)

    def _look_at(self, inputs):
        """Finds the teacher's terms by what the student returns, if that is known."""
        if self._terms is None:
            outputs = example_outputs(self.student, inputs)
            values = keras.tree.flatten(outputs)
            if outputs is not None and all(map(_is_finite, values)):
                self._terms_of(outputs)

    def _renew_teacher(self):
        """Carries what the student was given after it was copied, before any step."""
        try:
            changed = copy_state(self.student, self.teacher)
            same = have_same_settings(self.student, self.teacher)
        except ValueError:  # It has other layers by now.
            same = False
        if not same:
            self.teacher, changed = _untrained_copy(self.student), True
        if changed and self.train_function is not None:
            compile_step_anew(self)

    def _compare(self, examples):
        """Raises unless teacher and student return the same."""
        inputs = example_inputs(self.student) if examples is None else examples
        if inputs is not None:
            check_copy(self.student, self.teacher, inputs, "student")

    def hand_over(self):
        """Makes the student as it is now the teacher of the next generation."""
        count = int(self.generation.numpy())
        averaged = self.teacher_of == "average" and count > 0
        old = self.teacher.get_weights() if averaged else None
        changed = copy_state(self.student, self.teacher)
        for state in recurrent_states(self.teacher):
            state.assign(np.zeros(state.shape))
        if count == 0 or changed:
            self._compare(self._examples and self._examples())
        if changed and self.train_function is not None:
            compile_step_anew(self)  # It has statistics and tables as constants.
        if averaged:
            self._average(old, count)
        self.generation.assign(count + 1)
        self.fill_cache()

    def _average(self, old, count):
        """Gives the teacher the mean weights of `count` networks and one more."""
        data = data_of(self.teacher)
        for variable, mean in zip(self.teacher.weights, old, strict=True):
            is_float = keras.backend.is_float_dtype(variable.dtype)
            if is_float and id(variable) not in data:
                new = keras.ops.convert_to_numpy(variable)
                variable.assign((new + count * mean) / (count + 1))

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
        penalties = sum(aggregated(self, one) for one in self.losses)
        # Not a sum with weight 0: the first generation must not run a teacher.
        return loss + ops.cond(
            self.generation > 0,
            lambda: ops.cast(
                self._taught(x, y, y_pred, sample_weight, numbers)
                + (self.student_loss_weight - 1.0) * (loss - penalties),
                loss.dtype,
            ),
            lambda: ops.zeros_like(loss),
        )

    def _random_numbers(self, y_pred):
        # Before the branch: on JAX a generator must not move inside of one.
        seed = getattr(self, "seed_generator", None)
        return [
            None if seed is None else keras.random.uniform(ops.shape(one), seed=seed)
            for one in keras.tree.flatten(y_pred)
        ]

    def _taught(self, x, y, y_pred, sample_weight, numbers):
        """The teacher's term, summed over outputs."""
        terms = self._terms_of(y_pred)
        if not any(term.counts for term in terms):
            return ops.zeros(())
        teachers, students = self._teach(x), keras.tree.flatten(y_pred)
        if self.knowledge == "permuted":
            teachers = list(map(permute_others, teachers, numbers))
        return sum(
            term(teacher, student, y, sample_weight)
            for term, teacher, student in zip(terms, teachers, students, strict=True)
            if term.counts
        )

    def _terms_of(self, outputs):
        """How each output is compared with the teacher's, from the compiled loss."""
        if self._terms is None:
            names = output_names(self.student, outputs)
            self._terms = tuple(read_terms(self, names, keras.tree.flatten(outputs)))
        return self._terms

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
        (term,) = self._terms_of(y_pred)

        def confidence():
            (outputs,) = self._teach(x)
            outputs = ops.cast(outputs, "float32")
            chances = ops.softmax(outputs) if term.output.from_logits else outputs
            most = ops.max(chances, axis=-1)
            return most / ops.mean(most)

        (student,) = keras.tree.flatten(y_pred)
        ones = ops.ones(ops.shape(student)[:-1], "float32")
        weights = ops.cond(self.generation > 0, confidence, lambda: ones)
        if sample_weight is None:
            return weights
        given = ops.cast(ops.convert_to_tensor(sample_weight), weights.dtype)
        if len(given.shape) > len(weights.shape):
            given = ops.squeeze(given, axis=-1)
        places = (1,) * (len(weights.shape) - len(given.shape))
        return weights * ops.reshape(given, (*ops.shape(given), *places))

    def get_config(self):
        return {
            "student": keras.saving.serialize_keras_object(self.student),
            "distillation_weight": self.distillation_weight,
            "temperature": self.temperature,
            "student_loss_weight": self.student_loss_weight,
            "from_logits": self.from_logits,
            "divergence": self.divergence,
            "knowledge": self.knowledge,
            "teacher_of": self.teacher_of,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        student = keras.saving.deserialize_keras_object(
            config["student"], custom_objects=custom_objects
        )
        return cls(**{**config, "student": student})


def check_student(student):
    """A `ValueError` unless a student is built, and trained as Keras trains."""
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`student` must be a built `keras.Model`: give it an `Input`, or call it "
            f"once. Received: student={student!r}"
        )
    check_not_overridden(
        student,
        TRAINING,
        "student",
        "`BornAgain` trains it with Keras' own steps and loss, and would drop them "
        "(a re-initialization callback alone keeps them)",
    )


def _is_finite(value):
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())


def _untrained_copy(student):
    teacher = copy_model(student, "student")
    teacher.trainable = False
    for layer in all_layers(teacher):
        layer.activity_regularizer = None  # A penalty of the student alone.
    return teacher
