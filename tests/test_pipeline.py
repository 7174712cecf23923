import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reinit import (
    BornAgain,
    FullReinit,
    ShrinkPerturb,
    Stages,
    TeacherCache,
    data,
)
from keras_reinit.data import pipeline

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3), dtype="uint8")
LABELS = np.arange(20, dtype="int32") % 4


def batches(count, **kwargs):
    standardize = data.Standardize.fit(IMAGES)
    stream = data.train_dataset(
        IMAGES, LABELS, 6, standardize=standardize, **{"seed": 0, **kwargs}
    )
    return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]


def test_an_epoch_has_every_step_full_and_no_example_twice():
    labels = np.arange(20, dtype="int32")
    standardize = data.Standardize.fit(IMAGES)
    stream = data.train_dataset(IMAGES, labels, 6, seed=0, standardize=standardize)
    epochs = np.array([y.numpy() for _, y in stream.take(6)]).reshape(2, 18)
    assert all(len(set(epoch)) == 18 for epoch in epochs)
    assert not np.array_equal(*epochs)


def test_a_pipeline_goes_on_from_any_epoch_bit_by_bit():
    augment = data.PadCropFlip(1)
    whole = batches(9, augment=augment)
    rest = batches(6, augment=augment, initial_epoch=1)
    for (a, b), (c, d) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    other = batches(3, augment=augment, seed=1)
    assert not np.array_equal(other[0][0], whole[0][0])


def test_augmentation_of_an_example_does_not_depend_on_its_place():
    same = np.repeat(IMAGES[:1], 20, axis=0)  # All images alike: only draws differ.
    labels = np.arange(20, dtype="int32")
    standardize = data.Standardize.fit(IMAGES)

    def by_label(batch_size):
        stream = data.train_dataset(
            same, labels, batch_size, seed=0, standardize=standardize,
            augment=data.PadCropFlip(2),
        )  # fmt: skip
        epoch = stream.take(20 // batch_size)
        return {
            int(y): x for xs, ys in epoch for x, y in zip(xs.numpy(), ys, strict=True)
        }

    one, two = by_label(20), by_label(5)
    assert all(np.array_equal(one[label], two[label]) for label in labels)


def test_standardize():
    mean = IMAGES.reshape(-1, 3).mean(0) / 255
    std = IMAGES.reshape(-1, 3).std(0) / 255
    standardize = data.Standardize.fit(IMAGES)
    np.testing.assert_allclose(standardize.mean, mean, rtol=1e-5)
    expected = (IMAGES / 255 - mean) / std
    np.testing.assert_allclose(standardize(IMAGES), expected, atol=1e-5)
    tensor = standardize(tf.constant(IMAGES))
    np.testing.assert_allclose(tensor, expected, atol=1e-5)
    floats = (IMAGES / 255).astype("float32")
    np.testing.assert_allclose(standardize(floats), expected, atol=1e-5)


@pytest.mark.parametrize("cached_bytes", [0, 2**28])
def test_evaluation_keeps_every_example_in_order(cached_bytes, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHED_BYTES", cached_bytes)
    standardize = data.Standardize.fit(IMAGES)
    pairs = list(data.eval_dataset(IMAGES, LABELS, 8, standardize=standardize))
    assert [len(y) for _, y in pairs] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([y for _, y in pairs]), LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "size", "message"),
    [
        (IMAGES.astype("int32"), LABELS, 4, "must be uint8 or floats"),
        (IMAGES / 1.0, LABELS, 4, r"must be in \[0, 1\]. Received: images from"),
        (IMAGES[0], LABELS, 4, "must have shape"),
        (IMAGES[:0], LABELS[:0], 4, "n >= 1"),
        (IMAGES, LABELS[:5], 4, "one for each image"),
        (IMAGES, LABELS / 1.0, 4, "`labels` must be integers"),
        (IMAGES, LABELS, 21, r"`batch_size` must be in \[1, n=20\]"),
        (IMAGES, LABELS, 0, "`batch_size` must be an integer >= 1"),
        (IMAGES, LABELS, None, "`batch_size` must be an integer >= 1"),
    ],
)
def test_bad_examples(images, labels, size, message):
    standardize = data.Standardize((0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=message):
        data.train_dataset(images, labels, size, seed=0, standardize=standardize)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": None}, "`seed` must be an integer >= 0"),
        ({"initial_epoch": -1}, "`initial_epoch` must be an integer >= 0"),
        ({"standardize": None}, "`standardize` must be a function of images"),
    ],
)
def test_bad_settings(given, message):
    standardize = data.Standardize((0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=message):
        data.train_dataset(
            IMAGES, LABELS, 4, **{"seed": 0, "standardize": standardize, **given}
        )


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"standardize": None}])
def test_bad_settings_of_evaluation(given):
    standardize = data.Standardize((0.5,) * 3, (0.2,) * 3)
    (name,) = given
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        data.eval_dataset(IMAGES, LABELS, **{"standardize": standardize, **given})


