"""The fresh value of one weight, from its initializer and a key.

Keras' random initializers (normal, truncated normal, uniform, variance scaling) name
a distribution; its numbers are our own: several times as fast as calling them, and the
same on every backend. All other initializers are called, with a new seed in the place
of theirs.
"""

import contextlib
import copy
import math
import random

import keras
import numpy as np

from keras_reinit.fresh.random_numbers import filled, normal, truncated_normal, uniform
from keras_reinit.fresh.sandbox import bit_generator, sandbox

CONSTANTS = {keras.initializers.Zeros: 0, keras.initializers.Ones: 1}
# Those for which 24 random bits are enough.
DTYPES = ("float32", "float16", "bfloat16")
# What an initializer may have for its randomness, and how a new one is made of a seed.
GENERATORS = {
    keras.random.SeedGenerator: lambda seed: keras.random.SeedGenerator(int(seed)),
    np.random.Generator: np.random.default_rng,
    np.random.RandomState: np.random.RandomState,
    random.Random: lambda seed: random.Random(int(seed)),
}
# Keras cuts a truncated normal at two standard deviations; what is left has this one.
TRUNCATED_STDDEV = 0.87962566103423978


def draw(initializer, shape, dtype, key):
    """Draws an initial value.

    Args:
        initializer: A `keras.initializers.Initializer` or a function like it. It is
            not changed: its own seed, an integer included, is not used.
        shape: Tuple of integers.
        dtype: String, such as `"float32"`.
        key: Tuple of integers >= 0: the same key, the same value (to the last bit or
            two where processors compute logarithms and sines differently).

    Returns:
        NumPy array.
    """
    if type(initializer) in CONSTANTS:
        return np.full(shape, CONSTANTS[type(initializer)], dtype)
    distribution = _distribution(initializer, shape) if dtype in DTYPES else None
    if distribution is None:
        return _called(initializer, shape, dtype, key)
    values = filled(*distribution, int(np.prod(shape)), key)
    return values.reshape(shape).astype(dtype, copy=False)


def _distribution(initializer, shape):
    """What to fill with, what to add and what to multiply by; None if unknown."""
    kind = type(initializer)  # A subclass may be anything.
    if kind is keras.initializers.RandomNormal:
        return normal, initializer.mean, initializer.stddev
    if kind is keras.initializers.TruncatedNormal:
        return truncated_normal, initializer.mean, initializer.stddev
    if kind is keras.initializers.RandomUniform:
        low, high = initializer.minval, initializer.maxval
        return uniform, low, high - low
    if issubclass(kind, keras.initializers.VarianceScaling) and is_of_keras(kind):
        return _variance_scaling(initializer, shape)
    return None


def is_of_keras(kind):
    """Whether a class or function is Keras' own."""
    return kind.__module__.startswith("keras.")


def _variance_scaling(initializer, shape):
    if getattr(initializer, "input_axes", None) is not None:
        return None
    fan_in, fan_out = _fans(shape)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    stddev = (initializer.scale / max(1.0, fans[initializer.mode])) ** 0.5
    if initializer.distribution == "uniform":
        limit = 3**0.5 * stddev
        return uniform, -limit, 2 * limit
    if initializer.distribution == "untruncated_normal":
        return normal, 0, stddev
    return truncated_normal, 0, stddev / TRUNCATED_STDDEV


def _fans(shape):
    """Numbers of inputs and outputs of a kernel, as Keras' initializers count them."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    positions = math.prod(shape[:-2])
    return shape[-2] * positions, shape[-1] * positions


def _called(initializer, shape, dtype, key):
    seeds = np.random.Generator(bit_generator(key))
    # Those of Keras depend on nothing but their seeds.
    simple = is_of_keras(type(initializer))
    with contextlib.nullcontext() if simple else sandbox(key):
        value = with_new_seeds(initializer, seeds)(shape, dtype=dtype)
        value = keras.ops.convert_to_numpy(value)
    if value.shape != tuple(shape):
        raise ValueError(
            f"`initializers` must return the shape they are asked for, {shape}. "
            f"Received: {initializer} returned {value.shape}"
        )
    return value.astype(dtype, copy=False)


def with_new_seeds(initializer, seeds):
    """A copy with new seeds and generators, as are initializers inside of it."""
    if isinstance(initializer, (list, tuple)):
        return like(initializer, [with_new_seeds(one, seeds) for one in initializer])
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    initializer = copy.copy(initializer)
    for name, value in vars(initializer).items():
        new = GENERATORS.get(type(value), int if name == "seed" else None)
        if new is None:
            setattr(initializer, name, with_new_seeds(value, seeds))
        else:
            setattr(initializer, name, new(seeds.integers(2**31)))
    return initializer


def like(sequence, items):
    """A list, tuple or named tuple of other items."""
    named = hasattr(sequence, "_fields")
    return type(sequence)(*items) if named else type(sequence)(items)
