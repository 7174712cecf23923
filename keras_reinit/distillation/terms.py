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


@dataclasses.dataclass(frozen=True)
class Term:
    """How one output of a student is compared with its teacher's.

    Attributes:
        output: An `Output`.
        names: Tuple of the names of all outputs.
        loss: A `DistillationLoss`; `None` for an output without a loss.
        weight: Float, by which its value is multiplied.
    """

    output: Output
    names: tuple
    loss: DistillationLoss | None
    weight: float

    def __call__(self, teacher, student, y, sample_weight):
        """The term of a batch; labels and weights are those of all outputs."""
        weight = self._own("sample_weight", sample_weight)
        if self.output.ignore_class is not None:
            weight = _without_ignored(self._own("y", y), self.output, weight)
        return self.weight * self.loss(teacher, student, sample_weight=weight)

    def _own(self, argument, value):
        entries = for_each_output(argument, value, list(self.names))
        return entries[self.names.index(self.output.name)]


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
        return [Term(Output(name, None), tuple(names), None, 0.0) for name in names]
    outputs = read_outputs(
        names,
        model.loss,
        model.loss_weights,
        model.divergence,
        model.from_logits,
        [value.shape[-1] for value in values],
    )
    _check_knowledge(model.knowledge, outputs)
    known = all(isinstance(value, np.ndarray) for value in values)
    check_outputs(model.student, outputs, values if known else None)
    return [
        Term(output, tuple(names), *_loss_and_weight(output, model.temperature, weight))
        for output, weight in zip(outputs, weights, strict=True)
    ]


def _loss_and_weight(output, temperature, weight):
    if output.divergence is None:
        return None, 0.0
    loss = DistillationLoss(
        temperature,
        output.from_logits,
        output.divergence,
        output.axis,
        output.reduction,
    )
    return loss, weight * output.weight


def _check_knowledge(knowledge, outputs):
    classes = all(o.divergence in ("kl", None) and o.axis == -1 for o in outputs)
    several = knowledge == "confidence" and len(outputs) > 1
    if knowledge != "full" and (not classes or several):
        raise ValueError(
            "`knowledge` must be 'full' unless outputs are classes on the last axis "
            "(and for 'confidence', there is a single output). "
            f"Received: knowledge={knowledge!r}, outputs {outputs}"
        )


def _without_ignored(labels, output, sample_weight):
    """Sample weights that are zero where the loss ignores the label."""
    if len(labels.shape) > 1 and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    valid = ops.cast(ops.not_equal(labels, output.ignore_class), "float32")
    if output.reduction in ("mean", "sum_over_batch_size"):
        valid = ops.divide_no_nan(valid, ops.mean(valid))  # As Keras: over valid ones.
    if sample_weight is None:
        return valid
    weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    places = (1,) * (len(valid.shape) - len(weight.shape))
    return valid * ops.reshape(weight, (*ops.shape(weight), *places))
