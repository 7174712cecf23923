"""Random numbers by NumPy, in chunks that may each have a thread.

Normal numbers are those of Box & Muller 1958: of two uniform u and v, sqrt(-2 log u)
times the cosine and the sine of 2 pi v.
"""

import concurrent.futures
import os

import numpy as np

from keras_reinit.fresh.sandbox import bit_generator

# Numbers drawn from one stream; each stream may have a thread of its own.
CHUNK = 2**17
THREADS = min(os.cpu_count() or 1, 8)


def filled(fill, shift, scale, size, key):
    """Returns a vector of random numbers, `scale * number + shift`.

    Each chunk is a stream of its own: the same for any number of threads.

    Args:
        fill: `uniform`, `normal` or `truncated_normal`.
        shift, scale: Floats.
        size: Integer, how many.
        key: See `bit_generator`.

    Returns:
        float32 array of shape (size,).
    """
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


def uniform(bits, values):
    """Fills with multiples of 2**-24 in [0, 1)."""
    np.multiply(_integers(bits, values.size) >> 8, np.float32(2**-24), out=values)


def normal(bits, values):
    """Fills with normal numbers, all cosines first; in place, for speed."""
    if values.size % 2:
        even = np.empty(values.size + 1, "float32")
        normal(bits, even)
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


def truncated_normal(bits, values):
    """Fills with normal numbers in [-2, 2]: the others are drawn again."""
    normal(bits, values)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        again = np.empty(outside.size, "float32")
        normal(bits, again)
        values[outside] = again
        outside = outside[np.abs(again) > 2]
