import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from keras_reinit import data
from keras_reinit.data.datasets import read_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3), dtype="uint8")
LABELS = np.arange(20, dtype="int32") % 4


# --- label noise -----------------------------------------------------------------


def test_noise_rate_zero_is_the_identity_and_one_leaves_nothing():
    labels = np.repeat(np.arange(10), 1000)
    same = data.SymmetricNoise(0.0)(labels, 10, seed=0)
    np.testing.assert_array_equal(same, labels)
    noisy = data.SymmetricNoise(1.0)(labels, 10, seed=0)
    assert (noisy == labels).mean() == pytest.approx(0.1, abs=0.01)


def test_measured_transition_matrix_is_the_stated_one():
    labels = np.repeat(np.arange(5), 20_000)
    noisy = data.SymmetricNoise(0.4)(labels, 5, seed=1)
    matrix = np.array([np.bincount(noisy[labels == c], minlength=5) for c in range(5)])
    stated = np.full((5, 5), 0.4 / 5) + 0.6 * np.eye(5)
    np.testing.assert_allclose(matrix / 20_000, stated, atol=0.01)


def test_a_label_depends_on_seed_and_index_only():
    noise = data.SymmetricNoise(0.5)
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    whole = noise(labels, 10, seed=3)
    np.testing.assert_array_equal(noise(labels[:100], 10, seed=3), whole[:100])
    assert not np.array_equal(noise(labels, 10, seed=4), whole)


def test_noise_errors():
    with pytest.raises(ValueError, match=r"`noise_rate` must be in \[0, 1\]"):
        data.SymmetricNoise(1.5)
    with pytest.raises(ValueError, match="`labels` must be in"):
        data.SymmetricNoise(0.1)(np.array([0, 4]), 4, seed=0)


# --- augmentation ----------------------------------------------------------------


def reference(image, draws, pad, flip):
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = (draws[:2] * (2 * pad + 1)).astype(int)
    crop = padded[top : top + image.shape[0], left : left + image.shape[1]]
    return crop[:, ::-1] if flip and draws[2] >= 0.5 else crop


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("pad", [0, 2])
def test_pad_crop_flip_against_numpy_eagerly_and_in_a_pipeline(pad, flip):
    draws = np.random.default_rng(1).random((20, 3), "float32")
    expected = [reference(i, d, pad, flip) for i, d in zip(IMAGES, draws, strict=True)]
    augment = data.PadCropFlip(pad, flip)
    np.testing.assert_array_equal(augment(IMAGES, draws), expected)
    pairs = tf.data.Dataset.from_tensors((IMAGES, draws)).map(augment)
    np.testing.assert_array_equal(next(iter(pairs)), expected)


def test_no_offset_and_no_flip_is_the_identity():
    draws = np.tile([[0.5, 0.5, 0.0]], (20, 1))
    np.testing.assert_array_equal(data.PadCropFlip(2)(IMAGES, draws), IMAGES)
    with pytest.raises(ValueError, match="`pad` must be >= 0"):
        data.PadCropFlip(-1)


# --- pipeline --------------------------------------------------------------------


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


def test_evaluation_keeps_every_example_in_order():
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
        (IMAGES, LABELS, 0, "`batch_size`"),
    ],
)
def test_bad_examples(images, labels, size, message):
    standardize = data.Standardize((0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=message):
        data.train_dataset(images, labels, size, seed=0, standardize=standardize)


# --- data sets -------------------------------------------------------------------


def as_set(images):
    return {image.tobytes() for image in images}


def test_digits_splits_do_not_overlap_and_are_stratified():
    splits = data.load("digits")
    parts = [splits.train, splits.validation, splits.test]
    assert [len(labels) for _, labels in parts] == [600, 400, 797]
    assert not set(splits.train_index) & set(splits.validation_index)
    sets = [as_set(images) for images, _ in parts]
    assert len(set.union(*sets)) == sum(map(len, sets)) == 1797
    for _, labels in parts:
        assert np.ptp(np.bincount(labels) / len(labels)) < 0.02


def test_the_seed_draws_the_split_but_never_the_test_set():
    one, two = data.load("digits", seed=0), data.load("digits", seed=1)
    np.testing.assert_array_equal(one.test[0], two.test[0])
    assert not np.array_equal(one.train_index, two.train_index)
    np.testing.assert_array_equal(data.load("digits", seed=1).train[0], two.train[0])


def test_a_training_subset_leaves_the_other_splits_alone():
    whole, part = data.load("digits"), data.load("digits", train_size=100)
    assert len(part.train[1]) == 100
    assert set(part.train_index) <= set(whole.train_index)
    np.testing.assert_array_equal(part.validation[0], whole.validation[0])


@pytest.mark.parametrize("validation", [True, False])
def test_noise_spares_test_and_on_request_validation(validation):
    clean = data.load("digits")
    noise = data.SymmetricNoise(0.5)
    noisy = clean.with_noise(noise, seed=0, validation=validation)
    np.testing.assert_array_equal(noisy.test[1], clean.test[1])
    assert (noisy.train[1] != clean.train[1]).mean() == pytest.approx(0.45, abs=0.06)
    changed = (noisy.validation[1] != clean.validation[1]).any()
    assert changed == validation


def test_noise_of_an_example_does_not_depend_on_the_subset():
    noise = data.SymmetricNoise(0.5)
    noisy = [
        data.load("digits", train_size=n).with_noise(noise, seed=0, validation=True)
        for n in (100, None)
    ]
    small, whole = (dict(zip(s.train_index, s.train[1], strict=True)) for s in noisy)
    assert all(whole[index] == label for index, label in small.items())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "imagenet"}, "`name` must be one of.*'digits'"),
        ({"train_size": 601}, "`train_size` must be in"),
        ({"train_size": 3}, "`train_size` must be in"),
        ({"validation_size": 1000}, "`validation_size` must be in"),
    ],
)
def test_bad_requests(kwargs, message):
    with pytest.raises(ValueError, match=message):
        data.load(**kwargs)


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (n, 28, 28), dtype="uint8")
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(n) % 10).astype("uint8")
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_fashion_mnist_from_idx_files(idx_folder):
    splits = data.load("fashion_mnist", validation_size=20, folder=idx_folder)
    assert splits.train[0].shape == (40, 28, 28, 1) and len(splits.test[1]) == 20


def test_a_truncated_idx_file_is_said(idx_folder):
    path = idx_folder / "train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    for content in (gzip.compress(whole[:-100]), path.read_bytes()[:-50], b"junk"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a whole IDX file"):
            read_idx(path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_tfds_data_sets_on_fake_data(name):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=2000):
        splits = data.load(name, validation_size=100)
    assert splits.train[0].shape[1:] == (32, 32, 3)
    assert splits.train[0].dtype == np.uint8
    assert len(splits.train[1]) == 1900 and len(splits.validation[1]) == 100


def test_a_data_set_that_cannot_be_had_says_what_to_do(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def refused(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(tfds, "load", refused)
    with pytest.raises(ValueError, match="internet access.*IDX.*no download.*no route"):
        data.load("fashion_mnist", folder=tmp_path)
