"""The ways to feed a network that `benchmarks.speed --part=input` times.

Each is an endless iterator of batches, float32 and standardized, from the same images
in memory. What a way cannot do is left out.
"""

import contextlib
import os

import keras
import numpy as np
import tensorflow as tf

from keras_reinit import data, models

BATCH = 128
EXAMPLES = 10_000


def ways(side, recipe):
    """Iterators by name.

    Args:
        side: Integer, height and width of the images.
        recipe: `"crop_flip"`, or `"full"`: RandAugment and Cutout after it.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (EXAMPLES, side, side, 3), dtype="uint8")
    labels = np.arange(EXAMPLES, dtype="int32") % 10
    found = {
        "keras_reinit": ours(images, labels, recipe),
        "Keras layers in tf.data": keras_layers(images, labels, recipe),
        "floor: copy of a batch": copies(images),
    }
    if recipe == "crop_flip":
        found["tf.image, one image at a time"] = one_at_a_time(images, labels)
    with contextlib.suppress(ImportError):
        found["torchvision in a DataLoader"] = torchvision(images, labels, recipe)
    return found


def ours(images, labels, recipe):
    augment = [data.PadCropFlip(4)]
    if recipe == "full":
        augment += [data.RandAugment(2, 9), data.Cutout(images.shape[1] // 2)]
    return iter(
        data.train_dataset(
            images, labels, BATCH, seed=0, augment=augment,
            standardize=data.Standardize.fit(images[:1000]),
        )
    )  # fmt: skip


def keras_layers(images, labels, recipe):
    side = images.shape[1]
    layers = [
        keras.layers.ZeroPadding2D(4),
        keras.layers.RandomCrop(side, side),
        keras.layers.RandomFlip("horizontal"),
    ]
    if recipe == "full":
        layers += [
            keras.layers.RandAugment(num_ops=2, factor=0.3),
            keras.layers.RandomErasing(),
        ]
    layers.append(keras.layers.Rescaling(1 / 64, -2.0))

    def augment(x, y):
        for layer in layers:
            x = layer(x, training=True)
        return x, y

    batches = shuffled(images, labels).batch(BATCH, drop_remainder=True)
    return iter(batches.map(augment, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE))


def one_at_a_time(images, labels):
    side = images.shape[1]

    def augment(x, y):
        x = tf.image.resize_with_crop_or_pad(x, side + 8, side + 8)
        x = tf.image.random_crop(x, (side, side, 3))
        x = tf.image.random_flip_left_right(x)
        return tf.cast(x, tf.float32) / 64 - 2, y

    examples = shuffled(images, labels).map(augment, tf.data.AUTOTUNE)
    return iter(examples.batch(BATCH).prefetch(tf.data.AUTOTUNE))


def shuffled(images, labels):
    examples = tf.data.Dataset.from_tensor_slices((images, labels)).cache()
    return examples.shuffle(EXAMPLES, seed=0).repeat()


def torchvision(images, labels, recipe):
    import torch

    # A torchvision made for PyTorch on another device comes without its operators.
    # Transforms need none of them, and importing them only the names of these.
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            signature = "(Tensor boxes, Tensor scores, float iou) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
    from torchvision.transforms import v2

    transforms = [
        v2.RandomCrop(images.shape[1], padding=4),
        v2.RandomHorizontalFlip(),
    ]
    if recipe == "full":
        transforms += [v2.RandAugment(2, 9), v2.RandomErasing(0.5)]
    transforms += [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.25] * 3),
    ]
    augment = v2.Compose(transforms)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    class Examples(torch.utils.data.Dataset):
        def __len__(self):
            return len(labels)

        def __getitem__(self, i):
            return augment(pixels[i]), int(labels[i])

    loader = torch.utils.data.DataLoader(
        Examples(), BATCH, shuffle=True, drop_last=True,
        # One core: no worker beside the process that waits for it.
        num_workers=0 if cores() == 1 else cores(), persistent_workers=cores() > 1,
    )  # fmt: skip

    def forever():
        while True:
            yield from loader

    return forever()


def steps():
    """A training step of each reference network, by name."""
    return {
        name: step_of(build((32, 32, 3), 10)) for name, build in models.MODELS.items()
    }


def step_of(model, x=None):
    """Compiles a model and returns a function that takes one training step."""
    if x is None:
        shape = (BATCH, 32, 32, 3)
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
    labels = np.arange(BATCH) % 10
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return lambda: model.train_on_batch(x, labels)


def copies(images):
    batch = images[:BATCH].astype("float32")
    while True:
        yield batch.copy()


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
