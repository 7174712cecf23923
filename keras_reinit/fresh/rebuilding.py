"""How a layer's weights are first drawn, from a twin built from its configuration.

The twin is built in a scope where Keras creates variables without values: which
initializer each of them waits for is all that is wanted. Where initial values are more
than initializers (an LSTM's forget bias), the twin is built in full.
"""

import inspect

import keras
import numpy as np

from keras_reinit.fresh.drawing import is_of_keras, like, with_new_seeds
from keras_reinit.fresh.sandbox import bit_generator, sandbox
from keras_reinit.keras_internals import (
    attributes_of,
    flatten_layers,
    forget_value,
    initializer_of,
    settings_of,
)

# A layer's arguments of these kinds are compared with those of its twin.
PLAIN = (bool, int, float, str, np.ndarray, type(None))


class CannotRebuild(ValueError):
    """A layer's configuration does not give the same layer again."""


def initializers_of(layer):
    """Finds the initializer of each weight, without drawing anything.

    Returns:
        List of pairs of a variable and its initializer; of a variable and `None` if
        only `rebuilt` has the values.

    Raises:
        CannotRebuild: If there is no way to tell.
    """
    if any(getattr(part, "quantization_mode", None) for part in flatten_layers(layer)):
        raise CannotRebuild("its weights are quantized, and are not what was drawn")
    try:
        found = _waiting_for(layer)
    except Exception:  # Not all layers can be built without values.
        found = [None]
    if None in found:
        _check_names(layer)
        rebuilt(layer, (0,))  # What cannot be rebuilt is found now.
        found = [None] * len(layer.weights)
    return list(zip(layer.weights, found, strict=True))


def is_all_of_keras(layer):
    """Whether no code but Keras' takes part in a layer."""
    parts = flatten_layers(layer)
    return all(is_of_keras(type(part)) for part in parts) and not objects_of(layer)


def rebuilt(layer, key):
    """The weights of a newly built twin, by the ids of the layer's own."""
    try:
        with sandbox(key, numpy=not is_all_of_keras(layer)):
            twin = _twin(layer, np.random.Generator(bit_generator(key)))
            values = [keras.ops.convert_to_numpy(v) for v in twin.weights]
    except CannotRebuild:
        raise
    except Exception as error:
        raise CannotRebuild(repr(error)) from error
    _give_memory_back(twin, layer)
    return {id(v): value for v, value in zip(layer.weights, values, strict=True)}


def _give_memory_back(twin, layer):
    """Layers are cycles of references: else it would wait for a garbage collection."""
    kept = {id(v) for v in layer.variables}
    for variable in twin.weights:
        if id(variable) in kept:  # A configuration may hand on what is the user's.
            continue
        forget_value(variable)


def _waiting_for(layer):
    """The initializer of each weight; None if only a rebuilt layer has the value."""
    found = _initializers(layer, (0,))
    if is_all_of_keras(layer):
        return found
    # What `build` computes for an initializer of its own is not in a configuration.
    other = _initializers(layer, (1,))
    return [
        one if one is two or _are_alike(one, two) else None
        for one, two in zip(found, other, strict=True)
    ]


def _initializers(layer, key):
    seeds = np.random.Generator(bit_generator(key))
    with (
        sandbox(key, numpy=not is_all_of_keras(layer)),
        keras.StatelessScope(initialize_variables=False) as scope,
    ):
        twin = _twin(layer, seeds)
        found = [
            None if scope.get_current_value(v) is not None else initializer_of(v)
            for v in twin.weights
        ]
    return [_of_the_layer(initializer, layer, twin) for initializer in found]


def _of_the_layer(initializer, layer, twin):
    """The layer's own object: a configuration need not tell all of it."""
    pairs = zip(flatten_layers(layer), flatten_layers(twin), strict=True)
    for old, new in pairs:
        for name, value in vars(new).items():
            if value is initializer and callable(vars(old).get(name)):
                return vars(old)[name]
    known = isinstance(initializer, keras.initializers.Initializer)
    return initializer if known else None


