"""A copy of a model that is the model: it has all that Keras' own saving carries.

`keras.models.clone_model` followed by `set_weights` loses what a layer knows besides
its weights: the vocabulary of a lookup, the statistics that an adapted `Normalization`
computes with, merged LoRA updates. Here each layer hands its state over by the methods
that Keras saves and loads it with.
"""

import tempfile

import keras
import numpy as np

from keras_reinit.fresh.drawing import is_of_keras
from keras_reinit.fresh.rebuilding import by_name, objects_of
from keras_reinit.network import (
    all_layers,
    inputs_of,
    overridden,
    recurrent_states,
)

SIZE = 32  # Of a dimension that a model leaves open.
TOLERANCE = 1e-4  # Between outputs, in units of the largest of them.


def copy_model(model, argument="model"):
    """Copies a built model, with variables of its own.

    Args:
        model: A built `keras.Model`.
        argument: What errors call it.

    Returns:
        A `keras.Model` of the same layers that computes the same function.

    Raises:
        ValueError: If the copy differs from the model.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Normalization()])
    >>> model.layers[0].adapt(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    >>> float(copy_model(model)(np.array([[3.0, 2.0, 1.0]]))[0, 0])
    1.0
    """
    with keras.saving.custom_object_scope(_custom_objects(model)):
        try:
            copy = _rebuilt(model)
            copy_state(model, copy)
        except Exception as error:
            raise ValueError(
                f"`{argument}` must be a model that Keras can rebuild from its "
                "configuration, as when it is loaded: give its layers a `get_config()` "
                "that returns their constructors' arguments. "
                f"Received: {model.name!r}: {type(error).__name__}: {error}"
            ) from error
    inputs = example_inputs(model)
    if inputs is not None:
        check_copy(model, copy, inputs, argument)
    return copy


def copy_state(model, copy):
    """Hands over all that Keras saves of each layer, to a copy of the model."""
    for old, new in _pairs(model, copy):
        state = {}
        old.save_own_variables(state)
        # Through NumPy: two variables must not share a buffer on JAX.
        state = {k: keras.ops.convert_to_numpy(v) for k, v in state.items()}
        if state:
            new.load_own_variables(state)
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)


def check_copy(model, copy, inputs, argument="model"):
    """A `ValueError` unless a copy returns for some inputs what the model returns.

    Inputs that the model itself cannot take, and models that are random outside of
    training, tell nothing.
    """
    try:
        expected, again = map(keras.tree.flatten, _returned(model, inputs, times=2))
    except Exception:
        return
    if max(map(_distance, expected, again)) > TOLERANCE:
        return
    try:
        found = keras.tree.flatten(_returned(copy, inputs, times=1))
        worst = max(map(_distance, expected, found))
    except Exception as error:
        raise ValueError(
            f"`{argument}` must be a model whose copy can be called. Received: "
            f"{model.name!r}, whose copy raises {type(error).__name__}: {error}"
        ) from error
    if worst > TOLERANCE:
        raise ValueError(
            f"`{argument}` must be a model whose copy computes the same. A layer keeps "
            "state that Keras does not save (see `Layer.save_own_variables`), or "
            "shares weights in a way that is not in its configuration. "
            f"Received: {model.name!r}, from which its copy differs by {worst:.1%}"
        )


def example_inputs(model):
    """A few examples of large random numbers for a model; None if it tells no shape."""
    specs, rng = inputs_of(model), np.random.default_rng(0)
    if specs is None:
        return None
    return keras.tree.map_structure(lambda spec: _example(spec, rng), specs)


def example_outputs(model, inputs=None):
    """What a model returns for some inputs; None if it cannot take them.

    Args:
        model: A built `keras.Model`.
        inputs: A structure of arrays, or `None` for `example_inputs`.
    """
    inputs = example_inputs(model) if inputs is None else inputs
    try:
        return None if inputs is None else _returned(model, inputs, times=1)[0]
    except Exception:
        return None


def _example(spec, rng):
    batch, *sizes = spec.shape
    shape = (batch or 4, *(SIZE if size is None else size for size in sizes))
    if spec.dtype == "string":
        return keras.ops.convert_to_tensor(np.full(shape, "a").tolist(), dtype="string")
    if spec.dtype.startswith(("int", "uint", "bool")):
        return np.zeros(shape, spec.dtype)
    return rng.normal(scale=10.0, size=shape).astype("float32")


def _custom_objects(model):
    """Classes and functions of the user's, by name, whether registered or not."""
    kinds = {type(layer) for layer in all_layers(model)}
    return by_name([*objects_of(model), *(k for k in kinds if not is_of_keras(k))])


def _rebuilt(model):
    models = [layer for layer in all_layers(model) if isinstance(layer, keras.Model)]
    # Keras would compile the copy as well, for which losses would have to be saved.
    compiled = [one for one in models if one.compiled]
    for one in compiled:
        one.compiled = False
    try:
        if any(
            overridden(one, ("get_config", "from_config", "call")) for one in models
        ):
            copy = keras.models.clone_model(model)
        else:
            copy = keras.models.clone_model(model, clone_function=_twin, recursive=True)
    finally:
        for one in compiled:
            one.compiled = True
    if not copy.built:
        copy.build_from_config(model.get_build_config())
    return copy


def _twin(layer):
    if not isinstance(layer, keras.layers.Lambda):
        return type(layer).from_config(layer.get_config())
    # Keras does not read the configuration of a Python function back.
    own = {name.lstrip("_"): value for name, value in vars(layer).items()}
    names = ("function", "output_shape", "mask", "arguments", "name", "dtype_policy")
    given = {name.removesuffix("_policy"): own.get(name) for name in names}
    return type(layer)(**given)


def _pairs(model, copy):
    """Pairs of a layer and its copy."""
    old, new = all_layers(model), all_layers(copy)
    for one, other in zip(old, new, strict=False):
        shapes = [[tuple(v.shape) for v in layer.variables] for layer in (one, other)]
        if type(one) is not type(other) or shapes[0] != shapes[1]:
            break
    else:
        if len(old) == len(new):
            return list(zip(old, new, strict=True))
    raise ValueError(
        f"its layers are {[layer.name for layer in old]}, those of the copy "
        f"{[layer.name for layer in new]}"
    )


def _returned(model, inputs, times):
    """What a model returns outside of training, a number of times, as arrays.

    What such a call changes, such as the states of recurrent layers, is put back.
    """
    held = [v for v in model.variables if not v.trainable]
    held += recurrent_states(model)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in held]
    try:
        returned = [model(inputs, training=False) for _ in range(times)]
    finally:
        for variable, value in zip(held, before, strict=True):
            variable.assign(value)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, returned)


def _distance(expected, found):
    """The largest difference, in units of the largest number expected."""
    expected, found = np.float64(expected), np.float64(found)
    if expected.shape != found.shape:
        return np.inf
    both = np.isfinite(expected) & np.isfinite(found)
    if not np.array_equal(np.isfinite(expected), np.isfinite(found)):
        return np.inf
    size = np.abs(expected[both]).max(initial=0.0)
    return np.abs(expected - found)[both].max(initial=0.0) / max(size, 1e-6)
