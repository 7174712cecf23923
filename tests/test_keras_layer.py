"""Layers of Keras as augmentation, against the layers themselves and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_reinit import data

pytestmark = pytest.mark.filterwarnings("ignore:.*draws from a generator of its own")

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 8, 8, 3), dtype="uint8")
FLOATS = (IMAGES / 255).astype("float32")
LABELS = np.arange(8) % 2
ONE_HOT = np.eye(2, dtype="float32")[LABELS]


def stream(layer, images=IMAGES, **kwargs):
    kwargs = {"num_classes": 2, "parallel_calls": 1, **kwargs}
    return data.train_dataset(
        images, LABELS, 8, seed=0, standardize=lambda images: images,
        augment=[data.KerasLayer(layer)], **kwargs,
    )  # fmt: skip


class OwnMixUp(layers.MixUp):
    pass


class Smoothing(keras.Layer):
    """Changes labels, and says so as the layers of Keras do."""

    def transform_labels(self, labels, transformation, training=True):
        return labels * transformation["kept"]

    def call(self, inputs, training=True):
        labels = self.transform_labels(inputs["labels"], {"kept": 0.9})
        return {"images": inputs["images"], "labels": labels}


class Around(keras.Layer):
    """Hands everything on to a layer inside."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs, training=True):
        return self.inner(inputs, training=training)


# --- labels ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [layers.MixUp, layers.CutMix, OwnMixUp])
def test_labels_are_mixed_as_the_layer_mixes_them(kind):
    given = {"images": IMAGES.astype("float32"), "labels": ONE_HOT}
    expected = kind(seed=3)(given, training=True)
    augment = data.KerasLayer(kind(seed=3))
    images, labels = augment(IMAGES, ONE_HOT, None)
    assert augment.mixes_labels and images.dtype == tf.uint8
    np.testing.assert_allclose(images, expected["images"], atol=0.51)
    np.testing.assert_allclose(labels, expected["labels"], rtol=1e-6)
    soft = np.asarray(labels)
    assert labels.dtype == tf.float32 and ((soft > 0.01) & (soft < 0.99)).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda mix: mix,
        lambda mix: layers.Pipeline([layers.RandomFlip(seed=1), mix]),
        lambda mix: keras.Sequential([layers.RandomFlip(seed=1), mix]),
        lambda mix: keras.Sequential([keras.Input((8, 8, 3)), mix]),
        lambda mix: layers.Pipeline([keras.Sequential([mix])]),
        Around,
    ],
)
def test_mixed_labels_are_the_shares_of_images_in_a_pipeline(make):
    black_and_white = np.where(LABELS[:, None, None, None] == 1, 255, 0)
    images = np.broadcast_to(black_and_white, IMAGES.shape).astype("uint8")
    made, labels = next(iter(stream(make(layers.MixUp(1.0, seed=1)), images)))
    share = made.numpy().mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(labels[:, 1], share, atol=1 / 255)
    assert len(np.unique(labels)) > 4


def test_a_layer_of_ones_own_that_says_so_changes_labels():
    augment = data.KerasLayer(Smoothing())
    assert augment.mixes_labels
    np.testing.assert_allclose(augment(IMAGES, ONE_HOT, None)[1], 0.9 * ONE_HOT)
    (_, labels) = next(iter(stream(Smoothing())))
    assert set(np.unique(labels)) == {0.0, np.float32(0.9)}


def test_a_layer_that_changes_labels_and_does_not_say_so_is_refused():

    class Silent(keras.Layer):
        def call(self, inputs, training=True):
            if not isinstance(inputs, dict):
                return inputs
            return {**inputs, "labels": 1 - inputs["labels"]}

    with pytest.raises(ValueError, match="`layer` must have a method `transform_lab"):
        stream(Silent())


def test_mixing_needs_vectors():
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        stream(layers.Pipeline([layers.CutMix()]), num_classes=None)


# --- value ranges ----------------------------------------------------------------


@pytest.mark.parametrize("images", [IMAGES, FLOATS], ids=["uint8", "floats"])
@pytest.mark.parametrize("value_range", [(0, 1), [-1, 1], (0, 255)])
@pytest.mark.parametrize(
    "make",
    [
        lambda r: layers.RandomBrightness((0.2, 0.2), value_range=r, seed=1),
        lambda r: layers.RandomContrast(0.5, value_range=r, seed=1),
        lambda r: layers.RandAugment(value_range=r, seed=1),
        lambda r: layers.RandomErasing(1.0, value_range=r, seed=1),
        lambda r: layers.Pipeline(
            [
                layers.RandomFlip(seed=2),
                layers.RandomBrightness((0.2, 0.2), value_range=r, seed=1),
            ]
        ),
        lambda r: Around(layers.RandomBrightness((0.2, 0.2), value_range=r, seed=1)),
    ],
    ids=["brightness", "contrast", "policy", "erasing", "pipeline", "around"],
)
def test_images_are_scaled_to_the_range_of_the_layer(make, value_range, images):
    low, high = value_range
    unit = IMAGES / np.float32(255)
    expected = make(value_range)(unit * (high - low) + low, training=True)
    expected = np.clip((np.asarray(expected) - low) / (high - low), 0, 1)
    got = data.KerasLayer(make(value_range))(images, None)
    assert got.dtype == images.dtype
    scale = 255 if images.dtype == np.uint8 else 1
    np.testing.assert_allclose(got / scale, expected, atol=0.51 / 255)


