import keras
import numpy as np
import pytest

from keras_reinit import models


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # kuangliu/pytorch-cifar's networks, as their shapes add up; its
        # PreAct-ResNet-18 lacks the last normalization (1,024 parameters).
        ("resnet18", 11_173_962),
        ("preact_resnet18", 11_171_146 + 1024),
        ("mobilenet_v2", 2_296_922),
    ],
)
def test_published_parameter_counts(name, parameters):
    assert trainable(models.MODELS[name]((32, 32, 3), 10)) == parameters


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("resnet18", 20), ("preact_resnet18", 20), ("mobilenet_v2", 53 + 4)],
)
def test_layer_counts(name, convolutions):
    """17 + 3 shortcuts in ResNet-18; MobileNetV2's 53, and four on shortcuts."""
    model = models.MODELS[name]((32, 32, 3), 10, width=32)
    conv = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    assert sum(isinstance(layer, conv) for layer in model.layers) == convolutions


@pytest.mark.parametrize(("classes", "norm"), [(10, 111.8), (100, 112.1)])
def test_resnet18_begins_at_the_norm_in_the_papers_figure(classes, norm):
    model = models.resnet18((32, 32, 3), classes)
    total = sum(float((v.numpy() ** 2).sum()) for v in model.trainable_variables)
    assert total**0.5 == pytest.approx(norm, abs=0.3)


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_gives_logits_at_any_width(name):
    build = models.MODELS[name]
    model = build((16, 16, 1), 7, width=8, normalized_blocks=3)
    output = model(np.random.default_rng(0).random((4, 16, 16, 1), "float32"))
    assert output.shape == (4, 7) and float(keras.ops.min(output)) < 0
    ends = [la for la in model.layers if la.name.startswith("block_normalization")]
    assert len(ends) == 3
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
    with pytest.raises(ValueError, match="`width` must be a positive multiple"):
        build((16, 16, 1), 7, width=0)


def sides(model):
    """Height of the feature maps of stem and stages, from the input up."""
    outputs = {
        layer.name.split("_")[0]: layer.output.shape[1]
        for layer in model.layers
        if layer.name.startswith(("stem", "stage"))
    }
    return list(outputs.values())


@pytest.mark.parametrize(
    ("name", "strides", "expected"),
    [
        ("resnet18", {}, [32, 32, 16, 8, 4]),
        ("preact_resnet18", {}, [32, 32, 16, 8, 4]),
        ("mobilenet_v2", {}, [32, 32, 32, 16, 8, 8, 4, 4]),
        ("resnet18", {"stem_stride": 2}, [16, 16, 8, 4, 2]),
        ("preact_resnet18", {"stem_stride": 2}, [16, 16, 8, 4, 2]),
        ("mobilenet_v2", {"stem_stride": 2}, [16, 16, 16, 8, 4, 4, 2, 2]),
        ("mobilenet_v2", {"stage2_stride": 2}, [32, 32, 16, 8, 4, 4, 2, 2]),
        (
            "mobilenet_v2",
            {"stem_stride": 2, "stage2_stride": 2},
            [16, 16, 8, 4, 2, 2, 1, 1],
        ),
    ],
)
def test_feature_maps(name, strides, expected):
    """Downsampling pads both sides alike, so it halves."""
    build = models.MODELS[name]
    model = build((32, 32, 3), 10, width=4, **strides)
    assert sides(model) == expected
    if "stage2_stride" not in strides:  # A shortcut goes with it.
        shapes = [v.shape for v in build((32, 32, 3), 10, width=4).weights]
        assert [v.shape for v in model.weights] == shapes
    padded = any(layer.name == "stem_conv_pad" for layer in model.layers)
    assert padded == (strides.get("stem_stride") == 2)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("resnet18", "stem_stride"),
        ("preact_resnet18", "stem_stride"),
        ("mobilenet_v2", "stem_stride"),
        ("mobilenet_v2", "stage2_stride"),
    ],
)
def test_strides_are_1_or_2(name, argument):
    with pytest.raises(ValueError, match=rf"`{argument}` must be one of \(1, 2\)"):
        models.MODELS[name]((32, 32, 3), 10, width=4, **{argument: 3})
