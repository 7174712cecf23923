"""WHERE: the ordered blocks of a model, and a place for normalization after each."""

import dataclasses
import itertools
import re

from keras_reinit.arguments import check_model
from keras_reinit.graph.block_normalization import BlockNormalization
from keras_reinit.graph.layer_graph import (
    cells,
    cut_at,
    nodes_in_order,
    segments,
    with_layers_after,
)
from keras_reinit.graph.layer_kinds import has_kernel

# Layers and operations alike: a `+` of two tensors is an `Add`, too.
MERGES = ("Add", "Average", "Concatenate", "Maximum", "Multiply")

# How published architectures name the layers of one block: a help where a block
# without a residual connection looks like several.
BLOCK_NAMES = re.compile(
    r"(conv\d+_block\d+|(?:\w+_stage_\d+_)?block_?\d+[a-z]?|expanded_conv(?:_\d+)?"
    r"|conv_(?:dw|pw)_(?P<pair>\d+))(?=_|$)"
)


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive layers of a model; data leaves them through the last one only.

    Attributes:
        layers: Tuple of `keras.layers.Layer`, in the order of the data flow; a
            `keras.ops` operation on tensors, such as `+`, is among them.
    """

    layers: tuple

    @property
    def output_layer(self):
        """The layer through which the data leaves the block."""
        return self.layers[-1]

    @property
    def weights(self):
        """List of the variables of its layers."""
        return [v for layer in self.layers for v in getattr(layer, "weights", [])]

    @property
    def name(self):
        """The name of the block's last layer."""
        return self.output_layer.name


def blocks(model, num_blocks=None, ends=None):
    """Finds the blocks of a model, from its input up, on its layer graph.

    A block ends at a layer that all data passes (so a residual block is one block,
    whatever its layers are called) and holds at least one kernel, with the
    normalization, activation and pooling that belong to it. Neighbours whose names
    say that they are one block (`block2_conv1`, `block2_conv2`) are one. Where each
    part takes the results of the two before, as in NASNet, a block is such a cell.
    What follows the last block, with the output layer, is the head; it is in no
    block. In a model with `BlockNormalization` layers, the blocks are what they end.

    Args:
        model: A Functional or Sequential `keras.Model`.
        num_blocks: Integer in [1, number of blocks], to join neighbours to this many
            blocks (sizes differ by at most one, smaller first: nine blocks of
            ResNet-18 become stem and four stages). `None` keeps them all.
        ends: Names of the layers that end the blocks, bottom up, in place of what
            would be found.

    Returns:
        Tuple of `Block`, bottom up.

    Raises:
        ValueError: If the model has no layer graph, no block, or too few of them, or
            `ends` are no layers of it in the order of the data flow.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(8, name="hidden"),
    ...     keras.layers.ReLU(name="relu"), keras.layers.Dense(2, name="head")])
    >>> [[layer.name for layer in block.layers] for block in blocks(model)]
    [['hidden', 'relu']]
    """
    groups = _groups(model, num_blocks, ends)
    return tuple(Block(tuple(n.operation for n in group)) for group in groups)


def add_block_normalization(model, num_blocks=None, ends=None):
    """Puts a `BlockNormalization`, so far the identity, after each block of a model.

    A graph cannot be edited while it trains; this gives the normalization of
    layer-wise re-initialization its place before training.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        num_blocks: As in `blocks`.
        ends: As in `blocks`.

    Returns:
        A new, uncompiled `keras.Model` that computes the same function with the
        same layers and weights (shared, not copied).

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(8, name="hidden"),
    ...     keras.layers.Dense(2, name="head")])
    >>> [layer.name for layer in add_block_normalization(model).layers][-2:]
    ['block_normalization_1', 'head']
    """
    groups = _groups(model, num_blocks, ends)
    return with_layers_after(
        model,
        {
            id(group[-1]): BlockNormalization(name=f"block_normalization_{i}")
            for i, group in enumerate(groups, 1)
        },
    )


