"""The teacher's term of each output, weighed and reduced as its loss is."""

import dataclasses

import numpy as np
from keras import ops

from keras_reinit.distillation.loss import DistillationLoss
from keras_reinit.distillation.outputs import (
    Output,
    check_outputs,
    for_each_output,
    read_outputs,
)
from keras_reinit.keras_internals import with_mask


@dataclasses.dataclass(frozen=True)
class Term:
    """How one output of a student is compared with its teacher's.

    Attributes:
        output: An `Output`.
        names: Tuple of the names of all outputs.
        place: Integer, which of them it is.
        loss: A `DistillationLoss`; `None` for an output without a loss.
        weight: Float, its distillation weight, on top of the weight of the output.
    """

    output: Output
    names: tuple
    place: int
    loss: DistillationLoss | None
    weight: float

    @property
    def counts(self):
        """Whether there is anything to compare."""
        return self.loss is not None and bool(self.weight)

    def __call__(self, teacher, student, y, sample_weight):
        """The term of a batch; labels and weights are those of all outputs."""
        weight = self._own("sample_weight", sample_weight)
        if self.output.ignore_class is not None:
            student = _without_ignored(student, self._own("y", y), self.output)
        term = self.loss(teacher, student, sample_weight=weight)
        return self.weight * self.output.weight * term

    def _own(self, argument, value):
        return for_each_output(argument, value, list(self.names))[self.place]


def read_terms(model, names, values):
    """Reads the term of each output of a compiled `BornAgain`.

    Args:
        model: The `BornAgain`.
        names: List of the names of its outputs.
        values: List of what it returned: arrays, or tensors without values.

    Returns:
        List of `Term`.

    Raises:
        ValueError: If the loss does not tell how an output is compared, or does not
            fit what the student returns.
    """
    weights = for_each_output("distillation_weight", model.distillation_weight, names)
    if not any(weights) and model.knowledge != "confidence":
        return [
            Term(Output(name, None), tuple(names), place, None, 0.0)
            for place, name in enumerate(names)
        ]
    outputs = read_outputs(
        names,
        model.loss,
        model.loss_weights,
        model.divergence,
        model.from_logits,
        [value.shape[-1] for value in values],
    )
    if all(output.divergence is None for output in outputs):
        raise ValueError(
            "`divergence` must say how outputs are compared, since the model is "
            "compiled without a loss (or pass `distillation_weight=0`). "
            "Received: divergence=None, loss=None"
        )
    _check_knowledge(model.knowledge, outputs)
    known = all(isinstance(value, np.ndarray) for value in values)
    check_outputs(model.student, outputs, values if known else None)
    rows = enumerate(zip(outputs, weights, strict=True))
    return [
        Term(output, tuple(names), place, _loss_of(output, model.temperature), weight)
        for place, (output, weight) in rows
    ]


def _loss_of(output, temperature):
    if output.divergence is None:
        return None
    return DistillationLoss(
        temperature,
        output.from_logits,
        output.divergence,
        output.axis,
        output.reduction,
    )


def _check_knowledge(knowledge, outputs):
    classes = all(o.divergence in ("kl", None) and o.axis == -1 for o in outputs)
    several = knowledge == "confidence" and len(outputs) > 1
    if knowledge != "full" and (not classes or several):
        raise ValueError(
            "`knowledge` must be 'full' unless outputs are classes on the last axis "
            "(and for 'confidence', there is a single output). "
            f"Received: knowledge={knowledge!r}, outputs {outputs}"
        )


def _without_ignored(student, labels, output):
    """A student's output, masked where the loss ignores the label."""
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == len(student.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    return with_mask(student, ops.not_equal(labels, output.ignore_class))
