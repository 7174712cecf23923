"""WHAT VALUES: fresh initial values for the weights of any built Keras model."""

import collections.abc
import random

import keras
import numpy as np

from keras_reinit.arguments import check_choice, check_model, checked_integer
from keras_reinit.fresh.recipes import data_of, find_recipes
from keras_reinit.keras_internals import flatten_layers

MODES = ("fresh", "rewind")


def fresh_weights(model, seed, event=0, *, initializers=None):
    """Draws new initial values for all weights, as a newly built model would.

    The same arguments give the same values in every process, whatever was built
    before; no global random state moves. Initializers that are not Keras' are tried:
    one that hides a seed, or draws from a generator that has none (TensorFlow's,
    PyTorch's, one in a closure), is refused, as is a trained table of more than two
    different numbers, which looks the same: `keras.initializers.Constant` says that it
    is meant. (One or two different numbers count as meant.) While they run, other
    threads that use Python's or NumPy's generator see the seeded one.
    float32 weights of Keras' random initializers (normal, uniform, variance scaling)
    also get the same values on every backend, but for layers that have to be rebuilt
    in full, such as an LSTM. Adapted statistics of `keras.layers.Normalization` are
    data and come back as they are. Values given to a constructor, as in
    `Embedding(weights=...)`, are not in its configuration: such a weight is drawn as
    its initializer says. A layer that cannot be rebuilt but only contains others is
    opened, and so is a model: what its `build` or constructor did to the values of its
    parts is not done again.

    Args:
        model: A built `keras.Model`.
        seed: Integer >= 0.
        event: Integer >= 0; each event of one seed is an independent draw. The
            re-initialization callbacks use the stage that they open, so 0 is
            free for the first weights.
        initializers: Dict of patterns of weight paths to initializers, such as
            `{"scale/*": "ones"}`; needed only for weights of layers that cannot be
            rebuilt from their configuration.

    Returns:
        List of NumPy arrays, aligned with `model.weights` in shape and dtype.

    Raises:
        ValueError: If the model is not built, a layer cannot be rebuilt from its
            configuration, or its values would not follow the seed; the message names
            the layer.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> kernel, bias = fresh_weights(model, seed=0)
    >>> kernel.shape, bias.tolist()
    ((3, 2), [0.0, 0.0])
    """
    recipes = find_recipes(model, initializers)
    seed, event = checked_integer("seed", seed), checked_integer("event", event)
    draws = {id(v): draw for v, draw in fresh_draws(recipes, seed, event)}
    return [
        keras.ops.convert_to_numpy(draws[id(v)]() if id(v) in draws else v)
        for v in model.weights
    ]


def reinitialize(
    model,
    *,
    seed=None,
    event=0,
    layers=None,
    mode="fresh",
    first_weights=None,
    initializers=None,
):
    """Re-initializes a model, or some of its layers, in place.

    One variable is drawn at a time; a compiled training step stays compiled.

    Args:
        model: A built `keras.Model`.
        seed: Integer >= 0, see `fresh_weights`, or `None` for one from Python's
            generator, which `keras.utils.set_random_seed` sets.
        event: Integer >= 0, see `fresh_weights`.
        layers: Names or layers to re-initialize, at any depth; `None` means all. A
            layer that is re-initialized has the values it would get with `None`.
        mode: `"fresh"` draws new weights; `"rewind"` returns to `first_weights`.
        first_weights: List of arrays, `model.get_weights()` of the moment to return
            to; Keras does not remember it.
        initializers: See `fresh_weights`.

    Raises:
        ValueError: As `fresh_weights`, for a name that is no layer or that several
            have, and for `mode="rewind"` without fitting `first_weights`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> first = model.get_weights()
    >>> reinitialize(model, seed=0)
    >>> bool((model.get_weights()[0] == first[0]).any())
    False
    >>> reinitialize(model, mode="rewind", first_weights=first)
    >>> bool((model.get_weights()[0] == first[0]).all())
    True
    """
    check_model(model)
    check_choice("mode", mode, MODES)
    chosen = None if layers is None else _variables(model, layers)
    if mode == "rewind":
        draws = _first_values(model, first_weights)
    else:
        seed = random.randrange(2**31) if seed is None else seed
        seed, event = checked_integer("seed", seed), checked_integer("event", event)
        draws = fresh_draws(find_recipes(model, initializers, chosen), seed, event)
    for variable, draw in draws:
        if chosen is None or id(variable) in chosen:
            variable.assign(draw())


def fresh_draws(recipes, seed, event=0):
    """Yields pairs of a variable and a function that draws its fresh value.

    The values are NumPy arrays. What is not asked for costs nothing, and only one
    value need exist at a time.

    Args:
        recipes: Of `keras_reinit.fresh.recipes.find_recipes`; found once, used at each
            event.
        seed: See `fresh_weights`.
        event: See `fresh_weights`.
    """
    for position, recipe in enumerate(recipes):
        yield from recipe.draws((seed, event, position))


def _first_values(model, first_weights):
    """Pairs of a variable and a function that returns its first value."""
    shapes = [tuple(v.shape) for v in model.weights]
    first = first_weights if isinstance(first_weights, (list, tuple)) else ()
    given = [np.shape(value) for value in first]
    if shapes != given:
        raise ValueError(
            "`first_weights` must be the `model.get_weights()` to return to, arrays of "
            f"shapes {shapes}. Received: shapes {given}"
        )
    data = data_of(model)
    for variable, value in zip(model.weights, first, strict=True):
        if id(variable) not in data:
            yield variable, lambda value=value: value


def _variables(model, layers):
    """The ids of the weights of the given layers."""
    if isinstance(layers, str) or not isinstance(layers, collections.abc.Iterable):
        raise ValueError(
            f"`layers` must be a list of layers or names. Received: layers={layers!r}"
        )
    known = flatten_layers(model, include_self=False)
    known = list({id(layer): layer for layer in known}.values())
    by_name = collections.defaultdict(list)
    for layer in known:
        by_name[layer.name].append(layer)
    ids = set()
    for one in layers:
        same = [layer for layer in known if layer is one]
        found = by_name.get(one, []) if isinstance(one, str) else same
        if len(found) != 1:
            raise ValueError(
                "`layers` must be layers of the model, or names of exactly one layer, "
                f"of {sorted(by_name)}. Received: {one!r}, which {len(found)} have"
            )
        ids.update(id(v) for v in found[0].weights)
    return ids