def _groups(model, num_blocks, ends):
    """The nodes of each block."""
    check_model(model)
    nodes = nodes_in_order(model)
    if ends is not None:
        return _joined(model, _split_at_ends(nodes, ends)[:-1], num_blocks)
    marked = any(isinstance(node.operation, BlockNormalization) for node in nodes)
    groups = _split_at_marks(nodes) if marked else _split_at_kernels(nodes)
    return _joined(model, groups[:-1], num_blocks)


def _split_at_kernels(nodes):
    groups, waiting, previous = [], [], None
    for segment in _segments_or_cells(nodes):
        if any(has_kernel(node.operation) for node in segment):
            groups.append(waiting + segment)
            waiting = []
        elif not groups or waiting or _opens_a_block(segment, previous):
            waiting += segment
        else:
            groups[-1] += segment
        previous = segment[-1].operation
    if groups:
        groups[-1] += waiting
    return _joined_by_name(groups)


def _segments_or_cells(nodes):
    kernels = sum(has_kernel(node.operation) for node in nodes)
    for segment in segments(nodes):
        inside = sum(has_kernel(node.operation) for node in segment)
        # Hardly any place that all data passes: more than one tensor is carried on.
        yield from cells(segment) if inside > max(20, kernels / 2) else [segment]


def _joined_by_name(groups):
    """Joins neighbours of one block by name; the last group, the head, stays."""
    found = []
    for group in groups[:-1]:
        name = _block_name(group)
        if found and name is not None and name == _block_name(found[-1]):
            found[-1] += group
        else:
            found.append(group)
    return found + groups[-1:]


def _block_name(group):
    """What the names of all layers with kernels in a group agree on, or None."""
    names = [n.operation.name for n in group if has_kernel(n.operation)]
    matches = [BLOCK_NAMES.match(name) for name in names]
    found = {m and (m["pair"] or m[1]) for m in matches}
    return found.pop() if len(found) == 1 else None


def _split_at_ends(nodes, ends):
    by_name = {node.operation.name: node for node in nodes}
    ends = list(ends) if isinstance(ends, (list, tuple)) else [ends]
    unknown = [one for one in ends if not isinstance(one, str) or one not in by_name]
    groups = [] if unknown else cut_at(nodes, [by_name[name] for name in ends])
    if unknown or not all(groups):
        raise ValueError(
            "`ends` must be names of layers below the output layer, in the order of "
            f"the data flow, of {list(by_name)}. Received: ends={ends}"
        )
    return groups


def _opens_a_block(segment, previous):
    """Whether a segment without a kernel belongs to the kernel after it.

    So do pooling or flattening to a lower rank, and normalization right after a
    merge (pre-activation); an activation there belongs to what was merged.
    """
    first, last = segment[0], segment[-1]
    lowers = len(last.output_tensors[0].shape) < len(first.input_tensors[0].shape)
    return lowers or (
        type(previous).__name__ in MERGES and _has_weights(first.operation)
    )


def _split_at_marks(nodes):
    groups = [[]]
    for node in nodes:
        groups[-1].append(node)
        if isinstance(node.operation, BlockNormalization):
            groups.append([])
    return groups


def _has_weights(operation):
    return bool(getattr(operation, "weights", []))  # A `+` has none.


def _joined(model, found, num_blocks):
    if not found:
        raise ValueError(
            "`model` must have a block below its output layer. "
            f"Received: model={model.name!r}, with a single layer that has a kernel."
        )
    if num_blocks is None:
        return found
    if isinstance(num_blocks, bool) or num_blocks not in range(1, len(found) + 1):
        raise ValueError(
            f"`num_blocks` must be an integer in [1, {len(found)}], the blocks of "
            f"{model.name!r}. Received: num_blocks={num_blocks!r}"
        )
    cuts = [len(found) * i // num_blocks for i in range(num_blocks + 1)]
    return [
        [node for group in found[low:high] for node in group]
        for low, high in itertools.pairwise(cuts)
    ]
