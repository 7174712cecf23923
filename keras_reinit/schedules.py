"""WHEN: the stages of a training at a fixed budget of epochs or of steps."""

import dataclasses

import keras

from keras_reinit.arguments import checked_integer


class _EqualStages:
    """What both units share: `total` units, cut into `stages` equal parts."""

    def __post_init__(self):
        checked_integer(self.unit, self.total, low=1)
        checked_integer("stages", self.stages, low=1, high=self.total)

    @property
    def total(self):
        """Integer, the whole budget."""
        return getattr(self, self.unit)

    @property
    def starts(self):
        """Tuple of where the stages begin; the first is 0."""
        return tuple(self.total * i // self.stages for i in range(self.stages))

    @property
    def ends(self):
        """Tuple of the last epoch (or step) of each stage."""
        return tuple(start - 1 for start in (*self.starts[1:], self.total))

    def stage(self, at):
        """The 0-based stage that an epoch (or step) belongs to, both 0-based."""
        return sum(at >= start for start in self.starts[1:])

    def event(self, at, previous=None):
        """The stage that a re-initialization right before `at` opens, or None.

        A pure function: nothing has to be restored on resume.

        Args:
            at: Integer, the epoch (or step) that begins.
            previous: Integer, the one that began last, where that is not `at - 1`:
                with `steps_per_execution > 1` a stage begins with the first
                execution at or after its start.
        """
        previous = at - 1 if previous is None else previous
        stage = self.stage(at)
        return stage if stage > self.stage(previous) else None

    def get_config(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("keras_reinit")
@dataclasses.dataclass(frozen=True)
class Stages(_EqualStages):
    """A fixed budget of epochs, cut into equal stages.

    Re-initialization happens between stages, so `stages - 1` times and never
    after the last one; `stages=1` is standard training. Where `stages` does not
    divide `epochs` the stages differ by one epoch and the last is a long one:
    the whole budget is used, for every method alike (Zaidi et al. 2022,
    arXiv 2206.10011, Algorithm 1 would drop the remainder).

    Args:
        epochs: Integer >= 1, the total budget.
        stages: Integer in [1, epochs], the paper's `T`.

    Raises:
        ValueError: If either number is out of its range.

    Example:

    >>> schedule = Stages(epochs=10, stages=3)
    >>> schedule.starts
    (0, 3, 6)
    >>> schedule.stage(5), schedule.event(5), schedule.event(6)
    (1, None, 2)
    """

    epochs: int
    stages: int
    unit = "epochs"

    @property
    def stage_epochs(self):
        """Integer, the epochs of the longest stage (which is the last one)."""
        return -(-self.epochs // self.stages)


@keras.saving.register_keras_serializable("keras_reinit")
@dataclasses.dataclass(frozen=True)
class StepStages(_EqualStages):
    """A fixed budget of training steps (batches), cut into equal stages.

    For long epochs, or stages that do not end with one. As `Stages` otherwise. `fit`
    must know its steps per epoch: a generator needs `steps_per_epoch`.

    Args:
        steps: Integer >= 1, the total budget.
        stages: Integer in [1, steps].

    Raises:
        ValueError: If either number is out of its range.

    Example:

    >>> schedule = StepStages(steps=1000, stages=4)
    >>> schedule.starts
    (0, 250, 500, 750)
    >>> schedule.event(252, previous=248)
    1
    """

    steps: int
    stages: int
    unit = "steps"


def begun(epoch, batch, steps, execution=1):
    """The step that begins with a batch of an epoch, and the one that began last.

    Args:
        epoch, batch: Integers, counted from 0.
        steps: Integer, of an epoch.
        execution: Integer, `steps_per_execution`.

    Example:

    >>> begun(epoch=1, batch=0, steps=10, execution=4)
    (10, 8)
    """
    step = epoch * steps + batch
    if batch > 0:
        return step, step - execution
    return step, step - steps + (steps - 1) // execution * execution
