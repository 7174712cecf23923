"""What this library needs of Keras and has no public name there.

Nothing else in it uses Keras' modules under `keras.src` or names of Keras that begin
with an underscore, but for two hooks of optimizers that `optimizers/step_counts.py`
overrides. `tests/test_keras_internals.py` says what breaks where one of them moves.
"""

import keras
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.saving.serialization_lib import SafeModeScope


def flatten_layers(layer, include_self=True, recursive=True):
    """Returns a layer and the layers in it; one that is held twice comes twice.

    `keras.Model.layers` has one level, and lacks the layers inside of layers.
    """
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def variables_made_trainable(layer):
    """Returns a layer's own variables that were made to be trained, frozen or not."""
    return list(layer._trainable_variables)


def initializer_of(variable):
    """Returns what a variable waits for that was made without a value, or None."""
    return variable._initializer


def settings_of(initializer):
    """Returns a dict of what an initializer is made of, but for its seeds."""
    seeds = ("seed", "_init_seed")
    return {k: v for k, v in vars(initializer).items() if k not in seeds}


def attributes_of(layer):
    """Returns a dict of a layer's attributes, on PyTorch of its modules as well."""
    modules = dict(vars(layer).get("_modules", {}), _torch_params=None)
    return {**vars(layer), **modules}


def forget_value(variable):
    """Gives the memory of a variable back at once."""
    if keras.backend.backend() == "torch":  # A module knows its parameters, too.
        variable._value.data = variable._value.data.new_empty(0)
    variable._value = None


def call_of(tensor):
    """Returns the call on the layer graph that a symbolic tensor is a result of.

    Returns:
        The node (with `operation`, `input_tensors`, `output_tensors`, `arguments` and
        `is_input`), and the position of the tensor in what the call returned.
    """
    layer, index, position = tensor._keras_history
    return layer._inbound_nodes[index], position


def get_global_attribute(name):
    """Returns what Keras keeps for a whole thread under a name, or None."""
    return global_state.get_global_attribute(name)


def set_global_attribute(name, value):
    """Sets what Keras keeps for a whole thread under a name."""
    global_state.set_global_attribute(name, value)


def with_mask(tensor, valid):
    """Returns a tensor of which a loss counts the valid places only.

    Places that its own mask leaves out stay left out.
    """
    mask = backend.get_keras_mask(tensor)
    tensor = keras.ops.multiply(tensor, keras.ops.ones((), tensor.dtype))
    both = valid if mask is None else keras.ops.logical_and(valid, mask)
    backend.set_keras_mask(tensor, both)
    return tensor


def trusted_functions():
    """A context in which Keras rebuilds Python functions, of this very process."""
    return SafeModeScope(False)


def updates_all_at_once(optimizer):
    """Returns whether an optimizer updates all variables as one, as on PyTorch."""
    return hasattr(optimizer, "_parallel_update_step")


def set_initial_epoch(model, epoch):
    """Tells the `fit` that runs `on_train_begin` which epoch to go on with, or None."""
    model._initial_epoch = epoch


def aggregated(model, penalty):
    """Returns a penalty as `compute_loss` adds it: summed, and scaled for replicas."""
    return model._aggregate_additional_loss(penalty)


# --- optimizers ---------------------------------------------------------------------

# Attributes of every optimizer that are lists of variables, but not of slots.
LISTS_OF_ALL = ("_variables", "_trainable_variables")
# Not in every Keras.
SCHEDULE_FREE = getattr(keras.optimizers, "ScheduleFreeAdamW", ())
# How attributes begin in which Keras and TensorFlow track others.
TRACKING = ("_tracker", "_self_")
# Attributes of an optimizer that are its state, or the book-keeping of it.
BOOKKEEPING = (*LISTS_OF_ALL, *TRACKING, "_distribution_strategy", "_learning_rate")


def steps_of(optimizer):
    """Returns the variable that counts an optimizer's steps.

    `iterations` may be a tensor: with gradient accumulation it is computed.
    """
    return optimizer._iterations


def rate_of(optimizer):
    """Returns the variable, schedule or function that is an optimizer's rate.

    `learning_rate` is the rate of the present step.
    """
    return optimizer._learning_rate


def set_rate_of(optimizer, rate):
    """Puts another variable, schedule or function in its place, untracked."""
    object.__setattr__(optimizer, "_learning_rate", rate)


def trained_variables(optimizer):
    """Returns the list of the variables that a built optimizer trains."""
    return optimizer._trainable_variables


def averages_of(optimizer):
    """Returns the lists of moving averages, aligned with the trained variables."""
    lists = [optimizer._model_variables_moving_average] if optimizer.use_ema else []
    # Not in every Keras. What it calls a momentum is a weight.
    schedule_free = getattr(keras.optimizers, "ScheduleFreeAdamW", ())
    return lists + (
        [optimizer._momentums] if isinstance(optimizer, schedule_free) else []
    )


def momentum_product(optimizer):
    """Returns the product over steps that Nadam keeps; None for another optimizer."""
    is_nadam = isinstance(optimizer, keras.optimizers.Nadam)
    return optimizer._u_product if is_nadam else None
