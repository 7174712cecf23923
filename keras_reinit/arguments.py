"""Checks of single arguments, with one wording for all."""

import operator


def checked_integer(name, value, low=0, high=None):
    """Returns `value` as a Python integer; a `ValueError` if it is none in range."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        limit = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(
            f"`{name}` must be an integer {limit}. Received: {name}={value!r}"
        )
    return number


def check_share(name, value):
    """A `ValueError` unless a number is in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={value!r}")


def check_choice(name, value, known):
    """A `ValueError` unless a value is one of a tuple."""
    if value not in known:
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")
