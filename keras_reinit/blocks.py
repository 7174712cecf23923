"""WHERE: the ordered blocks of a model, and a place for normalization after each."""

import collections
import dataclasses
import itertools

import keras

from keras_reinit.block_normalization import BlockNormalization

MERGES = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Concatenate,
    keras.layers.Maximum,
    keras.layers.Multiply,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive layers of a model; data leaves them through the last one only.

    Attributes:
        layers: Tuple of `keras.layers.Layer`, in the order of the data flow.
    """

    layers: tuple

    @property
    def output_layer(self):
        """The layer through which the data leaves the block."""
        return self.layers[-1]

    @property
    def name(self):
        """The name of the block's last layer."""
        return self.output_layer.name


def blocks(model, num_blocks=None):
    """Finds the blocks of a model, from its input up, on its layer graph.

    A block ends at a layer that all data passes (so a residual block is one block,
    whatever its layers are called) and holds at least one kernel, with the
    normalization, activation and pooling that belong to it. What follows the last
    block, with the output layer, is the head; it is in no block. In a model with
    `BlockNormalization` layers, the blocks are what they end.

    Args:
        model: A Functional or Sequential `keras.Model`.
        num_blocks: Integer in [1, number of blocks], to join neighbours to this many
            blocks (sizes differ by at most one, smaller first: nine blocks of
            ResNet-18 become stem and four stages). `None` keeps them all.

    Returns:
        Tuple of `Block`, bottom up.

    Raises:
        ValueError: If the model has no layer graph, no block, or too few of them.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(8, name="hidden"),
    ...     keras.layers.ReLU(name="relu"), keras.layers.Dense(2, name="head")])
    >>> [[layer.name for layer in block.layers] for block in blocks(model)]
    [['hidden', 'relu']]
    """
    groups = _groups(model, num_blocks)
    return tuple(Block(tuple(n.operation for n in group)) for group in groups)


def add_block_normalization(model, num_blocks=None):
    """Puts a `BlockNormalization`, so far the identity, after each block of a model.

    A graph cannot be edited while it trains; this gives the normalization of
    layer-wise re-initialization its place before training.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        num_blocks: As in `blocks`.

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
    groups = _groups(model, num_blocks)
    nodes = _nodes_in_order(model)
    # Of a layer that is called several times, only the call that ends a block counts.
    ends = {_call(nodes, group[-1]): i for i, group in enumerate(groups, 1)}
    calls = collections.Counter()

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        calls[layer.name] += 1
        end = ends.get((layer.name, calls[layer.name]))
        if end is None:
            return outputs
        return BlockNormalization(name=f"block_normalization_{end}")(outputs)

    functional = keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.models.clone_model(
        functional, clone_function=lambda layer: layer, call_function=call
    )


def _groups(model, num_blocks):
    """The nodes of each block."""
    nodes = _nodes_in_order(model)
    marked = any(isinstance(node.operation, BlockNormalization) for node in nodes)
    groups = _split_at_marks(nodes) if marked else _split_at_kernels(nodes)
    return _joined(model, groups[:-1], num_blocks)


def _call(nodes, node):
    """The name of a node's layer, and which of the layer's calls it is."""
    same = [other for other in nodes if other.operation is node.operation]
    return node.operation.name, same.index(node) + 1


def _nodes_in_order(model):
    """The calls of layers that lead to the model's output, producers first."""
    if not getattr(model, "outputs", None):
        raise ValueError(
            "`model` must be a built Functional or Sequential model, so that its "
            f"blocks can be read off its layer graph. Received: model={model!r}"
        )
    order, seen = [], set()
    stack = [(_node(tensor), False) for tensor in model.outputs]
    while stack:
        node, entered = stack.pop()
        if entered:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((_node(t), False) for t in _inputs(node))
    return [node for node in order if not node.is_input]


def _node(tensor):
    layer, index, _ = tensor._keras_history
    return layer._inbound_nodes[index]


def _inputs(node):
    return [] if node.is_input else node.input_tensors


def _segments(nodes):
    """Cuts the graph wherever no edge jumps over a node: all data passes there."""
    position = {id(node): i for i, node in enumerate(nodes)}
    segments, current, reach = [], [], 0
    last_use = [0] * len(nodes)
    for i, node in enumerate(nodes):
        for tensor in _inputs(node):
            producer = position.get(id(_node(tensor)))
            if producer is not None:
                last_use[producer] = i
    for i, node in enumerate(nodes):
        current.append(node)
        if reach <= i:
            segments.append(current)
            current = []
        reach = max(reach, last_use[i])
    return segments + ([current] if current else [])


def _split_at_kernels(nodes):
    groups, waiting, previous = [], [], None
    for segment in _segments(nodes):
        if any(_has_kernel(node.operation) for node in segment):
            groups.append(waiting + segment)
            waiting = []
        elif not groups or waiting or _opens_a_block(segment, previous):
            waiting += segment
        else:
            groups[-1] += segment
        previous = segment[-1].operation
    if groups:
        groups[-1] += waiting
    return groups


def _opens_a_block(segment, previous):
    """Whether a segment without a kernel belongs to the kernel after it.

    So do pooling or flattening to a lower rank, and normalization right after a
    merge (pre-activation); an activation there belongs to what was merged.
    """
    first, last = segment[0], segment[-1]
    lowers = len(last.output_tensors[0].shape) < len(first.input_tensors[0].shape)
    return lowers or (isinstance(previous, MERGES) and bool(first.operation.weights))


def _split_at_marks(nodes):
    groups = [[]]
    for node in nodes:
        groups[-1].append(node)
        if isinstance(node.operation, BlockNormalization):
            groups.append([])
    return groups


def _has_kernel(layer):
    return any(len(variable.shape) > 1 for variable in layer.weights)


def _joined(model, found, num_blocks):
    if not found:
        raise ValueError(
            "`model` must have a block below its output layer. "
            f"Received: model={model.name!r}, with a single layer that has a kernel."
        )
    if num_blocks is None:
        return found
    if num_blocks not in range(1, len(found) + 1):
        raise ValueError(
            f"`num_blocks` must be an integer in [1, {len(found)}], the blocks of "
            f"{model.name!r}. Received: num_blocks={num_blocks!r}"
        )
    cuts = [len(found) * i // num_blocks for i in range(num_blocks + 1)]
    return [
        [node for group in found[low:high] for node in group]
        for low, high in itertools.pairwise(cuts)
    ]
