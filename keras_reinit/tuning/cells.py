"""The cells of a grid: all combinations of values, for each seed."""

import contextlib
import hashlib
import json
import math

import keras_tuner


def cells(declare, seeds, identify=None):
    """Lists the cells of a grid, all of one seed before those of the next.

    Args:
        declare: Function that declares the hyperparameters it needs on a
            `keras_tuner.HyperParameters`. It is called with every combination of
            values, so that a value may open further hyperparameters.
        seeds: Integers.
        identify: Function of a dict of values that returns all that decides the
            result of a training with them, as a value that JSON can hold. By default
            the values themselves.

    Returns:
        Dict of trial ids to dicts of values. An id is a hash of what `identify`
        returns: it stays when the grid grows.

    Raises:
        ValueError: For a hyperparameter whose values cannot be listed, or one that is
            called `seed`.

    Example:

    >>> def declare(hp):
    ...     if hp.Choice("method", ["standard", "shrink_perturb"]) != "standard":
    ...         hp.Choice("shrink", [0.2, 0.4])
    >>> [list(values.values()) for values in cells(declare, seeds=[0]).values()]
    [['standard', 0], ['shrink_perturb', 0.2, 0], ['shrink_perturb', 0.4, 0]]
    """
    combinations = list(_combinations(declare, {}))
    if any("seed" in values for values in combinations):
        raise ValueError(
            "`space` must not have a hyperparameter 'seed' in a grid, which trains "
            "every combination with each of `seeds`. Received: a 'seed' in `space`"
        )
    every = [{**values, "seed": seed} for seed in seeds for values in combinations]
    return {trial_id((identify or dict)(values)): values for values in every}


def trial_id(identity):
    """A name that is the same for the same identity, in any process."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _combinations(declare, values):
    """Yields the combinations that begin with some values."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    # An error of one combination is that trial's; the space itself was tried before.
    with contextlib.suppress(Exception) if values else contextlib.nullcontext():
        declare(hp)
    for hyperparameter in hp.space:
        if hp.is_active(hyperparameter) and hyperparameter.name not in values:
            break
    else:
        yield values
        return
    for value in _listed(hyperparameter):
        yield from _combinations(declare, {**values, hyperparameter.name: value})


def _listed(hyperparameter):
    if getattr(hyperparameter, "step", "none") is None:
        raise ValueError(
            "`space` must have values that can be listed, for a grid: a `Choice`, or a "
            f"`step`. Received: {hyperparameter}"
        )
    values = list(hyperparameter.values)
    if type(hyperparameter).__name__ != "Float":
        return values
    # keras-tuner drops the end of a range where rounding puts it beyond.
    low, high, step = (
        getattr(hyperparameter, name) for name in ("min_value", "max_value", "step")
    )
    linear = hyperparameter.sampling == "linear"
    steps = (high - low) / step if linear else math.log(high / low, step)
    if len(values) == round(steps) and math.isclose(steps, round(steps)):
        values.append(low if hyperparameter.sampling == "reverse_log" else high)
    return values