EVERYTHING = (
    data.PadCropFlip(1),
    data.RandAugment(),
    data.Cutout(2),
    data.MixUp(0.4),
    data.CutMix(),
)


def test_no_thread_tunes_that_an_iterator_has_to_wait_for():
    standardize = data.Standardize.fit(IMAGES)
    stream = data.train_dataset(
        IMAGES, LABELS, 4, seed=0, standardize=standardize, augmentation_seeds=1
    )
    for one in (
        stream, stream.keyed_inputs,
        data.eval_dataset(IMAGES, LABELS, standardize=standardize),
    ):  # fmt: skip
        assert one.options().autotune.enabled is False


def test_parallelism_changes_nothing():
    one, eight = (
        batches(9, augment=EVERYTHING, num_classes=4, parallel_calls=n) for n in (1, 8)
    )
    for (a, b), (c, d) in zip(one, eight, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert one[0][1].shape == (6, 4) and one[0][1].dtype == np.float32
    np.testing.assert_allclose(one[0][1].sum(axis=1), 1, rtol=1e-6)


def test_several_augmentations_have_draws_of_their_own():
    """The first one does not change when others follow it."""
    crop = data.PadCropFlip(1)
    nothing = data.RandomErasing(chance=0.0)
    alone, first = (batches(3, augment=some)[0][0] for some in (crop, (crop, nothing)))
    # The numbers of a row depend on how many there are; the images do not repeat.
    assert alone.shape == first.shape
    same = np.repeat(IMAGES[:1], 20, axis=0)
    standardize = data.Standardize((0.0,) * 3, (1.0,) * 3)
    stream = data.train_dataset(
        same, LABELS, 20, seed=0, standardize=standardize,
        augment=[data.Cutout(1, 0.0), data.Cutout(1, 1.0)],
    )  # fmt: skip
    (images, _) = next(iter(stream))
    black = [np.argwhere((x == 0).all(axis=-1)).tolist() for x in images.numpy()]
    white = [np.argwhere((x == 1).all(axis=-1)).tolist() for x in images.numpy()]
    assert black != white and len({str(place) for place in black}) > 5


def test_an_epoch_is_shuffled_in_another_way_for_each_seed_and_epoch():
    orders = [
        tuple(int(label) for _, labels in some for label in labels)
        for some in (
            batches(3), batches(3), batches(3, seed=1), batches(3, initial_epoch=1)
        )
    ]  # fmt: skip
    assert orders[0] == orders[1] and len(set(orders)) == 3


class Seen(keras.callbacks.Callback):
    """The losses of a training, batch by batch."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


class Kill(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def trained(folder, callbacks=()):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    stream = data.train_dataset(
        IMAGES, LABELS, 6, seed=0, standardize=data.Standardize.fit(IMAGES),
        augment=data.PadCropFlip(1),
    )  # fmt: skip
    seen = Seen()
    model.fit(
        stream, epochs=6, steps_per_epoch=3, verbose=0, shuffle=False,
        callbacks=[
            ShrinkPerturb(Stages(6, 2), seed=0),
            keras.callbacks.BackupAndRestore(folder),
            data.StartAtEpoch(stream), seen, *callbacks,
        ],
    )  # fmt: skip
    return model.get_weights(), seen.losses


def test_a_continued_training_sees_the_batches_that_come_next(tmp_path):
    whole, losses = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "broken", [Kill()])
    again, rest = trained(tmp_path / "broken")
    assert 0 < len(rest) < len(losses) and losses[-len(rest) :] == rest
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_of_mixed_images_must_be_vectors():
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        batches(1, augment=data.MixUp())
    with pytest.raises(ValueError, match=r"`labels` must be in \[0, num_classes=3\)"):
        batches(1, num_classes=3)
    with pytest.raises(ValueError, match="`clean_labels` must be None"):
        batches(1, num_classes=4, clean_labels=LABELS)


def test_layers_of_keras_can_be_used_with_a_warning():
    with pytest.warns(UserWarning, match="RandomBrightness draws from a generator"):
        augment = data.KerasLayer(keras.layers.RandomBrightness(0.5, seed=1))
    plain, changed = batches(3), batches(3, augment=augment, parallel_calls=1)
    for (a, b), (c, d) in zip(plain, changed, strict=True):
        assert not np.array_equal(a, c) and np.array_equal(b, d)
    floats = (IMAGES / 255).astype("float32")
    new = augment(floats, None).numpy()
    assert new.dtype == np.float32 and new.min() >= 0 and new.max() <= 1


# --- what a network has memorized -------------------------------------------------


def test_accuracies_on_flipped_and_on_other_examples_are_ordinary_metrics():
    rng = np.random.default_rng(0)
    noisy, clean = rng.integers(0, 4, (2, 20)).astype("int32")
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = [
        data.PairAccuracy(),
        data.UnflippedAccuracy(),
        data.FlippedAccuracy(),
        data.CorrectedAccuracy(),
    ]
    model.compile(keras.optimizers.SGD(0.0), data.OfPair(sparse), metrics=metrics)
    standardize = data.Standardize.fit(IMAGES)
    stream = data.train_dataset(
        IMAGES, noisy, 20, seed=0, standardize=standardize, clean_labels=clean
    )
    logs = model.fit(stream, steps_per_epoch=1, epochs=1, verbose=0).history
    logits = model.predict(standardize(IMAGES), verbose=0)
    found, flipped = logits.argmax(axis=1), noisy != clean
    assert 0 < flipped.sum() < 20
    expected = {
        "accuracy": (found == noisy).mean(),
        "unflipped_accuracy": (found == noisy)[~flipped].mean(),
        "flipped_accuracy": (found == noisy)[flipped].mean(),
        "corrected_accuracy": (found == clean)[flipped].mean(),
        "loss": float(sparse(noisy, logits)),
    }
    for name, value in expected.items():
        assert logs[name][0] == pytest.approx(value, rel=1e-5), name
    restored = keras.losses.deserialize(keras.losses.serialize(data.OfPair(sparse)))
    pairs = np.stack([noisy, clean], axis=1)
    assert float(restored(pairs, logits)) == pytest.approx(expected["loss"], rel=1e-6)


def test_augmentations_with_a_few_seeds_come_again_and_have_keys():
    augment = [data.PadCropFlip(1), data.Cutout(2)]
    stream = data.train_dataset(
        IMAGES, LABELS, 6, seed=0, standardize=data.Standardize.fit(IMAGES),
        augment=augment, augmentation_seeds=2,
    )  # fmt: skip
    known = {}
    for batch in stream.keyed_inputs:
        known.update(zip(batch["key"].numpy(), batch["inputs"].numpy(), strict=True))
    assert sorted(known) == list(range(40))
    assert not np.array_equal(known[0], known[1])  # Two of the first example.
    plain = batches(12, augment=augment)
    for i, (x, y) in enumerate(stream.take(12)):
        for image, key, label in zip(x["inputs"].numpy(), x["key"], y, strict=True):
            assert key % 2 == i // 3 % 2 and label == LABELS[key // 2]
            np.testing.assert_allclose(image, known[int(key)], atol=1e-6)
        np.testing.assert_array_equal(y, plain[i][1])  # The order stays.
        assert np.array_equal(x["inputs"], plain[i][0]) == (i < 6)


def test_a_teacher_cache_learns_the_augmentations_that_come_again():
    standardize = data.Standardize.fit(IMAGES)

    def train(augmentation_seeds, cache):
        keras.utils.set_random_seed(0)
        stream = data.train_dataset(
            IMAGES, LABELS, 5, seed=0, standardize=standardize,
            augment=data.PadCropFlip(1), augmentation_seeds=augmentation_seeds,
        )  # fmt: skip
        layers = [keras.layers.Flatten(), keras.layers.Dense(4)]
        student = keras.Sequential([keras.Input((6, 6, 3)), *layers])
        cache = TeacherCache(stream.keyed_inputs) if cache else None
        model = BornAgain(student, cache=cache)
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        callbacks = [FullReinit(Stages(6, 2), seed=0)]
        model.fit(stream, epochs=6, steps_per_epoch=4, callbacks=callbacks, verbose=0)
        return student.get_weights()[0]

    np.testing.assert_allclose(train(2, True), train(2, False), atol=1e-5)


def test_only_augmentations_that_can_come_again_have_keys():
    with pytest.raises(ValueError, match="`augmentation_seeds` must be None where"):
        batches(1, augment=data.MixUp(), num_classes=4, augmentation_seeds=2)
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="`augmentation_seeds` must be an integer"):
            batches(1, augmentation_seeds=bad)


# --- bad input -------------------------------------------------------------------


@pytest.mark.parametrize(
    "clean",
    [
        LABELS[:9],
        LABELS / 1,
        LABELS - 1,
        LABELS + np.int64(2**40),
        "labels",
        None,
        [[1]],
    ],
)
def test_clean_labels_are_checked(clean):
    if clean is None:
        ((_, pairs),) = batches(1, clean_labels=LABELS.astype("uint8"))
        np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
        return
    with pytest.raises(ValueError, match="`clean_labels` must be 20 integers"):
        batches(1, clean_labels=clean)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"seed": "0"}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"num_classes": "4"}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"initial_epoch": "1"}, "initial_epoch"),
        ({"parallel_calls": "2"}, "parallel_calls"),
        ({"parallel_calls": 0}, "parallel_calls"),
        ({"parallel_calls": -2}, "parallel_calls"),
        ({"augment": data.PadCropFlip}, "augment"),
        ({"augment": [len]}, "augment"),
    ],
)
def test_bad_arguments_of_a_stream(kwargs, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        batches(1, **kwargs)


@pytest.mark.parametrize(
    ("mean", "std", "name"),
    [
        ("0.5", (0.2,), "mean"),
        (0.5, (0.2,), "mean"),
        (("a",), (0.2,), "mean"),
        ((float("nan"),), (0.2,), "mean"),
        ((True,), (0.2,), "mean"),
        ((), (), "mean"),
        ((0.5,), (0.0,), "std"),
        ((0.5,), (-1.0,), "std"),
        ((0.5,), ("1",), "std"),
        ((0.5, 0.5), (0.2,), "std"),
    ],
)
def test_bad_statistics(mean, std, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        data.Standardize(mean, std)


def test_images_that_are_not_those_of_the_statistics():
    standardize = data.Standardize((0.5,), (0.2,))
    for images in (IMAGES, IMAGES[..., :1].astype("int32"), [1], tf.constant(IMAGES)):
        with pytest.raises(ValueError, match="`images` must be uint8 or floats"):
            standardize(images)


def test_bad_losses_metrics_and_streams_of_pairs():
    for loss in (
        None,
        "sparse_categorical_crossentropy",
        3,
        keras.losses.mean_squared_error,
    ):
        with pytest.raises(ValueError, match="`loss` must be a `keras.losses.Loss`"):
            data.OfPair(loss)
    loss = data.OfPair(keras.losses.SparseCategoricalCrossentropy())
    outputs = np.full((4, 4), 0.25, "float32")
    for labels in (np.arange(4), np.arange(4)[:, None], np.zeros((4, 3), int)):
        with pytest.raises(ValueError, match="`y_true` must be pairs of labels"):
            loss(labels, outputs)
        with pytest.raises(ValueError, match="`y_true` must be pairs of labels"):
            data.FlippedAccuracy().update_state(labels, outputs)
    with pytest.raises(ValueError, match="`name` must be a string or None"):
        data.PairAccuracy(name=3)
    for stream in (None, 3, tf.data.Dataset.range(3)):
        with pytest.raises(ValueError, match="`stream` must be what `train_dataset`"):
            data.StartAtEpoch(stream)
