import keras
import numpy as np
import pytest
from keras import layers

from keras_reinit import BlockNormalization, add_block_normalization, blocks, models


def names(model, num_blocks=None):
    return [block.name for block in blocks(model, num_blocks)]


def test_residual_blocks_are_blocks():
    model = models.resnet18((8, 8, 3), 10, width=4)
    assert len(blocks(model)) == 9
    assert names(model, 5) == ["stem_relu"] + [
        f"stage{i}_block2_relu2" for i in (1, 2, 3, 4)
    ]


def test_pre_activation_belongs_to_the_block_that_it_opens():
    model = models.preact_resnet18((8, 8, 3), 10, width=4)
    assert names(model, 5)[0] == "stem_conv"
    third = [layer.name for layer in blocks(model)[3].layers]
    assert third[0] == "stage2_block1_norm1" and third[-1] == "stage2_block1_add"


def test_pooling_to_vectors_and_what_follows_is_the_head():
    model = models.small_cnn((8, 8, 1), 10, width=4)
    assert names(model) == ["block1_pool", "block2_pool", "block3_relu"]
    in_blocks = {layer.name for block in blocks(model) for layer in block.layers}
    others = {layer.name for layer in model.layers} - in_blocks
    assert others == {model.layers[0].name, "pool", "logits"}


def test_blocks_do_not_depend_on_names():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(2):
        branches = [layers.Conv2D(4, k, padding="same")(x) for k in (1, 3, 5)]
        x = layers.Concatenate()(branches)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    assert [len(block.layers) for block in blocks(model)] == [1, 4, 4]


def test_errors():
    with pytest.raises(ValueError, match="Functional or Sequential"):
        blocks(keras.Sequential([layers.Dense(1)]))
    one = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="must have a block below"):
        blocks(one)
    with pytest.raises(
        ValueError, match=r"`num_blocks` must be an integer in \[1, 3\]"
    ):
        blocks(models.mlp((4,), 2, width=3), 4)


def test_block_normalization_is_the_identity_until_it_measures():
    model = models.small_cnn((8, 8, 1), 10, width=4)
    x = np.random.default_rng(0).random((6, 8, 8, 1), "float32")
    before = model.predict(x, verbose=0)
    normalized = add_block_normalization(model, 3)
    np.testing.assert_allclose(normalized.predict(x, verbose=0), before, atol=1e-6)
    assert normalized.get_layer("block1_conv") is model.get_layer("block1_conv")
    assert names(normalized) == [f"block_normalization_{i}" for i in (1, 2, 3)]
    assert len(blocks(normalized)) == 3


def test_block_normalization_keeps_the_statistics_of_one_training_batch():
    layer = BlockNormalization()
    rng = np.random.default_rng(0)
    first, second = rng.normal(3, 2, (2, 50, 4)).astype("float32")
    first[:, 3] = 5.0
    layer.build(first.shape)
    np.testing.assert_allclose(layer(first, training=True), first)
    layer.measure_next_batch()
    np.testing.assert_allclose(layer(second, training=False), second)
    output = np.array(layer(first, training=True))
    np.testing.assert_allclose(output.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(output.std(0), [1, 1, 1, 0], rtol=1e-4)
    expected = (second[:, :3] - first[:, :3].mean(0)) / first[:, :3].std(0)
    np.testing.assert_allclose(layer(second, training=True)[:, :3], expected, rtol=1e-3)


def test_a_layer_that_is_called_twice_is_normalized_where_a_block_ends():
    relu = layers.ReLU()
    inputs = keras.Input((4,))
    x = relu(layers.Dense(5)(inputs))
    x = relu(layers.Dense(6)(relu(x)))
    model = keras.Model(inputs, layers.Dense(2)(x))
    normalized = add_block_normalization(model)
    ends = [normalized.get_layer(f"block_normalization_{i}") for i in (1, 2)]
    assert [end.mean.shape[0] for end in ends] == [5, 6]
    x = np.ones((3, 4), "float32")
    np.testing.assert_allclose(normalized(x), model(x), rtol=1e-6)


def test_block_normalization_can_be_saved(tmp_path):
    model = add_block_normalization(models.mlp((4,), 2, width=3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert names(loaded) == names(model)


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        (
            "MobileNetV2",
            19,
            {0: "Conv1_relu", 2: "block_1_project_BN", 3: "block_2_add"},
        ),
        ("EfficientNetB0", 18, {1: "block1a_project_bn", 3: "block2b_add"}),
        ("InceptionV3", 16, {5: "mixed0", 14: "mixed9", 15: "mixed10"}),
        ("VGG16", 7, {0: "block1_pool", 4: "block5_pool", 6: "fc2"}),
        ("NASNetMobile", 17, {1: "reduction_concat_stem_1", 3: "normal_concat_0"}),
    ],
)
def test_blocks_of_published_architectures(name, count, some):
    found = names(getattr(keras.applications, name)(weights=None, classes=10))
    assert len(found) == count
    assert {i: found[i] for i in some} == some


def test_given_ends_go_before_what_would_be_found():
    model = models.small_cnn((8, 8, 1), 10, width=4)
    found = blocks(model, ends=["block2_pool", "block3_relu"])
    assert [block.name for block in found] == ["block2_pool", "block3_relu"]
    assert found[0].layers[0].name.startswith("block1")
    for ends in (["nowhere"], ["block3_relu", "block2_pool"]):
        with pytest.raises(ValueError, match="`ends` must be names.*Received"):
            blocks(model, ends=ends)
    marked = add_block_normalization(model, ends=["block2_pool", "block3_relu"])
    assert sum(isinstance(x, BlockNormalization) for x in marked.layers) == 2


def test_a_plus_of_tensors_is_a_merge():
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="stem")(inputs)
    for i in range(2):
        x = x + layers.Dense(4, name=f"dense{i}")(layers.LayerNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    assert [len(block.layers) for block in blocks(model)] == [1, 3, 3]
    assert [len(block.weights) for block in blocks(model)] == [2, 4, 4]
