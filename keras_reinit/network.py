"""The network that is trained, all of its layers, and what its class overrides."""

import keras

from keras_reinit.keras_internals import flatten_layers, variables_made_trainable

# Whose classes are not the user's; on TensorFlow and PyTorch a model is one of theirs.
LIBRARIES = (
    "builtins",
    "flax",
    "keras",
    "keras_reinit",
    "numpy",
    "tensorflow",
    "torch",
)
# Methods by which a `keras.Model` says how it is trained, evaluated and called.
TRAINING = (
    "compile",
    "compute_loss",
    "compute_metrics",
    "evaluate",
    "fit",
    "get_metrics_result",
    "losses",
    "make_predict_function",
    "make_test_function",
    "make_train_function",
    "metrics",
    "predict",
    "predict_step",
    "reset_metrics",
    "stateless_compute_loss",
    "test_on_batch",
    "test_step",
    "train_on_batch",
    "train_step",
    "trainable_variables",
    "trainable_weights",
)
CALLS = ("__call__", "call")


def network_of(model):
    """Returns the student of a distilling model, or else the model itself.

    An attribute that is merely called `student` does not make a model a distilling one.
    """
    return model.student if hasattr(model, "hand_over") else model


def all_layers(model):
    """Returns the model and all layers in it, at any depth, each of them once."""
    return list({id(layer): layer for layer in flatten_layers(model)}.values())


def inputs_of(model):
    """Returns the symbolic inputs as the model takes them, or None without any."""
    structure = getattr(model, "input", None)
    inputs = getattr(model, "inputs", None)
    if structure is None and inputs:  # A Sequential that was never called.
        return inputs[0] if len(inputs) == 1 else inputs
    return structure


def frozen_ids(model):
    """Returns the ids of the weights that are not trained though they could be.

    All weights of a frozen layer, at any depth, are among them, and so is the kernel
    under a LoRA update. The statistics of BatchNormalization are not: they are never
    trained by gradients.
    """
    frozen = set()
    for layer in all_layers(model):
        if not layer.trainable:
            frozen.update(id(v) for v in layer.weights)
        made = variables_made_trainable(layer)
        frozen.update(id(v) for v in made if not v.trainable)
    return frozen


def recurrent_states(model):
    """Returns the variables that hold the states of stateful recurrent layers."""
    layers = [one for one in all_layers(model) if isinstance(one, keras.layers.RNN)]
    states = [layer.states for layer in layers if layer.stateful]
    return [v for v in keras.tree.flatten(states) if isinstance(v, keras.Variable)]


def overridden(model, names):
    """Returns which of some methods a user's class, or the object itself, overrides.

    Args:
        model: A `keras.Model`.
        names: Tuple of names of methods.
    """
    own = [vars(kind) for kind in type(model).__mro__ if is_users(kind)]
    return [name for name in names if any(name in a for a in (vars(model), *own))]


def check_not_overridden(model, names, argument, why):
    """A `ValueError` if a user's class overrides one of some methods.

    Args:
        model, names: See `overridden`.
        argument: What the error calls the model.
        why: What would become of it, the end of a sentence.
    """
    own = overridden(model, names)
    if own:
        raise ValueError(
            f"`{argument}` must not override {', '.join(own)}: {why}. "
            f"Received: {argument}={model!r}"
        )


def compile_step_anew(model):
    """Makes and returns a training step that is traced again, also where JAX knows one.

    What a trace holds as constants, such as constraints and adapted statistics, is then
    as it is now.
    """
    step, is_own = model.train_step, "train_step" in vars(model)
    # A function of its own: JAX would find the trace of the same method again.
    object.__setattr__(model, "train_step", lambda *args: step(*args))
    try:
        model.make_train_function(force=True)
    finally:
        if is_own:
            object.__setattr__(model, "train_step", step)
        else:
            object.__delattr__(model, "train_step")
    return model.train_function


def is_users(kind):
    """Returns whether a class is the user's own."""
    return kind is not object and kind.__module__.split(".")[0] not in LIBRARIES
