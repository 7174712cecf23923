"""A copy of a model that is the model: it has all that Keras' own saving carries.

`keras.models.clone_model` followed by `set_weights` loses what a layer knows besides
its weights: the vocabulary of a lookup, the statistics that an adapted `Normalization`
computes with, merged LoRA updates. Here each layer hands its state over by the methods
that Keras saves and loads it with.
"""

import inspect
import itertools
import pathlib
import tempfile

import keras
import numpy as np

from keras_reinit.fresh.drawing import is_of_keras
from keras_reinit.fresh.rebuilding import by_name, objects_of
from keras_reinit.keras_internals import trusted_functions
from keras_reinit.network import (
    CALLS,
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
    try:
        with (
            keras.saving.custom_object_scope(_custom_objects(model)),
            trusted_functions(),
        ):
            copy = _rebuilt(model)
        copy_state(model, copy)
    except Exception as error:
        raise ValueError(
            f"`{argument}` must be a model that Keras can rebuild from its "
            "configuration, as when it is loaded: give its layers a `get_config()` "
            "that returns their constructors' arguments. "
            f"Received: {model.name!r}: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    inputs = example_inputs(model)
    if inputs is not None:
        check_copy(model, copy, inputs, argument)
    return copy


def copy_state(model, copy):
    """Hands over all that Keras saves of each layer, to a copy of the model.

    Returns:
        Whether a layer had learned something else from data than its copy: what such
        a layer computes with may be a constant in a compiled step.

    Raises:
        ValueError: If the copy has other layers, or variables of other shapes.
    """
    changed = False
    for old, new in _pairs(model, copy):
        saved = _saved(old)
        if callable(getattr(old, "adapt", None)):
            if _are_same(saved, _saved(new)):
                continue
            changed = True
        variables, assets = saved
        if variables:
            new.load_own_variables(variables)
        if assets:
            _load_assets(new, assets)
    return changed


def have_same_settings(model, copy):
    """Whether layers that learn from data have the configurations of their copies.

    Some, such as `keras.layers.Discretization`, keep there what they learned.
    """
    layers = [one for one in all_layers(model) if callable(getattr(one, "adapt", None))]
    copies = [one for one in all_layers(copy) if callable(getattr(one, "adapt", None))]
    return [one.get_config() for one in layers] == [one.get_config() for one in copies]


def _saved(layer):
    """What Keras saves of a layer: dicts of arrays, and of the contents of files."""
    variables, assets = {}, {}
    layer.save_own_variables(variables)
    # Through NumPy: two variables must not share a buffer on JAX.
    variables = {k: keras.ops.convert_to_numpy(v) for k, v in variables.items()}
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            for path in pathlib.Path(folder).rglob("*"):
                if path.is_file():
                    assets[path.relative_to(folder)] = path.read_bytes()
    return variables, assets


def _load_assets(layer, assets):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in assets.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        layer.load_assets(folder)


def _are_same(saved, other):
    (variables, assets), (others, other_assets) = saved, other
    return (
        assets == other_assets
        and variables.keys() == others.keys()
        and all(np.array_equal(v, others[k]) for k, v in variables.items())
    )


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
            overridden(one, ("get_config", "from_config", *CALLS)) for one in models
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
    # Keras does not read the configuration of all Python functions back.
    if not isinstance(layer, keras.layers.Lambda):
        config = layer.get_config()
        functions = {k: v for k, v in vars(layer).items() if inspect.isfunction(v)}
        config.update({k: v for k, v in functions.items() if k in config})
        return type(layer).from_config(config)
    own = {name.lstrip("_"): value for name, value in vars(layer).items()}
    names = ("function", "output_shape", "mask", "arguments", "name", "dtype_policy")
    given = {name.removesuffix("_policy"): own.get(name) for name in names}
    return type(layer)(**given)


def _pairs(model, copy):
    """Pairs of a layer and its copy."""
    old, new = all_layers(model), all_layers(copy)
    described = [[_description(layer) for layer in layers] for layers in (old, new)]
    if described[0] == described[1]:
        return list(zip(old, new, strict=True))
    pairs = itertools.zip_longest(*described)
    one, other = next((a, b) for a, b in pairs if a != b)
    raise ValueError(f"it has the layer {one}, its copy {other}")


def _description(layer):
    # The class of a model may be lost: what matters of it is on the layer graph.
    kind = keras.Model if isinstance(layer, keras.Model) else type(layer)
    return kind.__name__, tuple(tuple(v.shape) for v in layer.variables)


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
    """The largest difference, in units of the largest number of its feature."""
    expected, found = np.float64(expected), np.float64(found)
    if expected.shape != found.shape:
        return np.inf
    both = np.isfinite(expected) & np.isfinite(found)
    if not np.array_equal(np.isfinite(expected), np.isfinite(found)):
        return np.inf
    sizes = np.abs(np.where(both, expected, 0))
    most = sizes.max(initial=0.0)
    if sizes.ndim > 1:
        sizes = sizes.max(axis=tuple(range(sizes.ndim - 1)))
    differences = np.abs(np.where(both, expected - found, 0))
    return (differences / np.maximum(sizes, 1e-3 * most + 1e-6)).max(initial=0.0)
