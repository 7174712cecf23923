"""The layer graph of a model: its calls in order, and where it can be cut."""

import collections

import keras

from keras_reinit.graph.layer_kinds import has_kernel
from keras_reinit.keras_internals import call_of
from keras_reinit.network import CALLS, TRAINING, check_not_overridden, overridden


def nodes_in_order(model):
    """The calls of layers that lead to the model's output, producers first."""
    if not getattr(model, "outputs", None) or overridden(model, CALLS):
        raise ValueError(
            "`model` must be a built Functional or Sequential model without a `call` "
            "of its own, so that its blocks can be read off its layer graph. "
            f"Received: model={model!r}"
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
            stack.extend((producer, False) for producer in producers(node))
    return [node for node in order if not node.is_input]


def output_layers(model):
    """Returns the head: from the last layer with a kernel to each output.

    All layers with weights between the two belong to it, such as normalization and
    scales. A model inside the model is opened.

    Returns:
        List of layers, each of them once.
    """
    nodes_in_order(model)  # Or there is no graph.
    return _head(model.outputs)[0]


def _head(outputs):
    """Returns the layers of the head, and the inputs that reach it past no kernel."""
    found, reached, seen, waiting = {}, [], set(), list(outputs)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        node, position = call_of(tensor)
        layer = node.operation
        if node.is_input:
            reached.append(tensor)
        elif getattr(layer, "outputs", None):  # A model in the model.
            inside, through = _head([layer.outputs[position]])
            found |= {id(one): one for one in inside}
            taken = zip(layer.inputs, node.input_tensors, strict=True)
            waiting += [t for own, t in taken if any(own is one for one in through)]
        else:
            if getattr(layer, "weights", None):
                found[id(layer)] = layer
            if not has_kernel(layer):
                waiting += node.input_tensors
    return list(found.values()), reached


def producers(node):
    """The calls whose results a call takes."""
    return [] if node.is_input else [_node(tensor) for tensor in node.input_tensors]


def segments(nodes):
    """Cuts the calls wherever no edge jumps over one: all data passes there."""
    position = {id(node): i for i, node in enumerate(nodes)}
    last_use = [0] * len(nodes)
    for i, node in enumerate(nodes):
        for producer in producers(node):
            if id(producer) in position:
                last_use[position[id(producer)]] = i
    found, current, reach = [], [], 0
    for i, node in enumerate(nodes):
        current.append(node)
        if reach <= i:
            found.append(current)
            current = []
        reach = max(reach, last_use[i])
    return found + ([current] if current else [])


def cells(nodes):
    """Cuts calls that each take the results of the two cells before, as NASNet's do.

    A cell ends where three or more results are concatenated and only that and one
    other are still needed after it.
    """
    before = _ancestors(nodes)
    everything = before[id(nodes[-1])] | {id(nodes[-1])}
    ends = []
    for node in nodes:
        inside = before[id(node)] | {id(node)}
        carried = {
            id(producer)
            for other in nodes
            if id(other) in everything - inside
            for producer in producers(other)
            if id(producer) in inside
        }
        joins = isinstance(node.operation, keras.layers.Concatenate)
        if (
            joins
            and len(producers(node)) > 2
            and len(carried) <= 2
            and id(node) in carried
        ):
            ends.append(node)
    return cut_at(nodes, ends)


def cut_at(nodes, ends):
    """Cuts calls after each of `ends`: what leads to one and to none before it."""
    before = _ancestors(nodes)
    groups, taken = [], set()
    for end in ends:
        inside = (before[id(end)] | {id(end)}) - taken
        groups.append([node for node in nodes if id(node) in inside])
        taken |= inside
    return [*groups, [node for node in nodes if id(node) not in taken]]


def with_layers_after(model, layers):
    """A new model of the same layers, with others put in.

    Args:
        model: A Functional or Sequential model.
        layers: Dict of ids of calls, of `nodes_in_order`, to the layer that takes the
            result of the call on to those that took it.
    """
    nodes = nodes_in_order(model)
    check_not_overridden(
        model, TRAINING, "model", "with layers added, it is a plain `keras.Model`"
    )
    # Of a layer that is called several times, only the call that is meant counts.
    marks = {_call(nodes, n): layers[id(n)] for n in nodes if id(n) in layers}
    calls = collections.Counter()

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        calls[layer.name] += 1
        follower = marks.get((layer.name, calls[layer.name]))
        return outputs if follower is None else follower(outputs)

    functional = keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.models.clone_model(
        functional, clone_function=lambda layer: layer, call_function=call
    )


def _call(nodes, node):
    """The name of a node's layer, and which of the layer's calls it is."""
    same = [other for other in nodes if other.operation is node.operation]
    return node.operation.name, same.index(node) + 1


def _ancestors(nodes):
    """The ids of the calls that lead to each call, by the id of it."""
    before = {}
    for node in nodes:
        known = [p for p in producers(node) if id(p) in before]
        before[id(node)] = {id(p) for p in known}.union(*(before[id(p)] for p in known))
    return before


def _node(tensor):
    node, _ = call_of(tensor)
    return node
