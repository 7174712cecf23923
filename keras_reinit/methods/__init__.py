"""HOW THEY MIX: one re-initialization method, one file."""

from keras_reinit.methods.full_reinit import FullReinit
from keras_reinit.methods.layerwise_reinit import LayerwiseReinit
from keras_reinit.methods.shrink_perturb import ShrinkPerturb
from keras_reinit.methods.warm_restart import WarmRestart

__all__ = ["FullReinit", "LayerwiseReinit", "ShrinkPerturb", "WarmRestart"]
