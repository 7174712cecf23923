"""The first examples that `fit` is given, read without moving anything."""

import keras


def first_examples(x, count=32):
    """Returns the inputs of the first examples of arrays.

    Args:
        x: What `fit` takes as `x`.
        count: Integer, how many examples.

    Returns:
        A structure of arrays or tensors; `None` for what is read batch by batch, such
        as a `tf.data.Dataset` or a generator: reading it would change the training.
    """
    leaves = keras.tree.flatten(x)
    if not all(hasattr(a, "shape") and hasattr(a, "__getitem__") for a in leaves):
        return None
    first = keras.tree.map_structure(lambda a: a[:count], x)
    return keras.tree.map_structure(
        lambda a: a.to_numpy() if hasattr(a, "to_numpy") else a, first
    )
