"""How each weight of a built model is first drawn, found without drawing anything.

Calling a layer's own initializer again does not do: an initializer keeps its seed
and returns the ORIGINAL weights. So each layer is rebuilt from its configuration,
in a scope where Keras creates variables without values; what their initializers are
is all that is wanted. A draw then clones one initializer with a new seed. Where a
layer's initial values are more than that (an LSTM's bias), it is rebuilt in full.
"""

import contextlib
import fnmatch
import functools
import inspect
import random

import keras
import numpy as np
from keras.src.backend.common import global_state

# What such a layer learned from data with `adapt` is not an initial value.
DATA_LAYERS = (keras.layers.Normalization,)


class Recipe:
    """The weights of one layer, with the initializer of each.

    Attributes:
        layer: The `keras.layers.Layer`.
        weights: List of pairs of a variable and its initializer; `None` in place of
            it says that only a rebuilt layer has the value.
    """

    def __init__(self, layer, weights):
        self.layer = layer
        self.weights = weights

    def draws(self, entropy):
        """Yields pairs of a variable and a function that draws its fresh value."""
        rebuilt = functools.cache(lambda: _rebuilt(self.layer, entropy))
        for i, (variable, initializer) in enumerate(self.weights):
            if initializer is None:
                yield variable, lambda v=variable: rebuilt()[id(v)]
            else:
                draw = functools.partial(_draw, initializer, variable, (*entropy, i))
                yield variable, draw


def find_recipes(model, initializers=None):
    """Finds how to draw each weight of a model.

    Args:
        model: A built `keras.Model`.
        initializers: Dict of patterns of variable paths, such as `"scale/*"`, to
            Keras initializers, which go before what the layers say.

    Returns:
        List of `Recipe`, in the order of the layers, each weight in one of them.

    Raises:
        ValueError: If the model is not built, a weight cannot be drawn, or a pattern
            fits none.
    """
    if not model.built:
        raise ValueError(
            "`model` must be built before its weights can be re-initialized: give "
            "it an `Input`, or call it once. "
            f"Received: model={model.name!r}, which has no weights yet."
        )
    chosen = _chosen(model, initializers or {})
    found, known = [], set()
    for layer, weights in _units(model, chosen):
        new = [(v, how) for v, how in weights if id(v) not in known]
        known.update(id(v) for v, _ in new)
        if new:
            found.append(Recipe(layer, new))
    return found


def _chosen(model, initializers):
    """The initializers given by the user, by the id of the weight."""
    chosen = {}
    for pattern, initializer in initializers.items():
        fitting = [v for v in model.weights if fnmatch.fnmatchcase(v.path, pattern)]
        if not fitting:
            raise ValueError(
                "`initializers` must have patterns of the paths of weights, "
                f"{[v.path for v in model.weights]}. Received: {pattern!r}"
            )
        chosen.update({id(v): keras.initializers.get(initializer) for v in fitting})
    return chosen


def _units(layer, chosen):
    """Yields the layers that are drawn whole, with the initializers of their weights.

    Models are opened. So is a layer that cannot be rebuilt and is but a container:
    then its parts are what a newly built one would consist of.
    """
    weights = layer.weights
    if not weights or isinstance(layer, DATA_LAYERS):
        return
    if all(id(v) in chosen for v in weights):
        yield layer, [(v, chosen[id(v)]) for v in weights]
        return
    reason = "a model's own weights are in none of its layers"
    if not isinstance(layer, keras.Model):
        try:
            found, data = _initializers(layer), _data(layer)
            yield (
                layer,
                [(v, chosen.get(id(v), h)) for v, h in found if id(v) not in data],
            )
            return
        except CannotRebuild as error:
            reason = str(error)
    parts = layer._flatten_layers(include_self=False, recursive=False)
    parts = list({id(part): part for part in parts}.values())
    inside = {id(v) for part in parts for v in part.weights}
    own = [v for v in weights if id(v) not in inside]
    unknown = [v.path for v in own if id(v) not in chosen]
    if unknown:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be rebuilt from "
            f"its configuration, so no fresh weights can be drawn for {unknown}: "
            f"{reason}. Say how they are drawn with `initializers={{"
            f"{unknown[0]!r}: 'glorot_uniform', ...}}`, or give the layer a "
            "`get_config()` that returns its constructor's arguments and a `build()` "
            "that makes all its weights."
        )
    yield layer, [(v, chosen[id(v)]) for v in own]
    for part in parts:
        yield from _units(part, chosen)


