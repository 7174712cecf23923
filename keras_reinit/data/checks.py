"""Checks of what data are made of: numbers, vectors of labels, arrays."""

import numpy as np

from keras_reinit.arguments import check_positive, is_finite


def check_positive_number(name, value):
    """A `ValueError` unless a value is a finite number > 0, and no bool."""
    check_positive(name, value)
    if not is_finite(value):
        raise ValueError(
            f"`{name}` must be a finite number > 0. Received: {name}={value!r}"
        )


def as_array(values):
    """Returns values as an array; one of type object if they do not form an array."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError):  # Nested sequences of several lengths.
        return np.array(repr(values), object)


def are_labels(found, count=None, high=None):
    """Returns whether an array is a vector of integers in [0, high).

    Args:
        found: Array.
        count: How many there must be; `None` for any number.
        high: Integer; `None` for no limit.
    """
    if found.ndim != 1 or found.dtype.kind not in "iu":
        return False
    if count is not None and len(found) != count:
        return False
    if not len(found):
        return True
    return found.min() >= 0 and (high is None or found.max() < high)


def description(found):
    """Returns what an error says of an array."""
    text = f"shape {found.shape}, dtype {found.dtype}"
    if found.size and found.dtype.kind in "iuf":
        text += f", values from {found.min()} to {found.max()}"
    return text


def check_vector(name, values, count, high=None):
    """Returns the array of `count` integers in [0, high), or a `ValueError`."""
    found = as_array(values)
    if not are_labels(found, count, high):
        limit = ">= 0" if high is None else f"in [0, {high})"
        raise ValueError(
            f"`{name}` must be {count} integers {limit}, one for each example. "
            f"Received: {name} of {description(found)}"
        )
    return found


def checked_index(index, count):
    """Returns the places of `count` examples, which are 0, 1, ... for `None`."""
    return np.arange(count) if index is None else check_vector("index", index, count)
