"""A sweep over `keras.applications`: every weight is drawn, every block is found."""

import inspect

import keras
import numpy as np
import pytest

from keras_reinit import blocks
from keras_reinit.fresh.recipes import find_recipes
from keras_reinit.fresh.weights import fresh_draws

FAST = ("ConvNeXtTiny", "EfficientNetB0", "MobileNetV3Small", "NASNetMobile")
ALL = sorted(
    name
    for name, builder in vars(keras.applications).items()
    if inspect.isfunction(builder)
)
architectures = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in ALL
    ],
)
# How many blocks one would count in the paper's figures, stem included.
EXPECTED = {
    "ResNet50": 17,
    "ResNet101": 34,
    "ResNet152": 51,
    "ResNet50V2": 17,
    "InceptionV3": 16,
    "NASNetMobile": 17,
    "NASNetLarge": 23,
    "EfficientNetB0": 18,
    "MobileNetV2": 19,
    "VGG16": 7,
    "VGG19": 7,
    "Xception": 14,
    "DenseNet121": 62,
    "ConvNeXtTiny": 22,
}


@architectures
def test_every_weight_is_drawn_on_its_scale_and_every_block_is_found(name):
    model = getattr(keras.applications, name)(weights=None, classes=10)
    recipes = find_recipes(model)
    drawn = 0
    for variable, draw in fresh_draws(recipes, seed=0):
        old, new = variable.numpy(), keras.ops.convert_to_numpy(draw())
        drawn += 1
        if old.min() == old.max():
            np.testing.assert_array_equal(old, new)
        else:
            assert not np.array_equal(old, new), variable.path
            if old.size > 1000:
                assert 0.8 < new.std() / old.std() < 1.25, variable.path
    data = [v for x in model.layers if type(x).__name__ == "Normalization"
            for v in x.weights]  # fmt: skip
    assert drawn + len(data) == len(model.weights)
    check_blocks(model, EXPECTED.get(name))


def check_blocks(model, expected):
    found = blocks(model)
    assert expected is None or len(found) == expected
    assert len(found) >= 7
    layers = [id(layer) for block in found for layer in block.layers]
    assert len(layers) == len(set(layers))
    kernels = [x for x in model.layers if any(len(v.shape) > 1 for v in x.weights)]
    outside = [x.name for x in kernels if id(x) not in set(layers)]
    assert len(outside) <= 1, outside  # The output layer, at most.
    # Bottom up: nothing in a block takes what a later one makes.
    place = {id(layer): i for i, block in enumerate(found) for layer in block.layers}
    for i, block in enumerate(found):
        for layer in block.layers:
            for node in layer._inbound_nodes:
                for tensor in node.input_tensors:
                    producer = tensor._keras_history.operation
                    assert place.get(id(producer), i) <= i, (block.name, layer.name)