def test_layers_that_disagree_are_refused():
    bright = layers.RandomBrightness(0.1, value_range=(0, 1))
    for other in (layers.RandomContrast(0.1), layers.RandAugment(value_range=(-1, 1))):
        with pytest.raises(ValueError, match="`layer` must have one `value_range`"):
            data.KerasLayer(layers.Pipeline([bright, other]))
    with pytest.raises(ValueError, match="`value_range` of two numbers"):
        data.KerasLayer(layers.RandomContrast(0.1, value_range=(1, 0)))
    with pytest.raises(ValueError, match="`layer` must compute with floats"):
        data.KerasLayer(
            layers.RandomContrast(0.1, value_range=(0, 1), dtype="uint8"),
        )


# --- layers that do not augment -----------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        layers.Rescaling(1 / 255),
        layers.Normalization(),
        layers.Discretization(num_bins=3),
        layers.Resizing(8, 8),
        layers.CenterCrop(8, 8),
        layers.Pipeline([layers.Rescaling(1.0), layers.RandomFlip()]),
        keras.Sequential([layers.RandomFlip(), layers.Resizing(4, 4)]),
        layers.Pipeline([]),
        layers.Dense(3),
        type("Own", (layers.Rescaling,), {})(2.0),
    ],
    ids=lambda layer: layer.name,
)
def test_what_training_alone_would_see_is_refused(layer):
    with pytest.raises(ValueError, match="`layer` must be an augmentation.*Received:"):
        data.KerasLayer(layer)


@pytest.mark.parametrize("layer", [None, "RandomFlip", 3, layers.RandomFlip])
def test_what_is_no_layer_is_refused(layer):
    with pytest.raises(ValueError, match="`layer` must be a layer of Keras"):
        data.KerasLayer(layer)


RANDOM = [
    layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1),
    layers.RandomTranslation(0.1, 0.1), layers.RandomContrast(0.1),
    layers.RandomBrightness(0.1), layers.RandomCrop(8, 8), layers.RandomHue(0.1),
    layers.RandomGrayscale(0.5), layers.RandomShear(0.1), layers.RandomErasing(0.5),
    layers.Solarization(0.1), layers.RandAugment(), layers.AugMix(),
    layers.GaussianNoise(1.0), layers.Dropout(0.1), layers.MixUp(), layers.CutMix(),
    layers.Lambda(lambda images: tf.image.random_flip_left_right(images)),
    keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip()]),
]  # fmt: skip


@pytest.mark.parametrize("layer", RANDOM, ids=lambda layer: layer.name)
def test_random_layers_are_taken(layer):
    (images, labels) = next(iter(stream(layer)))
    assert images.shape == IMAGES.shape and images.dtype == tf.uint8
    np.testing.assert_allclose(np.sum(labels, axis=1), 1, rtol=1e-5)


def gray(images):
    return tf.image.rgb_to_grayscale(images)


@pytest.mark.parametrize(
    "layer",
    [
        layers.RandomCrop(4, 4),
        layers.Lambda(gray),
        layers.Pipeline([layers.RandomFlip(), layers.RandomCrop(8, 4)]),
    ],
    ids=lambda layer: layer.name,
)
def test_another_shape_is_refused_before_any_batch(layer):
    with pytest.raises(ValueError, match="^`layer` must keep the shape of images"):
        stream(layer)
    with pytest.raises(ValueError, match="^`layer` must keep the shape of images"):
        data.KerasLayer(layer)(IMAGES, None)


def test_channels_first_is_refused():
    for layer in (
        layers.RandomFlip(data_format="channels_first"),
        layers.Pipeline([layers.RandomContrast(0.1, data_format="channels_first")]),
    ):
        with pytest.raises(ValueError, match="`layer` must have `data_format="):
            data.KerasLayer(layer)


def test_images_of_one_key_would_differ():
    for layer in (layers.RandomFlip(seed=1), layers.GaussianNoise(1.0, seed=1)):
        with pytest.raises(ValueError, match="`augmentation_seeds` must be None"):
            stream(layer, augmentation_seeds=2, num_classes=None)


def test_an_augmentation_of_ones_own_must_keep_shapes_and_types():

    class Half:
        num_draws, mixes_labels = 0, False

        def __call__(self, images, draws):
            return images[:, ::2]

    class Float(Half):
        def __call__(self, images, draws):
            return tf.cast(images, tf.float32)

    for augment in (Half(), Float()):
        with pytest.raises(ValueError, match="`augment` must keep shapes and types"):
            data.train_dataset(
                IMAGES, LABELS, 4, seed=0, augment=augment, standardize=lambda x: x
            )
