import contextlib
import gzip
import pathlib
import struct
import tempfile
import zipfile

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_reinit import data, training
from keras_reinit.config import Config
from keras_reinit.data.files import read_folder
from keras_reinit.data.idx import read_idx


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
        ({"name": "no_such_set"}, "`name` must be 'digits', .*Received: 'no_such_set'"),
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
    with tfds.testing.mock_data(num_examples=2000):
        splits = data.load(name, validation_size=100)
    assert splits.train[0].shape[1:] == (32, 32, 3)
    assert splits.train[0].dtype == np.uint8
    assert len(splits.train[1]) == 1900 and len(splits.validation[1]) == 100


def test_a_data_set_that_cannot_be_had_says_what_to_do(tmp_path, monkeypatch):

    def refused(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(tfds, "builder", refused)
    with pytest.raises(ValueError, match="internet access.*IDX.*no download.*no route"):
        data.load("fashion_mnist", folder=tmp_path)


def test_other_data_sets_of_tfds_on_fake_data(tmp_path):
    with tfds.testing.mock_data(num_examples=400):
        svhn = data.load("svhn_cropped", folder=str(tmp_path))
        any_other = data.load("stl10", validation_size=50, folder=str(tmp_path))
        with pytest.raises(ValueError, match="images of one size and a class"):
            data.load("oxford_iiit_pet", folder=str(tmp_path))
    assert len(svhn.validation[1]) == 40 and not svhn.flip
    assert any_other.train[0].shape == (350, 96, 96, 3)


# --- Tiny ImageNet ----------------------------------------------------------------


def write_tiny_imagenet(folder, classes=200, train=2, validation=1):
    """An archive as it is published, of single colors."""
    root = folder / "tiny-imagenet-200"
    wnids = [f"n{10_000_000 + 7 * i}" for i in range(classes)][::-1]
    lines = []
    for i, wnid in enumerate(wnids):
        (root / "train" / wnid / "images").mkdir(parents=True)
        (root / "val" / "images").mkdir(parents=True, exist_ok=True)
        color = Image.new("RGB", (64, 64), (i, 255 - i, 0))
        gray = Image.new("L", (64, 64), i)  # There are some among the published ones.
        for k in range(train):
            image = gray if k == 1 else color
            image.save(root / "train" / wnid / "images" / f"{wnid}_{k}.JPEG")
        for k in range(validation):
            name = f"val_{i * validation + k}.JPEG"
            other = Image.new("RGB", (64, 64), (i, 255 - i, 90))
            other.save(root / "val" / "images" / name)
            lines.append(f"{name}\t{wnid}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("\n".join(wnids) + "\n")
    return wnids


@pytest.fixture(scope="module")
def tiny_archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    wnids = write_tiny_imagenet(folder)
    archive = folder / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((folder / "tiny-imagenet-200").rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive, wnids


def test_tiny_imagenet_from_the_manual_folder(tiny_archive, tmp_path):
    archive, wnids = tiny_archive
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / archive.name).write_bytes(archive.read_bytes())
    splits = data.load("tiny_imagenet", validation_size=200, folder=str(tmp_path))
    assert splits.num_classes == 200
    assert splits.train[0].shape == (200, 64, 64, 3) and len(splits.test[1]) == 200
    images, labels = splits.test
    np.testing.assert_allclose(images[:, 0, 0, 0], labels, atol=3)
    np.testing.assert_array_equal(np.sort(labels), np.arange(200))


@contextlib.contextmanager
def _folder_of_examples():
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_imagenet(pathlib.Path(folder))
        yield pathlib.Path(folder)


class TinyImagenetTest(tfds.testing.DatasetBuilderTestCase):
    """The checks of tensorflow-datasets on every builder."""

    SKIP_CHECKSUMS = True
    SPLITS = {"train": 400, "validation": 200}

    @classmethod
    def setUpClass(cls):
        from keras_reinit.data.tiny_imagenet import TinyImagenet

        cls.DATASET_CLASS = TinyImagenet
        cls.EXAMPLE_DIR = cls.enterClassContext(_folder_of_examples())
        super().setUpClass()


# --- arrays and folders of one's own ----------------------------------------------


def test_a_pair_of_images_and_labels_is_asked_for():
    images, labels = np.zeros((20, 4, 4, 1), "uint8"), np.arange(20) % 2
    with pytest.raises(ValueError, match="`train` must be a pair of images and labels"):
        data.from_arrays(images, labels)
    with pytest.raises(ValueError, match="`test` must be a pair"):
        data.from_arrays((images, labels), images)
    splits = data.from_arrays((images, labels), validation_size=4, flip=False)
    assert (
        not splits.flip and data.from_arrays((images, labels), validation_size=4).flip
    )


def test_noise_is_not_added_twice():
    noisy = data.load().with_noise(data.SymmetricNoise(0.1), seed=0, validation=True)
    with pytest.raises(ValueError, match="`splits` must be clean"):
        noisy.with_noise(data.SymmetricNoise(0.1), seed=0, validation=True)


@pytest.mark.parametrize("augment", ["crop_flip", None, keras.layers.RandomFlip()])
def test_what_is_no_augmentation_is_said(augment):
    images, labels = data.load().train
    with pytest.raises(ValueError, match="`augment` must be augmentations of"):
        data.train_dataset(
            images, labels, 10, seed=0, augment=augment,
            standardize=data.Standardize.fit(images),
        )  # fmt: skip


def test_arrays_of_ones_own():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 5, 5, 1), dtype="uint8")
    labels = np.arange(90) % 3
    splits = data.from_arrays((images, labels), train_size=30, validation_size=15)
    assert [len(y) for _, y in (splits.train, splits.validation, splits.test)] == [
        30, 15, 18
    ]  # fmt: skip
    given = data.from_arrays((images, labels), (images[:9], labels[:9]), num_classes=4)
    assert given.num_classes == 4 and len(given.test[1]) == 9
    seen = np.concatenate([given.train_index, given.validation_index])
    assert sorted(seen) == list(range(90))
    with pytest.raises(ValueError, match=r"`labels` must be in \[0, num_classes=2\)"):
        data.from_arrays((images, labels), num_classes=2)
    with pytest.raises(ValueError, match="at least 2 of each class"):
        data.from_arrays((images[:4], np.array([0, 0, 0, 1])), validation_size=2)


