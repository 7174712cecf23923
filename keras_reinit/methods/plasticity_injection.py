"""Plasticity injection: a new head next to the old one; the function stays the same.

    y = h_old(z) + h_new(z) - h_first(z),   h_new = h_first at injection

with h_old and h_first frozen: what the network returns stays as it is, and what learns
from then on is new. Nikishin et al. 2023, "Deep Reinforcement Learning with Plasticity
Injection" (arXiv 2305.15555), for a head of several layers on an encoder z, which goes
on learning. It changes the graph, so it is done between two calls of `fit`, and there
is no callback.

A head without a nonlinearity would gain nothing: a frozen linear layer plus a trained
one is a trained linear layer. So the default head is the smallest one, from the output
down, that has a nonlinearity; of a network with one hidden layer it is all of it.
"""

import keras

from keras_reinit.arguments import check_model, checked_integer
from keras_reinit.copying import (
    check_copy,
    copy_model,
    example_inputs,
    example_outputs,
)
from keras_reinit.distillation.outputs import PROBABILISTIC, Output, check_outputs
from keras_reinit.fresh import fresh_weights
from keras_reinit.graph import blocks
from keras_reinit.graph.layer_graph import nodes_in_order
from keras_reinit.graph.layer_kinds import is_linear
from keras_reinit.network import TRAINING, check_not_overridden, inputs_of


def inject_plasticity(model, seed, encoder_end=None, event=0):
    """Gives a model a new head, which adds zero to the output so far.

    Args:
        model: A built Functional or Sequential `keras.Model` with one output, which is
            no softmax or sigmoid: outputs of heads are added up.
        seed: Integer >= 0, of the new head's weights, see `keras_reinit.fresh_weights`.
        encoder_end: The name of the layer that ends the encoder, see
            `keras_reinit.blocks`; what follows is the head. `None` takes the last
            block after which the head has a nonlinearity, or, if there is none, the
            whole network as the head.
        event: Integer >= 0: another one for another injection.

    Returns:
        A new, uncompiled `keras.Model` that computes the same function. It shares the
        encoder's layers; three heads are its own. Compile it and go on with `fit`.

    Raises:
        ValueError: For a model without a layer graph, with several outputs or a
            softmax, without a nonlinearity, with a head that cannot be copied, or for
            a layer that does not cut it in two.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
    ...     keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    >>> injected = inject_plasticity(model, seed=0)
    >>> x = np.ones((2, 3))
    >>> bool((injected.predict(x, verbose=0) == model.predict(x, verbose=0)).all())
    True
    >>> len(injected.trainable_variables), len(injected.non_trainable_variables)
    (6, 8)
    """
    check_model(model)
    seed, event = checked_integer("seed", seed), checked_integer("event", event)
    _check_model(model)
    features, head = _features_and_head(model, encoder_end)
    fresh = fresh_weights(head, seed, event)
    old, new, first = (_copy(head, name) for name in ("old", "new", "first"))
    for copy in (new, first):
        copy.set_weights(fresh)
    old.trainable = first.trainable = False
    # In this order it is exact: what is added is zero.
    change = keras.layers.Subtract()([new(features), first(features)])
    output = keras.layers.Add()([old(features), change])
    injected = keras.Model(inputs_of(model), output, name=model.name)
    check_copy(model, injected, example_inputs(model))
    return injected


def _features_and_head(model, encoder_end):
    """What the encoder returns, and the rest as a model of the same layers."""
    if encoder_end is None:
        ends = [block.output_layer for block in reversed(blocks(model))]
        candidates = [*(_result(model, layer) for layer in ends), inputs_of(model)]
    else:
        (*_, block) = blocks(model, ends=[encoder_end])
        candidates = [_result(model, block.output_layer)]
    for features in candidates:
        head = keras.Model(features, model.outputs[0])
        linear = all(is_linear(node.operation) for node in nodes_in_order(head))
        if encoder_end is not None or not linear:
            return features, head
    raise ValueError(
        "`model` must have a nonlinearity: a new linear layer next to a linear one "
        f"changes nothing. Received: model={model.name!r}"
    )


def _result(model, layer):
    """What a layer returns in this model; it may be called in other models, too."""
    calls = [node for node in nodes_in_order(model) if node.operation is layer]
    return calls[-1].output_tensors[0]


def _check_model(model):
    nodes_in_order(model)  # Or there is no graph.
    check_not_overridden(
        model, TRAINING, "model", "with another head, it is a plain `keras.Model`"
    )
    if len(model.outputs) > 1 or _returns_probabilities(model):
        raise ValueError(
            "`model` must have one output, and no softmax or sigmoid at its end: heads "
            f"are added up. Received: {model.name!r} with {len(model.outputs)} outputs"
        )


def _returns_probabilities(model):
    value = example_outputs(model)
    logits = [Output("output", kind, from_logits=True) for kind in PROBABILISTIC]
    try:
        for one in logits if value is None or value.shape[-1] > 1 else logits[1:]:
            check_outputs(model, [one], None if value is None else [value])
    except ValueError:
        return True
    return False


def _copy(head, name):
    copy = copy_model(head)
    copy.name = f"{name}_head"
    return copy
