"""Whether values that a user's own code draws follow the seed, and nothing else.

Keras' initializers and layers are known to. Others may keep a seed under any name, or
a generator in a closure, and would silently return the original weights, or other
weights in each run.
"""

import numpy as np

# Of a fixed seed and key, drawn twice; and of another seed.
KEYS = ((0, 0), (0, 0), (1, 0))


def faults(draw, variables):
    """Finds the weights whose drawn values do not follow the seed.

    Args:
        draw: Function of a key that returns one array for each variable.
        variables: List of `keras.Variable`.

    Returns:
        Dict of the ids of variables to what is wrong with their values.
    """
    draws = [draw(key) for key in KEYS]
    found = {}
    for variable, one, again, other in zip(variables, *draws, strict=True):
        if not _close(one, again):
            found[id(variable)] = (
                "is drawn from a generator that has no seed, such as TensorFlow's, "
                "PyTorch's or one of its own: two draws of one seed differ"
            )
        elif _close(one, other) and not _is_fixed(variable, one):
            found[id(variable)] = (
                "is drawn from a seed of its own: two draws of different seeds are "
                "equal (where that is meant, use `keras.initializers.Constant`)"
            )
    return found


def _close(one, other):
    return np.allclose(np.float64(one), np.float64(other), rtol=1e-4, atol=1e-7)


def _is_fixed(variable, value):
    """Whether a value shows by itself that it is not random.

    It has no more than two different numbers (zeros, an identity, a forget gate), or
    is a table that is not trained, and still what it was.
    """
    if len(np.unique(value)) <= 2:
        return True
    return not variable.trainable and _close(value, variable.numpy())
