"""keras_reinit: re-initialization of neural networks during training, for Keras 3."""

from keras_reinit.block_normalization import BlockNormalization
from keras_reinit.blocks import Block, add_block_normalization, blocks
from keras_reinit.callback import Reinitialize
from keras_reinit.diagnostics import Diagnostics
from keras_reinit.distillation import BornAgain
from keras_reinit.distillation_loss import DistillationLoss
from keras_reinit.fresh import fresh_weights, reinitialize
from keras_reinit.generations import SaveGenerations, ensemble
from keras_reinit.methods import (
    ContinualBackprop,
    Dash,
    DenseSparseDense,
    FullReinit,
    HareTortoise,
    KnowledgeEvolution,
    LaterLayerForgetting,
    LayerwiseReinit,
    ReDo,
    Rifle,
    SelfNormalizedResets,
    ShrinkPerturb,
    UnitFirings,
    UnitUtilities,
    WarmRestart,
    WeightForgetting,
    add_l2_init,
    inject_plasticity,
)
from keras_reinit.optimizers import reset_optimizer
from keras_reinit.per_variable_steps import per_entry_steps, per_variable_steps
from keras_reinit.planning import plan
from keras_reinit.schedules import Stages, StepStages
from keras_reinit.teacher_cache import TeacherCache, keyed
from keras_reinit.unit_statistics import UnitStatistics, add_unit_statistics
from keras_reinit.weight_decay import add_weight_decay

__version__ = "0.1.0"

__all__ = [
    "Block",
    "BlockNormalization",
    "BornAgain",
    "ContinualBackprop",
    "Dash",
    "DenseSparseDense",
    "Diagnostics",
    "DistillationLoss",
    "FullReinit",
    "HareTortoise",
    "KnowledgeEvolution",
    "LaterLayerForgetting",
    "LayerwiseReinit",
    "ReDo",
    "Reinitialize",
    "Rifle",
    "SaveGenerations",
    "SelfNormalizedResets",
    "ShrinkPerturb",
    "Stages",
    "StepStages",
    "TeacherCache",
    "UnitFirings",
    "UnitStatistics",
    "UnitUtilities",
    "WarmRestart",
    "WeightForgetting",
    "add_block_normalization",
    "add_l2_init",
    "add_unit_statistics",
    "add_weight_decay",
    "blocks",
    "ensemble",
    "fresh_weights",
    "inject_plasticity",
    "keyed",
    "per_entry_steps",
    "per_variable_steps",
    "plan",
    "reinitialize",
    "reset_optimizer",
]
