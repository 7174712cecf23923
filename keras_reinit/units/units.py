"""Units: the features that layers make, and every weight that makes or reads one.

A unit is one output feature of a dense layer or a convolution. Its weights are found on
the layer graph: through normalization, pooling, flattening, concatenation and
additions, which make one unit of those that are added up. What takes its inputs in
another way, such as attention, leaves them without a full list of readers; they are
then not `free`.
"""

import dataclasses

import keras
import numpy as np

from keras_reinit.graph.layer_graph import nodes_in_order
from keras_reinit.graph.layer_kinds import (
    ADDITIONS,
    KERNELS,
    NORMALIZATIONS,
    PASSING,
    is_nonlinear,
    kind,
)

DATA = 0  # The unit that stands for all features of the model's inputs.


@dataclasses.dataclass(frozen=True)
class Use:
    """The weights along one axis (>= 0) of a variable; `ids` has the unit of each."""

    variable: keras.Variable
    axis: int
    ids: np.ndarray

    def spread(self, values):
        """Values of all units, as an array that broadcasts over the variable."""
        shape = [1] * len(self.variable.shape)
        shape[self.axis] = -1
        return values[self.ids].reshape(shape)


class Units:
    """All units of a Functional or Sequential model, numbered from 1; 0 is the data.

    Attributes:
        made, read, normalized: Lists of `Use`: the weights that make units (kernels and
            biases), that read them, and that normalize them one by one.
        features: List of pairs: each call of a known layer, and the array of the units
            of its result.
        points: Those of them with an activation, where units can be measured.
        index, size: Integer arrays: which unit of its layer one is, and of how many.
        whole: Boolean array: of the data, the model's outputs and results of unknown
            layers.
        free: Boolean array: of hidden units with an activation of which all weights
            are known.

    Raises:
        ValueError: For a model without a layer graph.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 2, activation="relu"),
    ...     keras.layers.Flatten(), keras.layers.Dense(1)])
    >>> units = Units(model)
    >>> [use.ids.tolist() for use in units.read]
    [[0], [1, 2]]
    >>> units.free.tolist()
    [False, True, True, False]
    """

    def __init__(self, model):
        self.made, self.read, self.normalized, self.features = [], [], [], []
        self._parents, self._index, self._size = [DATA], [0], [1]
        self._whole, self._escaped = {DATA}, set()
        self._made_by = {}  # A layer that is called twice makes the same units.
        data = [np.full(_features(tensor), DATA) for tensor in model.inputs]
        for ids in self._run(model, data):
            self._whole.update(ids.tolist())
        self._settle()

    @property
    def points(self):
        return [one for one in self.features if is_nonlinear(one[0].operation)]

    def masks(self, chosen):
        """Where variables make and where they read some units.

        Args:
            chosen: Boolean array over all units.

        Returns:
            Dict of ids of variables to boolean arrays of shape (2, *variable.shape).
        """
        found = {}
        for i, uses in enumerate((self.made + self.normalized, self.read)):
            for use in uses:
                shape = (2, *use.variable.shape)
                mask = found.setdefault(id(use.variable), np.zeros(shape, bool))
                mask[i] |= use.spread(chosen)
        return found

    def _run(self, model, inputs):
        """The units of a model's outputs, from those of its inputs."""
        found = {id(t): ids for t, ids in zip(model.inputs, inputs, strict=True)}
        for node in nodes_in_order(model):
            ids = [found[id(tensor)] for tensor in node.input_tensors]
            results = self._call(node, ids)
            for tensor, out in zip(node.output_tensors, results, strict=True):
                found[id(tensor)] = out
        return [found[id(tensor)] for tensor in model.outputs]

    def _call(self, node, ids):
        layer = node.operation
        if getattr(layer, "outputs", None):  # A model in the model.
            return self._run(layer, ids)
        out = self._result(layer, ids, node.output_tensors[0])
        if out is None:
            for one in ids:
                self._escaped.update(one.tolist())
            unknown = [self._new(_features(t)) for t in node.output_tensors]
            self._whole.update(*(one.tolist() for one in unknown))
            return unknown
        self.features.append((node, out))
        return [out]

    def _result(self, layer, ids, output):
        """The units of what a layer returns, or None where they cannot be told."""
        name, first = kind(layer), ids[0]
        if name in KERNELS:
            return self._kernel(layer, *KERNELS[name], first)
        if isinstance(layer, NORMALIZATIONS):
            return self._normalization(layer, first, len(output.shape))
        if name in ADDITIONS:
            return self._tied(ids)
        if name == "Concatenate":
            last = layer.axis in (-1, len(output.shape) - 1)
            return np.concatenate(ids) if last else self._tied(ids)
        if name == "Flatten":
            # Features are the axis that varies fastest.
            count = _features(output)
            return np.tile(first, count // len(first)) if count else None
        return first if name in PASSING else None

    def _kernel(self, layer, axis_in, axis_out, ids):
        depth = getattr(layer, "depth_multiplier", 1)
        if not isinstance(layer.kernel, keras.Variable) or depth != 1:
            return None
        rank = len(layer.kernel.shape)
        axis_in, axis_out = axis_in % rank, axis_out % rank
        if getattr(layer, "groups", 1) == 1:
            self.read.append(Use(layer.kernel, axis_in, ids))
        else:  # Each group of outputs reads other inputs.
            self._escaped.update(ids.tolist())
        if id(layer) not in self._made_by:
            out = self._made_by[id(layer)] = self._new(layer.kernel.shape[axis_out])
            self.made.append(Use(layer.kernel, axis_out, out))
            if layer.bias is not None:
                self.made.append(Use(layer.bias, 0, out))
        return self._made_by[id(layer)]

    def _normalization(self, layer, ids, rank):
        axes = np.atleast_1d(getattr(layer, "axis", -1)) % rank
        fits = all(tuple(v.shape) in ((len(ids),), ()) for v in layer.weights)
        # Weights along another axis may happen to be as many as the features.
        if not fits or axes.tolist() != [rank - 1]:
            return None
        uses = [Use(v, 0, ids) for v in layer.weights if len(v.shape) == 1]
        self.normalized.extend(uses)
        return ids

    def _tied(self, ids):
        if len({one.shape for one in ids}) > 1:
            return None
        for other in ids[1:]:
            for a, b in zip(ids[0], other, strict=True):
                self._parents[self._root(b)] = self._root(a)
        return ids[0]

    def _new(self, count):
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        self._index.extend(range(count))
        self._size.extend([count] * count)
        return np.arange(start, start + count)

    def _root(self, unit):
        while self._parents[unit] != unit:
            self._parents[unit] = unit = self._parents[self._parents[unit]]
        return unit

    def _settle(self):
        """Gives units that were added up one number."""
        roots = np.array([self._root(unit) for unit in range(len(self._parents))])
        for uses in (self.made, self.read, self.normalized):
            uses[:] = [dataclasses.replace(u, ids=roots[u.ids]) for u in uses]
        self.features = [(node, roots[ids]) for node, ids in self.features]
        self.index, self.size = np.array(self._index), np.array(self._size)
        self.whole = self._among(roots, self._whole)
        measured = {unit for _, ids in self.points for unit in ids.tolist()}
        self.free = self._among(roots, measured) & ~self.whole
        self.free &= ~self._among(roots, self._escaped)

    def _among(self, roots, units):
        chosen = np.zeros(len(roots), bool)
        chosen[roots[list(units)]] = True
        return chosen


def _features(tensor):
    return tensor.shape[-1] if len(tensor.shape) > 1 else 1
