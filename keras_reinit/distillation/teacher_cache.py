"""A table of what a teacher says of each training input, filled once a generation.

A teacher stays the same throughout a generation, and so does what it says of the same
input. Where inputs come again (without random augmentation, or with a few
augmentations of each example that repeat), a training step need not run it.
"""

import keras
import numpy as np
from keras import ops

# Fingerprints of the same input are this close: they are sums, added in some order.
TOLERANCE = 1e-4


def keyed(inputs):
    """Gives each training input a key, its place, for a `TeacherCache`.

    Args:
        inputs: Array of shape (n, ...), or a structure of such arrays.

    Returns:
        Dict of `"inputs"` and `"key"`, integers of shape (n,): what `fit` is given
        as `x`.

    Example:

    >>> keyed(np.zeros((3, 2)))["key"].tolist()
    [0, 1, 2]
    """
    count = len(keras.tree.flatten(inputs)[0])
    return {"inputs": inputs, "key": np.arange(count, dtype="int32")}


def split_key(x):
    """The inputs of the network, and their keys; `None` for inputs without."""
    if isinstance(x, dict) and set(x) == {"inputs", "key"}:
        return x["inputs"], x["key"]
    return x, None


def check_key(x):
    """A `ValueError` for training inputs without keys."""
    if split_key(x)[1] is None:
        raise ValueError(
            "`x` must have keys beside a `TeacherCache`: fit on `keyed(...)` or "
            "`train_dataset(..., augmentation_seeds=...)`. Received: x without keys"
        )


class TeacherCache(keras.layers.Layer):
    """What a teacher says of each training input, for `BornAgain(cache=...)`.

    It is filled when a teacher is handed over, by one pass over `inputs`, and again
    when a training goes on; it is no part of a checkpoint. A step whose inputs are
    those of their keys reads it; any other step runs the teacher, so that results
    are the same but for the rounding of floats.

    Args:
        inputs: What the model is going to be trained on, each input once: a dict
            that `keyed` returned, or an iterable of batches that are such dicts, such
            as `train_dataset(..., augmentation_seeds=4).keyed_inputs`. Keys are 0, 1,
            ..., n - 1 in any order; for k augmentations of each example, `example *
            k + augmentation_seed`. It must be the same whenever it is iterated.
        batch_size: Integer >= 1, of the pass over arrays.

    Raises:
        ValueError: If keys are missing or come twice, or inputs differ from one
            iteration to the next (then a cache is of no use).

    Example:

    >>> inputs = keyed(np.random.default_rng(0).normal(size=(8, 3)))
    >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model = BornAgain(student, cache=TeacherCache(inputs))
    >>> model.compile(
    ...     "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> _ = model.fit(inputs, np.ones(8), epochs=4, verbose=0,
    ...               callbacks=[FullReinit(Stages(epochs=4, stages=2))])
    """

    def __init__(self, inputs, batch_size=256):
        super().__init__(trainable=False, dtype="float32")
        self._source = lambda: inputs  # Keras would take what it holds for layers.
        self.batch_size = batch_size
        self._patterns = None
        keys, prints = [], []
        for batch in self._batches():
            keys.append(ops.convert_to_numpy(batch["key"]))
            prints.append(ops.convert_to_numpy(self._fingerprint(batch["inputs"])))
        keys = np.concatenate(keys) if keys else np.zeros(0, int)
        if not len(keys) or not np.array_equal(np.sort(keys), np.arange(len(keys))):
            raise ValueError(
                "`inputs` must have each of the keys 0, 1, ..., n - 1 once. "
                f"Received: {len(keys)} keys, {len(np.unique(keys))} different ones"
            )
        self._prints = np.empty(len(keys), "float32")
        self._prints[keys] = np.concatenate(prints)

    def prepare(self, teacher):
        """Makes room for the outputs of a teacher."""
        batch = next(self._batches())
        n = len(self._prints)
        self._tables = [
            self._table(
                (n, *output.shape[1:]), keras.backend.standardize_dtype(output.dtype)
            )
            for output in keras.tree.flatten(teacher(batch["inputs"], training=False))
        ]
        self._known = self._table((n,), "float32")
        self._known.assign(self._prints)
        self._is_filled = self._table((), "bool")
        self.built = True

    def _table(self, shape, dtype):
        return self.add_weight(
            shape=shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def fill(self, teacher):
        """Asks a teacher about all inputs."""
        values = [np.empty(t.shape, t.dtype) for t in self._tables]
        for batch in self._batches():
            inputs, key = batch["inputs"], ops.convert_to_numpy(batch["key"])
            if not bool(ops.all(_close(self._fingerprint(inputs), self._prints[key]))):
                raise ValueError(
                    "`inputs` must be the same whenever they are iterated, for a "
                    "teacher to be asked but once: augment with fixed seeds. Received: "
                    f"other values for keys {key[:3].tolist()}, ..."
                )
            outputs = keras.tree.flatten(teacher(inputs, training=False))
            for value, output in zip(values, outputs, strict=True):
                value[key] = ops.convert_to_numpy(output)
        for table, value in zip(self._tables, values, strict=True):
            table.assign(value)
        self._is_filled.assign(True)

    def look_up(self, inputs, key, teach):
        """The flat outputs of the teacher; `teach()` where the cache does not hold.

        Args:
            inputs: Tensors of shape (batch, ...), with keys.
            key: Integer tensor of shape (batch,).
            teach: Function that runs the teacher on `inputs`.
        """
        same = _close(self._fingerprint(inputs), ops.take(self._known, key, axis=0))
        return ops.cond(
            ops.logical_and(self._is_filled, ops.all(same)),
            lambda: [ops.take(table, key, axis=0) for table in self._tables],
            lambda: keras.tree.flatten(teach()),
        )

    def _batches(self):
        """Yields dicts of `inputs` and `key`."""
        source = self._source()
        if not isinstance(source, dict):
            yield from map(_checked, source)
            return
        _checked(source)
        for begin in range(0, len(source["key"]), self.batch_size):
            yield keras.tree.map_structure(
                lambda a, i=begin: a[i : i + self.batch_size], source
            )

    def _fingerprint(self, inputs):
        """A number for each input: its product with a fixed random vector."""
        leaves = keras.tree.flatten(inputs)
        if self._patterns is None:
            sizes = [int(np.prod(leaf.shape[1:])) for leaf in leaves]
            self._patterns = tuple(
                np.random.default_rng(i).normal(size=n) / np.sqrt(n)
                for i, n in enumerate(sizes)
            )
        return sum(
            ops.matmul(
                ops.cast(ops.reshape(leaf, (-1, len(pattern))), "float32"),
                ops.convert_to_tensor(pattern, "float32"),
            )
            for leaf, pattern in zip(leaves, self._patterns, strict=True)
        )

    def save_own_variables(self, store):
        """Nothing: the cache is filled again when a training goes on."""

    def load_own_variables(self, store):
        """Forgets what another teacher said."""
        self._is_filled.assign(False)


def _checked(batch):
    if split_key(batch)[1] is None:
        raise ValueError(
            "`inputs` must be a dict of 'inputs' and 'key', see `keyed`, or an "
            f"iterable of such dicts. Received: {type(batch).__name__}"
        )
    return batch


def _close(one, other):
    return ops.abs(one - other) <= TOLERANCE * (1 + ops.abs(other))