@pytest.fixture
def folder_of_images(tmp_path):
    for part, count in (("train", 10), ("test", 3)):
        for i, name in enumerate(("cat", "dog")):
            here = tmp_path / part / name
            here.mkdir(parents=True)
            for k in range(count):
                image = Image.new("RGB", (8, 6), (100 * i + k, 0, 200))
                image.save(here / f"{k:02d}.png")
    return tmp_path


def test_a_study_can_be_of_a_folder(folder_of_images):
    config = Config(
        str(folder_of_images), "mlp", width=8, method="rifle", batch_size=8,
        validation_size=4, epochs=4, stages=2,
    )  # fmt: skip
    row = training.run(config)
    assert Config(**row["config"]) == config and row["train_examples"] == 16


def test_a_folder_is_read_when_it_is_needed(folder_of_images):
    splits = data.load(str(folder_of_images), validation_size=4)
    images, labels = splits.train
    assert isinstance(images, data.ImageFiles)
    assert images.shape == (16, 6, 8, 3) and len(splits.test[1]) == 6
    pixels = images.read().numpy()
    np.testing.assert_array_equal(pixels[:, 0, 0, 0] >= 100, labels)
    standardize = data.Standardize.fit(images)
    expected = data.Standardize.fit(pixels)
    np.testing.assert_allclose(standardize.mean, expected.mean, rtol=1e-9)
    made = [
        data.train_dataset(
            some, labels, 8, seed=0, standardize=standardize,
            augment=data.PadCropFlip(1),
        )
        for some in (images, pixels)
    ]  # fmt: skip
    for (a, b), (c, d) in zip(made[0].take(4), made[1].take(4), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    parts = [
        list(data.eval_dataset(some, labels, 5, standardize=standardize))
        for some in (images, pixels)
    ]
    for (a, _), (c, _) in zip(*parts, strict=True):
        np.testing.assert_array_equal(a, c)
    noisy = data.InstanceNoise(0.5)(labels, 2, 0, images=images)
    np.testing.assert_array_equal(
        noisy, data.InstanceNoise(0.5)(labels, 2, 0, images=pixels)
    )


def test_a_folder_of_images_of_several_sizes(folder_of_images):
    Image.new("RGB", (20, 30), (9, 9, 9)).save(folder_of_images / "train/cat/99.png")
    raw = read_folder(folder_of_images, size=(4, 4))
    pixels = raw.train[0].read().numpy()
    assert pixels.shape == (21, 4, 4, 3) and (pixels[10] == 9).all()


def test_a_truncated_image_is_said_before_training(folder_of_images):
    path = folder_of_images / "train" / "dog" / "03.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="03.png must be a whole image"):
        data.load(str(folder_of_images))


def test_folders_that_do_not_fit(folder_of_images, tmp_path):
    with pytest.raises(ValueError, match="one subfolder of images for each class"):
        data.load(str(tmp_path / "nothing"))
    (folder_of_images / "train" / "eel").mkdir()
    with pytest.raises(ValueError, match="the same for train and test"):
        data.load(str(folder_of_images))
    (folder_of_images / "test" / "eel").mkdir()
    with pytest.raises(ValueError, match="an image .* of each class.*eel"):
        data.load(str(folder_of_images))