def _data(layer):
    """The ids of what layers inside of a layer learned from data."""
    inside = [part for part in layer._flatten_layers() if isinstance(part, DATA_LAYERS)]
    return {id(v) for part in inside for v in part.weights}


class CannotRebuild(Exception):
    """A layer's configuration does not give the same layer again."""


def _initializers(layer):
    """The initializer of each weight; `None` where that is not the whole story."""
    if any(
        getattr(part, "quantization_mode", None) for part in layer._flatten_layers()
    ):
        raise CannotRebuild("its weights are quantized, and are not what was drawn")
    try:
        with _deferred() as scope:
            new = _sibling(layer, np.random.default_rng(0)).weights
            hows = [
                None if scope.get_current_value(v) is not None else v._initializer
                for v in new
            ]
    except Exception:  # Not all layers can be built without values.
        hows = [None] * len(layer.weights)
    if all(isinstance(how, keras.initializers.Initializer) for how in hows):
        return list(zip(layer.weights, hows, strict=True))
    _rebuilt(layer, (0,))  # What cannot be rebuilt is found now.
    return [(v, None) for v in layer.weights]


def _rebuilt(layer, entropy):
    """The weights of a newly built layer, by the ids of the old ones."""
    try:
        new = _sibling(layer, np.random.default_rng(entropy)).weights
    except Exception as error:
        raise CannotRebuild(repr(error)) from error
    return {
        id(v): keras.ops.convert_to_tensor(value)
        for v, value in zip(layer.weights, new, strict=True)
    }


def _sibling(layer, rng):
    with _seeded(rng), keras.saving.custom_object_scope(_objects_of(layer)):
        sibling = type(layer).from_config(_reseeded(layer.get_config(), rng))
        if not sibling.built:
            sibling.build_from_config(layer.get_build_config())
    old, new = (
        [(tuple(v.shape), v.dtype) for v in one.weights] for one in (layer, sibling)
    )
    if old != new:
        raise CannotRebuild(f"it has the weights {old}, rebuilt {new}")
    return sibling


def _objects_of(layer):
    """The layer's initializers, activations and so on, registered or not."""
    layers = layer._flatten_layers()
    found = (value for one in layers for value in vars(one).values() if callable(value))
    objects = (v if inspect.isfunction(v) else type(v) for v in found)
    return {v.__name__: v for v in objects if not v.__module__.startswith("keras.")}


def _draw(initializer, variable, entropy):
    rng = np.random.default_rng(entropy)
    shape, dtype = tuple(variable.shape), variable.dtype
    if isinstance(initializer, keras.initializers.Initializer):
        config = _reseeded(initializer.get_config(), rng)
        initializer = type(initializer).from_config(config)
        if type(initializer).__module__.startswith("keras."):
            return initializer(shape, dtype=dtype)  # Its seed is all it depends on.
    with _seeded(rng):
        return initializer(shape, dtype=dtype)


def _reseeded(config, rng):
    """A copy of a config in which every seed is a new one, `None` included."""
    if isinstance(config, dict):
        return {
            key: int(rng.integers(2**31))
            if key == "seed" and (value is None or isinstance(value, int))
            else _reseeded(value, rng)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_reseeded(value, rng) for value in config)
    return config


@contextlib.contextmanager
def _seeded(rng):
    """Seeds Python's, NumPy's and Keras' global generators, and puts them back."""
    seed = int(rng.integers(2**31))
    states = random.getstate(), np.random.get_state()
    generator = global_state.get_global_attribute("global_seed_generator")
    random.seed(seed)
    np.random.seed(seed)
    new = keras.random.SeedGenerator(seed)
    global_state.set_global_attribute("global_seed_generator", new)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        global_state.set_global_attribute("global_seed_generator", generator)


@contextlib.contextmanager
def _deferred():
    """A scope in which new variables have an initializer and no value."""
    waiting = global_state.get_global_attribute("uninitialized_variables", [])
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)
