"""WHAT VALUES: fresh initial values for the weights of any built Keras model.

Calling a layer's own initializer again does not do: an initializer keeps its seed
and returns the ORIGINAL weights. Instead each layer is rebuilt from its
configuration, one at a time, with every seed in it replaced by one derived from
(seed, event, position of the layer in the model).
"""

import contextlib
import random

import keras
import numpy as np


def fresh_weights(model, seed, event=0):
    """Draws new initial values for all weights, as a newly built model would.

    The same arguments give the same values in every process, whatever was built
    before; no global random state moves. Adapted statistics of
    `keras.layers.Normalization` are data and come back as they are.

    Args:
        model: A built `keras.Model`.
        seed: Integer >= 0.
        event: Integer >= 0; each event of one seed is an independent draw. The
            re-initialization callbacks use the stage that they open, so 0 is
            free for the first weights.

    Returns:
        List of NumPy arrays, aligned with `model.weights` in shape and dtype.

    Raises:
        ValueError: If the model is not built, or a layer cannot be rebuilt from
            its configuration; the message names the layer.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> kernel, bias = fresh_weights(model, seed=0)
    >>> kernel.shape, bias.tolist()
    ((3, 2), [0.0, 0.0])
    """
    values = {
        id(variable): value
        for _, pairs in fresh_layers(model, seed, event)
        for variable, value in pairs
    }
    return [
        values[id(v)] if id(v) in values else keras.ops.convert_to_numpy(v)
        for v in model.weights
    ]


def reinitialize(model, *, seed, event=0, layers=None):
    """Re-initializes a model, or some of its layers, in place.

    Args:
        model: A built `keras.Model`.
        seed: Integer >= 0, see `fresh_weights`.
        event: Integer >= 0, see `fresh_weights`.
        layers: Names or layers to re-initialize; `None` means all. A layer that
            is re-initialized has the values it would get with `None`.

    Raises:
        ValueError: As `fresh_weights`, and for a name that is no layer.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> old = model.get_weights()[0]
    >>> reinitialize(model, seed=0)
    >>> bool((model.get_weights()[0] == old).any())
    False
    """
    chosen = None if layers is None else _chosen(model, layers)
    for layer, pairs in fresh_layers(model, seed, event):
        if chosen is None or id(layer) in chosen:
            for variable, value in pairs:
                variable.assign(value)


def fresh_layers(model, seed, event=0):
    """Yields `(layer, [(variable, fresh value), ...])`, one layer at a time.

    Only one layer's values exist at once. Each variable comes once, however often
    its layer is shared.
    """
    layers = drawable_layers(model)
    for position, layer in enumerate(layers):
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            yield layer, _fresh_pairs(layer, (seed, event, position))


def drawable_layers(model):
    """The layers that are re-drawn whole: nested models opened, each layer once."""
    if not model.built:
        raise ValueError(
            "`model` must be built before its weights can be re-initialized: give "
            "it an `Input`, or call it once. "
            f"Received: model={model.name!r}, which has no weights yet."
        )
    layers = list({id(layer): layer for layer in _leaves(model)}.values())
    known = {id(v) for layer in layers for v in layer.weights}
    own = [v.path for v in model.weights if id(v) not in known]
    if own:
        raise ValueError(
            "Weights must belong to a layer, so that they can be drawn as that "
            f"layer would. Received: model={model.name!r} with weights of its own, "
            f"{own}; move them into a `keras.layers.Layer`."
        )
    return layers


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _fresh_pairs(layer, entropy):
    rng = np.random.default_rng(entropy)
    with _python_random_seeded(int(rng.integers(2**31))):
        sibling = _sibling(layer, rng)
    old = layer.weights
    if [v.shape for v in old] != [v.shape for v in sibling.weights]:
        raise ValueError(_cannot(layer, "its rebuilt weights have other shapes"))
    return [
        (variable, keras.ops.convert_to_numpy(new))
        for variable, new in zip(old, sibling.weights, strict=True)
    ]


def _sibling(layer, rng):
    try:
        sibling = type(layer).from_config(_reseeded(layer.get_config(), rng))
        if not sibling.built:
            sibling.build_from_config(layer.get_build_config())
    except Exception as error:
        raise ValueError(_cannot(layer, repr(error))) from error
    return sibling


def _cannot(layer, reason):
    return (
        f"Layer {layer.name!r} ({type(layer).__name__}) cannot be rebuilt from its "
        f"configuration, so no fresh weights can be drawn for it: {reason}. Give it "
        "a `get_config()` that returns its constructor's arguments and a `build()` "
        "that makes all its weights."
    )


def _reseeded(config, rng):
    """A copy of a layer's config in which every integer seed is a new one."""
    if isinstance(config, dict):
        return {
            key: int(rng.integers(2**31))
            if key == "seed" and isinstance(value, int)
            else _reseeded(value, rng)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_reseeded(value, rng) for value in config)
    return config


@contextlib.contextmanager
def _python_random_seeded(seed):
    """Keras draws the seeds that are not given from Python's global generator."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _chosen(model, layers):
    known = drawable_layers(model)
    by_name = {layer.name: layer for layer in known}
    chosen = [by_name.get(layer, layer) for layer in layers]
    ids = {id(layer) for layer in known}
    unknown = [layer for layer in chosen if id(layer) not in ids]
    if unknown:
        raise ValueError(
            f"`layers` must be layers of the model, or their names {sorted(by_name)}. "
            f"Received: {unknown}"
        )
    return {id(layer) for layer in chosen}
