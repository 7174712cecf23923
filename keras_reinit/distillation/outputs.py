"""What the outputs of a network mean, read from the loss that it is compiled with.

Cross-entropy says that an output chooses one of several classes, binary cross-entropy
that it gives labels one by one, mean squared error that it returns numbers; the loss
also says whether the output is logits or probabilities. Losses, weights and divergences
are matched with outputs as Keras matches them: by name, by position, or one for all.
"""

import collections
import dataclasses

import keras
import numpy as np

from keras_reinit.arguments import check_choice
from keras_reinit.distillation.loss import DIVERGENCES
from keras_reinit.graph.last_activation import last_activations

LOSSES = keras.losses
DIVERGENCE_OF = {
    LOSSES.categorical_crossentropy: "kl",
    LOSSES.sparse_categorical_crossentropy: "kl",
    LOSSES.categorical_focal_crossentropy: "kl",
    LOSSES.kl_divergence: "kl",
    LOSSES.binary_crossentropy: "bernoulli",
    LOSSES.binary_focal_crossentropy: "bernoulli",
    LOSSES.mean_squared_error: "squared_error",
    LOSSES.mean_absolute_error: "squared_error",
    LOSSES.mean_absolute_percentage_error: "squared_error",
    LOSSES.mean_squared_logarithmic_error: "squared_error",
    LOSSES.huber: "squared_error",
    LOSSES.log_cosh: "squared_error",
    LOSSES.poisson: "squared_error",
    LOSSES.cosine_similarity: "squared_error",
}
PROBABILISTIC = ("kl", "bernoulli")
# What need not name all outputs: those without a loss have no term either.
PARTIAL = ("loss", "loss_weights", "sample_weight", "y")


@dataclasses.dataclass(frozen=True)
class Output:
    """One output of a network, and how it is compared with a teacher's.

    Attributes:
        name: String, as in a dict of losses; of nested outputs with slashes.
        divergence: One of `DIVERGENCES`; `None` for an output without a loss.
        from_logits: Whether it is logits; else it is probabilities.
        axis: Integer, the axis of its classes, labels or numbers.
        reduction: How its loss is reduced.
        ignore_class: Integer label of the places that count in no loss, or `None`.
        weight: Float, of its loss in the whole.
    """

    name: str
    divergence: str | None
    from_logits: bool = False
    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    ignore_class: int | None = None
    weight: float = 1.0


def read_outputs(
    names, loss, loss_weights=None, divergence=None, from_logits=None, sizes=None
):
    """Reads what each output means.

    Args:
        names: List of the names of the outputs, see `output_names`.
        loss, loss_weights: What the model is compiled with.
        divergence: `None` to read it from the loss, or what stands in its place: one of
            `DIVERGENCES`, or a structure of them like the outputs.
        from_logits: Bool, or `None` to read it from the loss.
        sizes: List of the sizes of the outputs' last axes, for the loss that Keras
            calls `"crossentropy"`.

    Returns:
        List of `Output`.

    Raises:
        ValueError: If a loss does not tell, or an argument contradicts it.
    """
    if isinstance(loss, dict) and isinstance(loss_weights, (list, tuple)):
        order = names if set(names) == set(loss) else sorted(loss)
        loss_weights = dict(zip(order, loss_weights, strict=False))
    elif isinstance(loss, (list, tuple)) and isinstance(loss_weights, dict):
        loss_weights = keras.tree.flatten(loss_weights)  # As Keras: by sorted name.
    columns = (
        names,
        for_each_output("loss", loss, names),
        for_each_output("loss_weights", loss_weights, names),
        for_each_output("divergence", divergence, names),
        for_each_output("from_logits", from_logits, names),
        sizes or [None] * len(names),
    )
    return [_read(*row) for row in zip(*columns, strict=True)]


def _read(name, loss, weight, divergence, from_logits, size):
    if loss is None and divergence is None:
        return Output(name, None)
    loss = None if loss is None else _function_of(loss, size)
    known = _divergence_of(loss)
    if divergence is None and known is None:
        raise ValueError(
            f"`divergence` must say what output {name!r} is compared by, since its "
            "loss does not tell: 'kl' (one of several classes), 'bernoulli' "
            "(independent labels) or 'squared_error' (numbers), or a dict of them by "
            f"output name. Received: divergence=None, loss={loss!r}"
        )
    divergence = divergence or known
    check_choice("divergence", divergence, DIVERGENCES)
    told = _arguments_of(loss)
    return Output(
        name=name,
        divergence=divergence,
        from_logits=_logits(name, divergence, known, told, from_logits),
        axis=told.get("axis", -1),
        reduction=getattr(loss, "reduction", "sum_over_batch_size"),
        ignore_class=told.get("ignore_class"),
        weight=1.0 if weight is None else weight,
    )


