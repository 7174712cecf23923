"""All optimizers of a model, and those that wrap others."""

import keras

from keras_reinit.keras_internals import rate_of, steps_of
from keras_reinit.network import all_layers

# Their own state is counts and scales; moments are those of the optimizers inside.
WRAPPERS = (
    keras.optimizers.LossScaleOptimizer,
    getattr(keras.optimizers, "MultiOptimizer", keras.optimizers.LossScaleOptimizer),
)


def optimizers_of(model):
    """Finds the optimizers of a model: what it is compiled with, and its attributes.

    A model with a training step of its own, such as a GAN, may have several.

    Args:
        model: A compiled `keras.Model`.

    Returns:
        List of `keras.optimizers.Optimizer`, each once.
    """
    compiled = [model.optimizer] if getattr(model, "optimizer", None) else []
    found = [*compiled, *(one for layer in all_layers(model) for one in _held(layer))]
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
    return [level for level in _all_levels(optimizers) if _has_plain_rate(level)]


def plain_rates(optimizers):
    """Returns the rates, floats, of `plain_levels`."""
    return [float(level.learning_rate) for level in plain_levels(optimizers)]


def set_plain_rates(optimizers, rates):
    """Gives `plain_levels` the rates that `plain_rates` returned."""
    known = plain_levels(optimizers)
    if len(known) == len(rates):  # Else they are of another model.
        for level, rate in zip(known, rates, strict=True):
            level.learning_rate = rate


def progress(optimizers):
    """Returns numbers of which at least one changes with each step of any optimizer."""
    known = _all_levels(optimizers)
    counts = [int(steps_of(level)) for level in known]
    scales = [
        float(level.dynamic_scale)  # A step whose gradients overflow is left out.
        for level in known
        if isinstance(level, keras.optimizers.LossScaleOptimizer) and level.built
    ]
    return counts + scales


def _all_levels(optimizers):
    return [level for one in optimizers for level in levels(one)]


def _has_plain_rate(level):
    wraps = isinstance(level, keras.optimizers.LossScaleOptimizer)
    return isinstance(rate_of(level), keras.Variable) and not wraps


def _held(holder):
    """The optimizers among the attributes of an object, in lists and dicts, too."""
    # Keras' and TensorFlow's tracking may hold what is an attribute no more.
    tracking = ("_tracker", "_self_")
    values = [v for k, v in vars(holder).items() if not k.startswith(tracking)]
    leaves = [leaf for value in values for leaf in _leaves(value)]
    return [one for one in leaves if isinstance(one, keras.optimizers.Optimizer)]


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return value if isinstance(value, (list, tuple)) else [value]