def _are_alike(one, other):
    """Whether two initializers are the same but for their seeds."""
    first, second = settings_of(one), settings_of(other)
    return (
        type(one) is type(other)
        and first.keys() == second.keys()
        and all(np.array_equal(first[k], second[k]) for k in first)
    )


def _twin(layer, seeds):
    with keras.saving.custom_object_scope(by_name(objects_of(layer))):
        own = layer.get_config()
        config = _reseeded(own, seeds, is_of_keras(type(layer)))
        functions = {k: v for k, v in vars(layer).items() if inspect.isfunction(v)}
        # Keras reads a lambda's configuration back only in part.
        config.update({k: v for k, v in functions.items() if k in config})
        twin = type(layer).from_config(config)
        if not twin.built:
            twin.build_from_config(layer.get_build_config())
    _check_twin(layer, twin)
    return twin


def _check_twin(layer, twin):
    if {id(v) for v in layer.weights} & {id(v) for v in twin.weights}:
        raise CannotRebuild("its configuration hands on layers that it already has")
    old, new = (
        [(tuple(v.shape), v.dtype) for v in one.weights] for one in (layer, twin)
    )
    if old != new:
        raise CannotRebuild(f"it has the weights {old}, rebuilt {new}")
    pairs = zip(flatten_layers(layer), flatten_layers(twin), strict=True)
    for part, its_twin in pairs:
        for name in _arguments(type(part)):
            _check_argument(name, vars(part).get(name), vars(its_twin).get(name))


def _arguments(kind):
    """Where a layer that is not Keras' own keeps its constructor's arguments."""
    names = set()
    for base in kind.__mro__:
        if "__init__" in vars(base) and not is_of_keras(base):
            names.update(inspect.signature(base.__init__).parameters)
    names -= {"name", "trainable"}
    return sorted(names | {f"_{name}" for name in names})


def _check_argument(name, value, new):
    one, two = keras.tree.flatten(value), keras.tree.flatten(new)
    comparable = all(isinstance(leaf, PLAIN) for leaf in one)
    if comparable and not (len(one) == len(two) and all(map(_is_same, one, two))):
        raise CannotRebuild(
            f"it has {name}={value!r}, rebuilt {new!r}: `get_config()` lacks it"
        )


def _is_same(one, two):
    try:
        return np.array_equal(one, two, equal_nan=True)
    except TypeError:  # Of text, None and so on.
        return np.array_equal(one, two)


def objects_of(layer):
    """The layer's own initializers, activations and so on, registered or not."""
    found = {}
    for part in flatten_layers(layer):
        for name, value in attributes_of(part).items():
            one = value if inspect.isfunction(value) else type(value)
            is_method = hasattr(type(part), name)
            if callable(value) and not is_method and not is_of_keras(one):
                found[id(one)] = one
    return list(found.values())


def by_name(objects):
    """Classes and functions by the names that Keras looks them up with."""
    return {keras.saving.get_registered_name(one): one for one in objects}


def _reseeded(config, seeds, is_random):
    """A copy in which each random seed is a new one, `None` included.

    Those are the seeds of initializers and of Keras' own objects; in another
    configuration `"seed"` may mean anything.
    """
    if isinstance(config, (list, tuple)):
        return like(config, [_reseeded(one, seeds, is_random) for one in config])
    if not isinstance(config, dict):
        return with_new_seeds(config, seeds)
    if "class_name" in config:
        is_random = _has_random_seed(config)
    return {
        key: int(seeds.integers(2**31))
        if key == "seed" and is_random and (value is None or isinstance(value, int))
        else _reseeded(value, seeds, is_random)
        for key, value in config.items()
    }


def _has_random_seed(serialized):
    if (serialized.get("module") or "").split(".")[0] == "keras":
        return True
    name = serialized.get("registered_name") or serialized["class_name"]
    kind = keras.saving.get_registered_object(name)
    return inspect.isclass(kind) and issubclass(kind, keras.initializers.Initializer)


def _check_names(layer):
    objects = objects_of(layer)
    if len(by_name(objects)) < len(objects):
        raise CannotRebuild(f"of {objects}, two have the same name")
