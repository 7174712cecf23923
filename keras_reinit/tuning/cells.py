"""The cells of a grid: all combinations of values, for each seed."""

import hashlib
import json


def cells(hyperparameters, seeds):
    """Lists the cells of a grid, all of one seed before those of the next.

    Args:
        hyperparameters: A `keras_tuner.HyperParameters`. One that is active only for
            some values of another has values in these combinations alone.
        seeds: Integers.

    Returns:
        Dict of trial ids to dicts of values. An id is a hash of the values: it stays
        when the grid grows.

    Raises:
        ValueError: For a hyperparameter whose values cannot be listed.
    """
    found = list(_combinations({}, hyperparameters.space))
    every = [{**values, "seed": seed} for seed in seeds for values in found]
    return {trial_id(values): values for values in every}


def trial_id(values):
    """A name that is the same for the same values, in any process."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _combinations(values, space):
    if not space:
        yield values
        return
    first, later = space[0], space[1:]
    active = all(condition.is_active(values) for condition in first.conditions)
    if not active or first.name in values:
        yield from _combinations(values, later)
        return
    for value in _listed(first):
        yield from _combinations({**values, first.name: value}, later)


def _listed(hyperparameter):
    if getattr(hyperparameter, "step", "none") is None:
        raise ValueError(
            "`space` must have values that can be listed, for a grid: a `Choice`, or a "
            f"`step`. Received: {hyperparameter}"
        )
    return hyperparameter.values
