"""WHEN: the stages of a training at a fixed budget of epochs."""

import dataclasses
import operator


@dataclasses.dataclass(frozen=True)
class Stages:
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

    def __post_init__(self):
        for name, low, high in (
            ("epochs", 1, None),
            ("stages", 1, self.epochs),
        ):
            value = getattr(self, name)
            if not _is_integer_between(value, low, high):
                limit = f"in [1, epochs={high}]" if high else ">= 1"
                raise ValueError(
                    f"`{name}` must be an integer {limit}. Received: {name}={value!r}"
                )

    @property
    def starts(self):
        """Tuple of the epochs at which the stages begin; the first is 0."""
        return tuple(self.epochs * i // self.stages for i in range(self.stages))

    @property
    def ends(self):
        """Tuple of the last epoch of each stage."""
        return tuple(start - 1 for start in (*self.starts[1:], self.epochs))

    @property
    def stage_epochs(self):
        """Integer, the epochs of the longest stage (which is the last one)."""
        return -(-self.epochs // self.stages)

    def stage(self, epoch):
        """The 0-based stage that `epoch` (0-based, as in Keras) belongs to."""
        return sum(epoch >= start for start in self.starts[1:])

    def event(self, epoch):
        """The stage that a re-initialization at the begin of `epoch` opens, or None.

        A pure function of the epoch: nothing has to be restored on resume.
        """
        stage = self.stage(epoch)
        return stage if stage > 0 and epoch == self.starts[stage] else None


def _is_integer_between(value, low, high):
    try:
        value = operator.index(value)
    except TypeError:
        return False
    return value >= low and (high is None or value <= high)
