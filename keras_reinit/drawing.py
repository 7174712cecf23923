"""The fresh value of one weight, from its initializer and a key.

Keras' random initializers (normal, truncated normal, uniform, variance scaling) name
a distribution; it is drawn here, with NumPy: several times as fast as calling them,
and the same on every backend. Normal numbers are those of Box & Muller 1958: of two
uniform u and v, sqrt(-2 log u) times the cosine and the sine of 2 pi v. All other
initializers are called, with a new seed in the place of theirs.
"""

import concurrent.futures
import contextlib
import copy
import os
import random

import keras
import numpy as np
from keras.src.initializers.random_initializers import compute_fans

from keras_reinit.sandbox import bit_generator, sandbox

CONSTANTS = {keras.initializers.Zeros: 0, keras.initializers.Ones: 1}
# Those for which 24 random bits are enough.
DTYPES = ("float32", "float16", "bfloat16")
# Numbers drawn from one stream; each stream may have a thread of its own.
CHUNK = 2**17
THREADS = min(os.cpu_count() or 1, 8)
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
    values = _filled(*distribution, int(np.prod(shape)), key)
    return values.reshape(shape).astype(dtype, copy=False)


def _distribution(initializer, shape):
    """What to fill with, what to add and what to multiply by; None if unknown."""
    kind = type(initializer)  # A subclass may be anything.
    if kind is keras.initializers.RandomNormal:
        return _normal, initializer.mean, initializer.stddev
    if kind is keras.initializers.TruncatedNormal:
        return _truncated_normal, initializer.mean, initializer.stddev
    if kind is keras.initializers.RandomUniform:
        low, high = initializer.minval, initializer.maxval
        return _uniform, low, high - low
    if issubclass(kind, keras.initializers.VarianceScaling) and is_of_keras(kind):
        return _variance_scaling(initializer, shape)
    return None


def is_of_keras(kind):
    """Whether a class or function is Keras' own."""
    return kind.__module__.startswith("keras.")


def _variance_scaling(initializer, shape):
    if getattr(initializer, "input_axes", None) is not None:
        return None
    fan_in, fan_out = compute_fans(shape)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    stddev = (initializer.scale / max(1.0, fans[initializer.mode])) ** 0.5
    if initializer.distribution == "uniform":
        limit = 3**0.5 * stddev
        return _uniform, -limit, 2 * limit
    if initializer.distribution == "untruncated_normal":
        return _normal, 0, stddev
    return _truncated_normal, 0, stddev / TRUNCATED_STDDEV


def _filled(fill, shift, scale, size, key):
    """Each chunk is a stream of its own: the same for any number of threads."""
    values = np.empty(size, "float32")

    def fill_chunk(i):
        chunk = values[i * CHUNK : (i + 1) * CHUNK]
        fill(bit_generator((*key, i)), chunk)
        chunk *= np.float32(scale)
        chunk += np.float32(shift)

    chunks = range(-(-size // CHUNK))
    if len(chunks) == 1:
        fill_chunk(0)  # Threads would take longer to start.
    else:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fill_chunk, chunks))
    return values


def _integers(bits, size):
    """Random 32-bit integers."""
    pairs = np.random.Generator(bits).integers(2**64, size=-(-size // 2), dtype="u8")
    return pairs.view("u4")[:size]


def _uniform(bits, values):
    """Fills with multiples of 2**-24 in [0, 1)."""
    np.multiply(_integers(bits, values.size) >> 8, np.float32(2**-24), out=values)


def _normal(bits, values):
    """Fills with normal numbers, all cosines first; in place, for speed."""
    if values.size % 2:
        even = np.empty(values.size + 1, "float32")
        _normal(bits, even)
        values[:] = even[:-1]
        return
    values[:] = _integers(bits, values.size)
    radius, angle = np.split(values, 2)
    radius += np.float32(0.5)  # Keeps the logarithm from zero.
    radius *= np.float32(2**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * np.pi * 2**-32)
    cosines = np.cos(angle)
    np.sin(angle, out=angle)
    angle *= radius
    radius *= cosines


def _truncated_normal(bits, values):
    """Fills with normal numbers in [-2, 2]: the others are drawn again."""
    _normal(bits, values)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        again = np.empty(outside.size, "float32")
        _normal(bits, again)
        values[outside] = again
        outside = outside[np.abs(again) > 2]


def _called(initializer, shape, dtype, key):
    seeds = np.random.Generator(bit_generator(key))
    # Those of Keras depend on nothing but their seeds.
    simple = is_of_keras(type(initializer))
    with contextlib.nullcontext() if simple else sandbox(key):
        value = with_new_seeds(initializer, seeds)(shape, dtype=dtype)
        return keras.ops.convert_to_numpy(value)


def with_new_seeds(initializer, seeds):
    """A copy with new seeds and generators, as are initializers inside of it."""
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
