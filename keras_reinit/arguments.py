"""Checks of single arguments, with one wording for all."""

import inspect
import math
import numbers
import operator

import keras
import numpy as np


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


def checked_type(name, value, default):
    """Returns `value` as a Python value of the type of a default.

    Args:
        name: Of the argument.
        value: Anything.
        default: A string, bool, integer or float; `None` stands for an integer that
            may be `None`.

    Raises:
        ValueError: If it is none.
    """
    if value is None and default is None:
        return None
    kind = int if default is None else type(default)
    known = {int: numbers.Integral, float: numbers.Real, bool: (bool, np.bool_)}
    fits = isinstance(value, known.get(kind, kind))
    if not fits or (kind is not bool and isinstance(value, bool)):
        wanted = kind.__name__ + (" or None" if default is None else "")
        raise ValueError(
            f"`{name}` must be of type {wanted}. Received: {name}={value!r}"
        )
    return kind(value)


def check_share(name, value):
    """A `ValueError` unless a value is a number in [0, 1]."""
    if not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={value!r}")


def check_not_negative(name, value):
    """A `ValueError` unless a value, a number or a scalar tensor, is >= 0."""
    if not (_is_scalar(value) and value >= 0):
        raise ValueError(f"`{name}` must be >= 0. Received: {name}={value!r}")


def check_positive(name, value):
    """A `ValueError` unless a value, a number or a scalar tensor, is > 0."""
    if not (_is_scalar(value) and value > 0):
        raise ValueError(f"`{name}` must be > 0. Received: {name}={value!r}")


def is_number(value):
    """Whether a value is a real number of Python or NumPy, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_finite(value):
    """Whether a value is such a number, and neither infinite nor NaN."""
    return is_number(value) and math.isfinite(value)


def _is_scalar(value):
    if is_number(value):
        return is_finite(value)
    return getattr(value, "shape", None) == ()


def check_choice(name, value, known):
    """A `ValueError` unless a value is one of a tuple."""
    if value not in known:
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")


def check_model(model):
    """A `ValueError` for what is no model."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a `keras.Model`. Received: model={model!r}")


def checked_initializers(initializers):
    """Returns a dict of patterns of paths to Keras initializers, or `ValueError`s."""
    if not isinstance(initializers or {}, dict):
        raise ValueError(
            "`initializers` must be a dict of patterns of the paths of weights to "
            f"initializers. Received: initializers={initializers!r}"
        )
    checked = {}
    for pattern, value in (initializers or {}).items():
        try:
            checked[pattern] = keras.initializers.get(value)
        except ValueError:
            checked[pattern] = None
        if not isinstance(pattern, str) or not _draws(checked[pattern]):
            raise ValueError(
                "`initializers` must have patterns as keys, and as values initializers "
                "of Keras, their names, or functions of a shape and a `dtype`. "
                f"Received: {pattern!r}: {value!r}"
            )
    return checked


def _draws(initializer):
    """Whether it can be called as Keras calls an initializer."""
    try:
        inspect.signature(initializer).bind((1,), dtype="float32")
    except TypeError:
        return False
    except ValueError:  # A compiled function need not tell its arguments.
        pass
    return True
