"""HOW THEY MIX: one re-initialization method, one file."""

from keras_reinit.methods.continual_backprop import ContinualBackprop, UnitUtilities
from keras_reinit.methods.dash import Dash
from keras_reinit.methods.dense_sparse_dense import DenseSparseDense
from keras_reinit.methods.full_reinit import FullReinit
from keras_reinit.methods.hare_tortoise import HareTortoise
from keras_reinit.methods.knowledge_evolution import KnowledgeEvolution
from keras_reinit.methods.l2_init import add_l2_init
from keras_reinit.methods.later_layers import LaterLayerForgetting
from keras_reinit.methods.layerwise_reinit import LayerwiseReinit
from keras_reinit.methods.plasticity_injection import inject_plasticity
from keras_reinit.methods.redo import ReDo
from keras_reinit.methods.rifle import Rifle
from keras_reinit.methods.self_normalized_resets import (
    SelfNormalizedResets,
    UnitFirings,
)
from keras_reinit.methods.shrink_perturb import ShrinkPerturb
from keras_reinit.methods.warm_restart import WarmRestart
from keras_reinit.methods.weight_forgetting import WeightForgetting

__all__ = [
    "ContinualBackprop",
    "Dash",
    "DenseSparseDense",
    "FullReinit",
    "HareTortoise",
    "KnowledgeEvolution",
    "LaterLayerForgetting",
    "LayerwiseReinit",
    "ReDo",
    "Rifle",
    "SelfNormalizedResets",
    "ShrinkPerturb",
    "UnitFirings",
    "UnitUtilities",
    "WarmRestart",
    "WeightForgetting",
    "add_l2_init",
    "inject_plasticity",
]
