"""keras_reinit: re-initialization of neural networks during training, for Keras 3."""

from keras_reinit.backup import Backup
from keras_reinit.callback import Reinitialize
from keras_reinit.diagnostics import Diagnostics
from keras_reinit.distillation import (
    BornAgain,
    DistillationLoss,
    SaveGenerations,
    TeacherCache,
    ensemble,
    keyed,
)
from keras_reinit.fresh import fresh_weights, reinitialize
from keras_reinit.graph import (
    Block,
    BlockNormalization,
    add_block_normalization,
    blocks,
)
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
from keras_reinit.optimizers import (
    add_weight_decay,
    per_entry_steps,
    per_variable_steps,
    reset_optimizer,
)
from keras_reinit.planning import plan
from keras_reinit.schedules import Stages, StepStages
from keras_reinit.units import UnitStatistics, add_unit_statistics

__version__ = "0.1.0"

__all__ = [
    "Backup",
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
