"""How a layer's weights are first drawn, from a twin built from its configuration.

The twin is built in a scope where Keras creates variables without values: which
initializer each of them waits for is all that is wanted. Where initial values are more
than initializers (an LSTM's forget bias), the twin is built in full.
"""

import inspect

import keras
import numpy as np

from keras_reinit.drawing import is_of_keras, with_new_seeds
from keras_reinit.sandbox import bit_generator, sandbox


class CannotRebuild(Exception):
    """A layer's configuration does not give the same layer again."""


def initializers_of(layer):
    """Finds the initializer of each weight, without drawing anything.

    Returns:
        List of pairs of a variable and its initializer; of a variable and `None` if
        only `rebuilt` has the values.

    Raises:
        CannotRebuild: If there is no way to tell.
    """
    if any(
        getattr(part, "quantization_mode", None) for part in layer._flatten_layers()
    ):
        raise CannotRebuild("its weights are quantized, and are not what was drawn")
    try:
        found = _waiting_for(layer)
    except Exception:  # Not all layers can be built without values.
        found = [None]
    if None in found:
        _check_values_can_be_new(layer)
        rebuilt(layer, (0,))  # What cannot be rebuilt is found now.
        found = [None] * len(layer.weights)
    return list(zip(layer.weights, found, strict=True))


def rebuilt(layer, key):
    """The weights of a newly built twin, by the ids of the layer's own."""
    try:
        with sandbox(key):
            twin = _twin(layer, np.random.Generator(bit_generator(key)))
            return {
                id(v): keras.ops.convert_to_numpy(new)
                for v, new in zip(layer.weights, twin.weights, strict=True)
            }
    except CannotRebuild:
        raise
    except Exception as error:
        raise CannotRebuild(repr(error)) from error


def _waiting_for(layer):
    """The initializer of each weight of the layer itself; None if it is unknown."""
    with sandbox((0,)), keras.StatelessScope(initialize_variables=False) as scope:
        twin = _twin(layer, np.random.default_rng(0))
        found = [
            None if scope.get_current_value(v) is not None else v._initializer
            for v in twin.weights
        ]
    return [_of_the_layer(initializer, layer, twin) for initializer in found]


def _of_the_layer(initializer, layer, twin):
    """The layer's own object: a configuration need not tell all of it."""
    pairs = zip(layer._flatten_layers(), twin._flatten_layers(), strict=True)
    for old, new in pairs:
        for name, value in vars(new).items():
            if value is initializer and callable(vars(old).get(name)):
                return vars(old)[name]
    known = isinstance(initializer, keras.initializers.Initializer)
    return initializer if known else None


def _twin(layer, seeds):
    with keras.saving.custom_object_scope(_by_name(_objects_of(layer))):
        config = _reseeded(layer.get_config(), seeds, is_of_keras(type(layer)))
        functions = {k: v for k, v in vars(layer).items() if inspect.isfunction(v)}
        # Keras reads a lambda's configuration back only in part.
        config.update({k: v for k, v in functions.items() if k in config})
        twin = type(layer).from_config(config)
        if not twin.built:
            twin.build_from_config(layer.get_build_config())
    old, new = (
        [(tuple(v.shape), v.dtype) for v in one.weights] for one in (layer, twin)
    )
    if old != new:
        raise CannotRebuild(f"it has the weights {old}, rebuilt {new}")
    return twin


def _objects_of(layer):
    """The layer's own initializers, activations and so on, registered or not."""
    found = {}
    for part in layer._flatten_layers():
        for name, value in vars(part).items():
            one = value if inspect.isfunction(value) else type(value)
            is_method = hasattr(type(part), name)
            if callable(value) and not is_method and not is_of_keras(one):
                found[id(one)] = one
    return list(found.values())


def _by_name(objects):
    return {keras.saving.get_registered_name(one): one for one in objects}


def _reseeded(config, seeds, is_random):
    """A copy in which each random seed is a new one, `None` included.

    Those are the seeds of initializers and of Keras' own objects; in another
    configuration `"seed"` may mean anything.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(_reseeded(one, seeds, is_random) for one in config)
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


def _check_values_can_be_new(layer):
    """What a newly built twin's values would silently be wrong for."""
    objects = _objects_of(layer)
    if len(_by_name(objects)) < len(objects):
        raise CannotRebuild(f"of {objects}, two have the same name")
    for part in layer._flatten_layers():
        seed = getattr(part, "seed", None)
        if isinstance(seed, int) and not is_of_keras(type(part)):
            raise CannotRebuild(f"its seed={seed} may give the same weights again")
