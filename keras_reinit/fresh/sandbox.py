"""Runs a user's initializer, or builds a layer, and leaves no trace of it."""

import collections
import contextlib
import random
import threading
import warnings

import keras
import numpy as np

from keras_reinit.keras_internals import get_global_attribute, set_global_attribute

# Python's and NumPy's generators are those of all threads: one sandbox at a time.
_ALONE = threading.RLock()


def bit_generator(key):
    """Returns a NumPy bit generator; each key is a stream of its own.

    Args:
        key: Tuple of integers >= 0, a seed first. (0, 1) and (0, 1, 0) are two keys.
    """
    return np.random.SFC64(np.random.SeedSequence(key[0], spawn_key=key[1:]))


@contextlib.contextmanager
def sandbox(key, numpy=True):
    """Seeds Python's, NumPy's and Keras' generators by a key, and puts them back.

    With them what else Keras keeps for the whole process: the numbers of its names,
    variables that wait for a value. TensorFlow's and PyTorch's generators are not
    seeded: TensorFlow's could not be put back. Warnings inside are not the user's.

    Args:
        key: See `bit_generator`.
        numpy: Whether what runs inside may use NumPy's generator. If not, threads
            that draw from it meanwhile, such as a data set's, are not disturbed.
    """
    # A stream apart from that of the key itself, which seeds what is inside.
    seed = int(np.random.Generator(bit_generator((*key, 2**32 - 1))).integers(2**31))
    with (
        _ALONE,
        _global_generators(seed, numpy),
        _keras_state(seed),
        warnings.catch_warnings(action="ignore"),
    ):
        yield


@contextlib.contextmanager
def _global_generators(seed, numpy):
    python, state = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        if numpy:
            np.random.seed(seed)
        yield
    finally:
        random.setstate(python)
        if numpy:
            np.random.set_state(state)


@contextlib.contextmanager
def _keras_state(seed):
    inside = {
        "object_name_uids": collections.defaultdict(int),
        "uninitialized_variables": [],
        "global_seed_generator": None,
    }
    outside = {name: get_global_attribute(name) for name in inside}
    try:
        _set(inside)
        _set({"global_seed_generator": keras.random.SeedGenerator(seed)})
        yield
    finally:
        _set(outside)


def _set(attributes):
    for name, value in attributes.items():
        set_global_attribute(name, value)