def _logits(name, divergence, known, told, from_logits):
    """Whether an output is logits, as its loss tells, or else the argument."""
    default = False if known in PROBABILISTIC else None
    by_loss = told.get("from_logits", default)
    if by_loss is None:
        return True if from_logits is None else bool(from_logits)
    differ = from_logits is not None and bool(from_logits) != bool(by_loss)
    if differ and divergence in PROBABILISTIC:
        raise ValueError(
            "`from_logits` must be as in the compiled loss, or None. Received: "
            f"from_logits={from_logits}, and from_logits={by_loss} in the loss of "
            f"output {name!r}"
        )
    return bool(by_loss)


def _function_of(loss, size):
    """The loss, where Keras takes a string for it."""
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        loss = "binary_crossentropy" if size == 1 else "categorical_crossentropy"
    return keras.losses.get(loss)


def _divergence_of(loss):
    """The divergence of a loss that is Keras' own; None for any other."""
    if type(loss).__module__.startswith("keras."):
        loss = getattr(loss, "fn", None)
    matching = [kind for one, kind in DIVERGENCE_OF.items() if one is loss]
    return matching[0] if matching else None


def _arguments_of(loss):
    try:
        return loss.get_config()
    except (AttributeError, NotImplementedError):
        told = getattr(loss, "from_logits", None)
        return {} if told is None else {"from_logits": told}


def output_names(network, outputs=None):
    """The names of a network's outputs, in the order of `keras.tree.flatten`.

    Args:
        network: A `keras.Model`.
        outputs: What it returns: a tensor or a structure of tensors.
    """
    entries = [path for path, _ in _entries(outputs)]
    known = getattr(network, "output_names", None) or []
    if isinstance(outputs, dict) or len(known) != len(entries):
        return entries
    return list(known)


def for_each_output(argument, value, names):
    """One entry for each output: by name, by position, or the same one for all."""
    if not keras.tree.is_nested(value):
        return [value] * len(names)
    entries = dict(_entries(value))
    if isinstance(value, dict):
        keys = names
    else:
        keys = [str(i) for i in range(len(names))]
        entries = dict(
            zip(map(str, range(len(entries))), entries.values(), strict=True)
        )
    partial = argument in PARTIAL and isinstance(value, dict)
    missing = set() if partial else set(keys) - set(entries)
    if set(entries) - set(keys) or missing:
        raise ValueError(
            f"`{argument}` must have one entry for each output, of {names}. "
            f"Received: {argument}={value}"
        )
    return [entries.get(key) for key in keys]


def _entries(structure, path=()):
    """Pairs of a path and a leaf of a structure, in the order of `keras.tree`."""
    if isinstance(structure, dict):
        ordered = isinstance(structure, collections.OrderedDict)
        keys = structure if ordered else sorted(structure)
        parts = [(key, structure[key]) for key in keys]
    elif isinstance(structure, (list, tuple)):
        parts = list(enumerate(structure))
    else:
        return [("/".join(map(str, path)) or "output", structure)]
    return [one for key, part in parts for one in _entries(part, (*path, key))]


def check_outputs(network, outputs, values=None):
    """A `ValueError` unless a network returns what its loss says it returns.

    Args:
        network: A `keras.Model`.
        outputs: List of `Output`.
        values: List of arrays that the network returned, or `None`.
    """
    ends = last_activations(network) or [None] * len(outputs)
    for output, end, value in zip(
        outputs, ends, values or [None] * len(outputs), strict=True
    ):
        if output.divergence in PROBABILISTIC:
            _check_output(network, output, end, value)


def _check_output(network, output, end, value):
    seen = None if value is None else _seen_in(np.float64(value), output)
    end = seen or end
    if end in (("softmax", "sigmoid") if output.from_logits else ("linear",)):
        what = {"linear": "no probabilities"}.get(end, f"what a {end} returns")
        raise ValueError(
            f"`loss` must have from_logits={not output.from_logits} for output "
            f"{output.name!r} of {network.name!r}, which returns {what}. "
            f"Received: from_logits={output.from_logits}"
        )
    alone = value is not None and np.shape(value)[output.axis] == 1
    if output.divergence == "kl" and alone:
        raise ValueError(
            f"`loss` must be a binary cross-entropy for output {output.name!r}, a "
            "single label: a softmax of one number is always 1. "
            f"Received: outputs of shape {np.shape(value)}"
        )


def _seen_in(values, output):
    """What the numbers of an output show: the name of an activation, or None."""
    if not np.isfinite(values).all():
        return None
    inside = values.min() >= 0 and values.max() <= 1
    if output.divergence == "bernoulli":
        # Small logits may lie between 0 and 1, too, but not at both ends.
        wide = values.min() < 0.05 and values.max() > 0.95
        return ("sigmoid" if wide else None) if inside else "linear"
    adds_up = np.allclose(values.sum(axis=output.axis), 1, atol=1e-2)
    return "softmax" if inside and adds_up else "linear"
