"""Plasticity injection: a new head beside the old one; the function stays the same.

    y = h_old(z) + h_new(z) - h_first(z),   h_new = h_first at injection

with h_old and h_first frozen: what the network says stays as it is, and what learns
from then on is new. Nikishin et al. 2023, "Deep Reinforcement Learning with Plasticity
Injection" (arXiv 2305.15555), for a head of several layers on an encoder z, which goes
on learning. It changes the graph, so it is done between two calls of `fit`, and there
is no callback.
"""

import keras

from keras_reinit.arguments import check_model, checked_integer
from keras_reinit.fresh import fresh_weights
from keras_reinit.graph import blocks


def inject_plasticity(model, seed, encoder_end=None, event=0):
    """Gives a model a new head, whose part in the output is zero so far.

    Args:
        model: A built Functional or Sequential `keras.Model` with one output that no
            softmax follows: outputs of heads are added up.
        seed: Integer >= 0, of the new head's weights, see `keras_reinit.fresh_weights`.
        encoder_end: The name of the layer that ends the encoder; by default that of the
            last of `keras_reinit.blocks(model)`, and the head is the output layer.
        event: Integer >= 0: another one for another injection.

    Returns:
        A new, uncompiled `keras.Model` that computes the same function. It shares the
        encoder's layers; three heads are its own. Compile it and go on with `fit`.

    Raises:
        ValueError: For a model without a layer graph, with several outputs or a
        softmax,
            or a layer that does not cut it in two.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4, activation="relu"),
    ...     keras.layers.Dense(1)])
    >>> injected = inject_plasticity(model, seed=0)
    >>> x = np.ones((2, 3))
    >>> bool((injected.predict(x, verbose=0) == model.predict(x, verbose=0)).all())
    True
    >>> len(injected.trainable_variables), len(injected.non_trainable_variables)
    (4, 4)
    """
    check_model(model)
    seed, event = checked_integer("seed", seed), checked_integer("event", event)
    features = _features(model, encoder_end)
    _check_output(model)
    head = keras.Model(features, model.outputs[0])
    fresh = fresh_weights(head, seed, event)
    old = _copy(head, "old", head.get_weights())
    new, first = _copy(head, "new", fresh), _copy(head, "first", fresh)
    old.trainable = first.trainable = False
    # In this order it is exact: what is added is zero.
    change = keras.layers.Subtract()([new(features), first(features)])
    output = keras.layers.Add()([old(features), change])
    return keras.Model(model.inputs, output, name=model.name)


def _features(model, encoder_end):
    if encoder_end is None:
        return blocks(model)[-1].output_layer.output
    return blocks(model, ends=[encoder_end])[-1].output_layer.output


def _check_output(model):
    last = model.outputs[0]._keras_history.operation
    softmax = keras.activations.softmax
    ends = isinstance(last, keras.layers.Softmax) or (
        getattr(last, "activation", None) is softmax
    )
    if ends or len(model.outputs) > 1:
        raise ValueError(
            "`model` must have one output, and no softmax at its end. Received: "
            f"{model.name!r} with {len(model.outputs)} outputs and last {last.name!r}"
        )


def _copy(head, name, values):
    copy = keras.models.clone_model(head)
    copy.name = f"{name}_head"
    copy.set_weights(values)
    return copy
