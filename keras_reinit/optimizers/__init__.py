"""What becomes of optimizer state, and weight decay as in the paper."""

from keras_reinit.optimizers.reset import reset_optimizer
from keras_reinit.optimizers.step_counts import per_entry_steps, per_variable_steps
from keras_reinit.optimizers.weight_decay import add_weight_decay

__all__ = [
    "add_weight_decay",
    "per_entry_steps",
    "per_variable_steps",
    "reset_optimizer",
]
