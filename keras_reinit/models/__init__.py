"""Reference networks: plain builder functions of uncompiled models that give logits.

All take `(input_shape, num_classes, width=...)`. `width` is the number of channels
(units) of the first block; the others keep their ratio to it.
"""

from keras_reinit.models.mlp import mlp
from keras_reinit.models.mobilenet_v2 import mobilenet_v2
from keras_reinit.models.resnet import preact_resnet18, resnet18
from keras_reinit.models.small_cnn import small_cnn

MODELS = {
    builder.__name__: builder
    for builder in (mlp, small_cnn, resnet18, preact_resnet18, mobilenet_v2)
}

__all__ = [
    "MODELS",
    "mlp",
    "mobilenet_v2",
    "preact_resnet18",
    "resnet18",
    "small_cnn",
]
