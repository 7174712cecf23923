"""The results of all layers for some inputs, one call after another."""

import collections

import keras

from keras_reinit.graph.layer_graph import nodes_in_order


def run(model, inputs, visit):
    """Computes what a model returns, outside of training, layer by layer.

    A result is kept only until the last call that takes it.

    Args:
        model: A Functional or Sequential model.
        inputs: What the model takes.
        visit: Function of a call, the list of tensors that it took and what it
        returned;
            calls inside of models inside come first.

    Returns:
        List of tensors, the model's outputs.
    """
    nodes = nodes_in_order(model)
    wanted = collections.Counter(
        id(tensor)
        for tensors in (*(node.input_tensors for node in nodes), model.outputs)
        for tensor in tensors
    )
    flat = keras.tree.flatten(inputs)
    values = {id(t): v for t, v in zip(model.inputs, flat, strict=True)}
    for node in nodes:
        taken = [values[id(tensor)] for tensor in node.input_tensors]
        results = _call(node, taken, values, visit)
        visit(node, taken, results)
        values.update(
            (id(t), v) for t, v in zip(node.output_tensors, results, strict=True)
        )
        for tensor in node.input_tensors:
            wanted[id(tensor)] -= 1
            if not wanted[id(tensor)]:
                values.pop(id(tensor), None)
    return [values[id(tensor)] for tensor in model.outputs]


def _call(node, taken, values, visit):
    if getattr(node.operation, "outputs", None):  # A model in the model.
        return run(node.operation, taken, visit)
    args, kwargs = node.arguments.fill_in(values)
    return keras.tree.flatten(node.operation(*args, **kwargs))
