"""How each weight of a built model is first drawn, found without drawing anything.

Calling a layer's own initializer again does not do: an initializer keeps its seed
and returns the ORIGINAL weights. So it is found once which initializer each weight
has, and each draw gives it another seed.
"""

import fnmatch
import functools

import keras

from keras_reinit.arguments import check_model, checked_initializers
from keras_reinit.fresh.drawing import draw, is_of_keras
from keras_reinit.fresh.rebuilding import (
    CannotRebuild,
    initializers_of,
    is_all_of_keras,
    rebuilt,
)
from keras_reinit.fresh.seeding import faults
from keras_reinit.keras_internals import flatten_layers
from keras_reinit.network import all_layers


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

    def draws(self, key):
        """Yields pairs of a variable and a function that draws its fresh value."""
        values = functools.cache(lambda: self._rebuilt(key))
        for i, (variable, initializer) in enumerate(self.weights):
            if initializer is None:
                yield variable, lambda v=variable: values()[id(v)]
            else:
                shape, dtype = tuple(variable.shape), variable.dtype
                yield (
                    variable,
                    functools.partial(draw, initializer, shape, dtype, (*key, i)),
                )

    def _rebuilt(self, key):
        try:
            return rebuilt(self.layer, key)
        except CannotRebuild as error:
            error.add_note(f"while layer {self.layer.name!r} was drawn with {key}")
            raise


def find_recipes(model, initializers=None, needed=None):
    """Finds how to draw each weight of a model.

    Args:
        model: A built `keras.Model`.
        initializers: Dict of patterns of variable paths, such as `"scale/*"`, to
            Keras initializers, which go before what the layers say.
        needed: Ids of the weights that must have a recipe; `None` means all.

    Returns:
        List of `Recipe`, in the order of the layers, each weight in one of them.

    Raises:
        ValueError: If the model is not built, a weight that is needed cannot be
            drawn, or a pattern fits none.
    """
    check_model(model)
    if not model.built:
        raise ValueError(
            "`model` must be built before its weights can be re-initialized: give "
            "it an `Input`, or call it once. "
            f"Received: model={model.name!r}, which has no weights yet."
        )
    found, known, unknown = [], set(), []
    for layer, weights, reason in _units(model, _chosen(model, initializers)):
        new = [(v, how) for v, how in weights if id(v) not in known]
        wrong = _faults(layer, new, needed)
        new = [(v, how) for v, how in new if id(v) not in wrong]
        known.update(id(v) for v, _ in new)
        if new:
            found.append(Recipe(layer, new))
        missing = _own(layer, _parts(layer)) if reason else []
        data = data_of(layer) if missing else ()
        missing = [v for v in missing if id(v) not in data]
        unknown.append((layer, {**{id(v): reason for v in missing}, **wrong}))
    for layer, reasons in unknown:
        _check_known(layer, reasons, known, needed)
    return found


def _chosen(model, initializers):
    """The initializers given by the user, by the id of the weight."""
    chosen = {}
    for pattern, initializer in checked_initializers(initializers).items():
        fitting = [v for v in model.weights if fnmatch.fnmatchcase(v.path, pattern)]
        if not fitting:
            raise ValueError(
                "`initializers` must have patterns of the paths of weights, "
                f"{[v.path for v in model.weights]}. Received: {pattern!r}"
            )
        chosen.update({id(v): initializer for v in fitting})
    return chosen


def _units(layer, chosen):
    """Yields the layers that are drawn whole: layer, weights, why some are missing.

    Models are opened. So is a layer that cannot be rebuilt: if it is but a container,
    its parts are what a newly built one would consist of.
    """
    weights = layer.weights
    data = data_of(layer)
    if all(id(v) in data for v in weights):
        return
    if all(id(v) in chosen for v in weights):
        yield layer, [(v, chosen[id(v)]) for v in weights], None
        return
    reason = "is a model, whose own weights are in none of its layers"
    if not isinstance(layer, keras.Model):
        try:
            found = initializers_of(layer)
            hows = [(v, chosen.get(id(v), h)) for v, h in found if id(v) not in data]
            yield layer, hows, None
            return
        except CannotRebuild as error:
            reason = f"{UNKNOWN}: {error}"
    parts = _parts(layer)
    own = _own(layer, parts)
    yield layer, [(v, chosen[id(v)]) for v in own if id(v) in chosen], reason
    for part in parts:
        yield from _units(part, chosen)


def data_of(layer):
    """The ids of what layers inside of a layer or model learned from data.

    With `adapt`, as `keras.layers.Normalization` and layers of the user's own do: what
    of their weights is not trained. It is not an initial value. Statistics that
    training itself moves are none of it.
    """
    adapted = [part for part in all_layers(layer) if _adapts(part)]
    moving = {
        id(v)
        for part in all_layers(layer)
        if isinstance(part, keras.layers.BatchNormalization)
        for v in part.weights
    }
    found = {id(v) for part in adapted for v in part.weights if not v.trainable}
    return found - moving


def _adapts(layer):
    is_model = isinstance(layer, keras.Model)  # There, the name may mean anything.
    return callable(getattr(layer, "adapt", None)) and not is_model


def _parts(layer):
    parts = flatten_layers(layer, include_self=False, recursive=False)
    return list({id(part): part for part in parts}.values())


def _own(layer, parts):
    """The weights that are in no part of a layer."""
    inside = {id(v) for part in parts for v in part.weights}
    return [v for v in layer.weights if id(v) not in inside]


def _faults(layer, weights, needed):
    """What is wrong with the values that code not of Keras' own draws for a layer."""
    recipe = Recipe(layer, [(v, how) for v, how in weights if _is_own(layer, how)])
    wanted = [v for v, _ in recipe.weights if needed is None or id(v) in needed]
    if not wanted:
        return {}

    def draw(key):
        draws = {id(v): draw for v, draw in recipe.draws(key)}
        return [draws[id(v)]() for v in wanted]

    try:
        return faults(draw, wanted)
    except CannotRebuild as error:
        return {id(v): f"{UNKNOWN}: {error}" for v in wanted}


def _is_own(layer, initializer):
    if initializer is None:
        return not is_all_of_keras(layer)
    return not is_of_keras(type(initializer))


def _check_known(layer, reasons, known, needed):
    """A `ValueError` if weights that are needed cannot be drawn."""
    missing = [
        v
        for v in layer.weights
        if id(v) in reasons.keys() - known and (needed is None or id(v) in needed)
    ]
    if missing:
        paths = [v.path for v in missing]
        reason = reasons[id(missing[0])]
        help_ = HELP if reason.startswith(UNKNOWN) else ""
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}): no fresh weights can be "
            f"drawn for {paths}: it {reason}. Say how they are drawn "
            f"with `initializers={{{paths[0]!r}: 'glorot_uniform', ...}}`{help_}."
        )


UNKNOWN = "cannot be rebuilt from its configuration"
HELP = (
    ", or give the layer a `get_config()` that returns its constructor's arguments "
    "and a `build()` that makes all its weights"
)
