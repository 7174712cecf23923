"""All optimizers of a model, and those that wrap others."""

import collections

import keras

from keras_reinit.keras_internals import TRACKING, rate_of, steps_of
from keras_reinit.network import all_layers, is_users, overridden

# Their own state is counts and scales; moments are those of the optimizers inside.
WRAPPERS = (
    keras.optimizers.LossScaleOptimizer,
    getattr(keras.optimizers, "MultiOptimizer", keras.optimizers.LossScaleOptimizer),
)


def optimizers_of(model):
    """Finds the optimizers of a model: what it is compiled with, and its attributes.

    A model with a training step of its own, such as a GAN, may have several. What a
    model inside of it was once compiled with counts only if the model has such a step.

    Args:
        model: A compiled `keras.Model`.

    Returns:
        List of `keras.optimizers.Optimizer`, each once; first the compiled one.
    """
    found = [one for one in [getattr(model, "optimizer", None)] if one is not None]
    own_step = bool(overridden(model, ("train_step",)))
    for layer in all_layers(model):
        inner = isinstance(layer, keras.Model) and layer is not model
        found += _held(layer, () if own_step or not inner else ("optimizer",))
    found = {id(one): one for one in found}
    inside = {id(part) for one in found.values() for part in levels(one)[1:]}
    return [one for one in found.values() if id(one) not in inside]


def levels(optimizer):
    """Returns an optimizer and those inside of it, at any depth, outermost first."""
    found = [optimizer]
    for inner in _held(optimizer):
        found += [one for one in levels(inner) if all(one is not f for f in found)]
    return found


def parts(optimizer, built=True):
    """Returns the optimizers that hold state of single weights, inside of wrappers.

    Args:
        optimizer: A `keras.optimizers.Optimizer`.
        built: Whether to leave out those that have no state yet.
    """
    return [
        level
        for level in levels(optimizer)
        if not isinstance(level, WRAPPERS) and (level.built or not built)
    ]


def plain_levels(optimizers):
    """Returns those of all levels of some optimizers whose rate is a plain number."""
    return [
        level
        for level in _all_levels(optimizers)
        if isinstance(rate_of(level), keras.Variable)
        and not isinstance(level, WRAPPERS)
    ]


def plain_rates(optimizers):
    """Returns a dict of the rates of `plain_levels`, floats by the level's id."""
    return {id(level): _number(rate_of(level)) for level in plain_levels(optimizers)}


def set_plain_rates(optimizers, rates):
    """Gives those of `plain_levels` that are in a dict of rates their rate."""
    for level in plain_levels(optimizers):
        if id(level) in rates:
            rate_of(level).assign(rates[id(level)])


def progress(optimizers):
    """Returns numbers of which at least one changes with each step of any optimizer."""
    known = _all_levels(optimizers)
    counts = [_number(steps_of(level)) for level in known]
    scales = [
        _number(level.dynamic_scale)  # A step whose gradients overflow is left out.
        for level in known
        if isinstance(level, keras.optimizers.LossScaleOptimizer) and level.built
    ]
    return counts + scales


def _number(variable):
    # Through NumPy: of several replicas, it is the value of the first.
    return float(keras.ops.convert_to_numpy(variable))


def _all_levels(optimizers):
    return [level for one in optimizers for level in levels(one)]


def _held(holder, without=()):
    """The optimizers among the attributes of an object, in containers, too."""
    # Keras' and TensorFlow's tracking may hold what is an attribute no more.
    names = [name for name in vars(holder) if not name.startswith(TRACKING)]
    values = [vars(holder)[name] for name in names if name not in without]
    return list(_optimizers_in(values, depth=2))


def _optimizers_in(value, depth):
    """Yields optimizers in containers, and in plain objects down to a depth."""
    if isinstance(value, keras.optimizers.Optimizer):
        yield value
    elif isinstance(value, dict):
        yield from _optimizers_in(list(value.values()), depth)
    elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
        for one in value:
            yield from _optimizers_in(one, depth)
    elif depth and hasattr(value, "__dict__") and is_users(type(value)):
        plain = not (isinstance(value, (type, keras.Layer)) or callable(value))
        if plain:
            yield from _optimizers_in(list(vars(value).values()), depth - 1)
