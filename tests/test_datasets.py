import contextlib
import dataclasses
import gzip
import hashlib
import pathlib
import shutil
import struct
import tempfile
import types
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_reinit import data, training
from keras_reinit.config import Config
from keras_reinit.data import tiny_imagenet
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


class Fake:
    """A builder of tensorflow-datasets with splits and labels of its own."""

    def __init__(self, labels, num_classes=4):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(4, 4, 3)),
                "label": tfds.features.ClassLabel(num_classes=num_classes),
            }
        )
        self.labels = labels
        self.info = types.SimpleNamespace(
            splits=dict.fromkeys(labels), features=features, supervised_keys=None
        )

    def download_and_prepare(self):
        pass

    def as_dataset(self, split):
        labels = np.array(self.labels[split], "int64")
        # The split can be told from the first channel, the example from the second.
        images = np.zeros((len(labels), 4, 4, 3), "uint8")
        images[..., 0] = sorted(self.labels).index(split)
        images[..., 1] = np.arange(len(labels))[:, None, None]
        rows = {"image": images, "label": labels}
        return tf.data.Dataset.from_tensor_slices(rows)


@pytest.fixture
def fake(monkeypatch):
    """Puts a fake in the place of any data set; returns the names asked for."""
    asked = []

    def install(**labels):
        def builder(name, data_dir=None):
            asked.append(name)
            return Fake(labels)

        monkeypatch.setattr(tfds, "builder", builder)
        return asked

    return install


EIGHT = [0, 1, 2, 3] * 8


def test_official_validation_sets_are_used(fake):
    fake(train=EIGHT, validation=EIGHT[:12], test=EIGHT[:16])
    splits = data.load("imagenette/320px", seed=3)
    names = ("test", "train", "validation")  # By the first channel.
    for i, name in enumerate(names):
        assert (getattr(splits, name)[0][..., 0] == i).all()
    assert len(splits.train[1]) == 32 and len(splits.validation[1]) == 12
    assert splits.validation_index.tolist() == list(range(32, 44))
    assert splits.train_index.tolist() == list(range(32))
    with pytest.raises(ValueError, match="`validation_size` must be None where"):
        data.load("imagenette", validation_size=8)


def test_a_validation_set_without_a_test_set_is_for_testing(fake):
    fake(train=EIGHT, validation=EIGHT[:12])
    splits = data.load("imagenette", validation_size=8)
    assert (splits.test[0][..., 0] == 1).all() and len(splits.test[1]) == 12
    assert (splits.validation[0][..., 0] == 0).all()
    fake(train=EIGHT * 2, extra=EIGHT[:12])
    assert len(data.load("other", validation_size=8).test[1]) == 12  # A fifth.


def test_known_data_sets_have_the_splits_that_they_always_had(fake):
    fake(train=EIGHT, validation=EIGHT[:12], test=EIGHT[:16])
    splits = data.load("cifar10", validation_size=8)
    assert (splits.validation[0][..., 0] == 1).all() and len(splits.test[1]) == 16
    tiny = data.load("tiny_imagenet", validation_size=8)
    assert (tiny.test[0][..., 0] == 2).all() and len(tiny.test[1]) == 12


def test_classes_without_training_examples_are_left_out(fake):
    fake(train=[1, 3] * 8, test=[3, 1, 1, 3])
    splits = data.load("emnist/letters", validation_size=4)
    assert splits.class_names == ("1", "3")
    assert splits.test[1].tolist() == [1, 0, 0, 1]
    for images, labels in (splits.train, splits.validation):
        np.testing.assert_array_equal(images[:, 0, 0, 1] % 2, labels)
    fake(train=[1, 3] * 8, test=[3, 2])
    with pytest.raises(ValueError, match="`name` must be .*none of '2'.* test set"):
        data.load("emnist/letters")
    fake(train=[1] * 8, test=[1])
    with pytest.raises(ValueError, match="`name` must be .*two or more classes"):
        data.load("emnist/letters")
    fake(train=EIGHT, test=[-1, -1])
    with pytest.raises(ValueError, match="`name` must be .*labels from -1 to -1"):
        data.load("hidden")


def test_names_and_paths_are_told_apart(fake, tmp_path, monkeypatch):
    asked = fake(train=EIGHT, test=EIGHT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["emnist/letters", "emnist/letters:3.*.*", "cmaterdb", "no/such"]
    for name in names:
        data.load(name, validation_size=8)
    assert asked == names
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "my" / "images" / part / name).mkdir(parents=True)
            for i in range(8):
                path = tmp_path / "my" / "images" / part / name / f"{i}.png"
                Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
    paths = ["my/images", "./my/images", "~/my/images", str(tmp_path / "my/images")]
    for path in paths:
        splits = data.load(path, validation_size=4)
        assert splits.class_names == ("cat", "dog") and splits.name == path
    assert asked == names
    for path in ("./none", "../none", "~/none", "/none/there", "~"):
        with pytest.raises(ValueError, match="`name` must be .*"):
            data.load(path)
    with pytest.raises(ValueError, match="a folder that does not exist"):
        data.load("./none")


def test_a_name_with_a_slash_that_is_neither_says_both():
    with pytest.raises(ValueError, match="`name` must be .*and there is no such fold"):
        data.load("no_such/thing")


def test_bad_names(tmp_path):
    for name in (None, 3, tmp_path, ["digits"], ""):
        with pytest.raises(ValueError, match="`name` must be a string"):
            data.load(name)
        with pytest.raises(ValueError, match="`name` must be a string"):
            data.Facts.of(name)
    with pytest.raises(ValueError, match="`folder` must be a path"):
        data.load("cifar10", folder=3)


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


@pytest.fixture
def known_archive(tiny_archive, monkeypatch):
    digest = hashlib.sha256(tiny_archive[0].read_bytes()).hexdigest()
    monkeypatch.setattr(tiny_imagenet, "SHA256", digest)


def test_another_archive_of_tiny_imagenet_is_refused(tiny_archive, tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    shutil.copy(tiny_archive[0], manual)
    with pytest.raises(ValueError, match="must be the published tiny-imagenet-200.zip"):
        data.load("tiny_imagenet", validation_size=200, folder=str(tmp_path))
    assert tiny_imagenet.URL.startswith("https://")
    assert len(tiny_imagenet.SHA256) == 64


@pytest.mark.parametrize("name", ["../x.JPEG", "/etc/passwd", "a/b", "..", "a\\b"])
def test_no_name_leaves_the_archive(name, tmp_path):
    (tmp_path / "val_annotations.txt").write_text(f"{name}\tn01443537\t0\t0\n")
    with pytest.raises(ValueError, match="must have plain names"):
        list(tiny_imagenet._validation(tmp_path))


def test_tiny_imagenet_from_the_manual_folder(tiny_archive, known_archive, tmp_path):
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
        cls.DATASET_CLASS = tiny_imagenet.TinyImagenet
        cls.EXAMPLE_DIR = cls.enterClassContext(_folder_of_examples())
        # The examples are a folder, not the archive.
        cls.enterClassContext(mock.patch.object(tiny_imagenet, "_check_digest"))
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
    name = f"./{folder_of_images.name}"  # A row has no path.
    expected = dataclasses.replace(config, dataset=name)
    assert Config(**row["config"]) == expected and row["train_examples"] == 16


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


# --- what does not fit ------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), dtype="uint8")
LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"train_size": "64"}, "train_size"),
        ({"train_size": 64.0}, "train_size"),
        ({"train_size": True}, "train_size"),
        ({"validation_size": "64"}, "validation_size"),
        ({"validation_size": -1}, "validation_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"seed": None}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_bad_numbers(kwargs, name):
    for make in (
        lambda: data.load("digits", **kwargs),
        lambda: data.from_arrays((IMAGES, LABELS), **kwargs),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
            make()


@pytest.mark.parametrize(
    ("train", "test", "kwargs", "message"),
    [
        ((IMAGES, LABELS + 1), None, {}, "`train` must .* none of class 0"),
        ((IMAGES, LABELS * 2), None, {}, "`train` must .* none of class 1"),
        ((IMAGES, LABELS * 0), None, {}, "`train` must have labels of two or more"),
        ((IMAGES, LABELS * 0), None, {"num_classes": 3}, "`train` must have labels of"),
        ((IMAGES, LABELS - 1), None, {}, "`labels` must be integers >= 0"),
        ((IMAGES, LABELS), (IMAGES, LABELS + 1), {}, "`labels` must be in"),
        ((IMAGES, LABELS), (IMAGES[:, :2], LABELS), {}, "`test` must have images of"),
        ((IMAGES, LABELS), (IMAGES[..., :1], LABELS), {}, "`test` must have images of"),
        ((IMAGES, LABELS), (IMAGES, LABELS[:5]), {}, "`labels` must be integers"),
        ((IMAGES, [[1], [2, 3]]), None, {}, "`labels` must be integers"),
        (([[1], [2, 3]], LABELS), None, {}, "`images` must have shape"),
        ((IMAGES, LABELS), None, {"num_classes": "3"}, "`num_classes` must be an int"),
        ((IMAGES, LABELS), None, {"num_classes": 3.0}, "`num_classes` must be an int"),
        ((IMAGES, LABELS), None, {"flip": "no"}, "`flip` must be of type bool"),
    ],
)
def test_examples_that_do_not_fit(train, test, kwargs, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(train, test, **kwargs)


def test_a_class_without_examples_can_be_asked_for():
    splits = data.from_arrays((IMAGES, LABELS + 1), num_classes=4)
    assert splits.num_classes == 4 and set(splits.train[1]) == {1, 2, 3}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("test", (IMAGES[:, :3], LABELS), "`test` must have images of the"),
        ("validation", (IMAGES[..., :1], LABELS), "`validation` must have images of"),
        ("train", (IMAGES[0], LABELS), "`train` must have images of shape"),
        ("test", (IMAGES, LABELS[:3]), "`test` must have 60 integer labels"),
        ("test", (IMAGES, LABELS + 1), "`test` must have 60 integer labels in"),
        ("test", (IMAGES, LABELS - 1), "`test` must have 60 integer labels in"),
        ("test", (IMAGES, LABELS / 1), "`test` must have 60 integer labels in"),
        ("test", IMAGES, "`test` must be a pair"),
        ("train_index", np.arange(3), "`train_index` must be"),
        ("validation_index", np.zeros(6), "`validation_index` must be"),
        ("clean_labels", np.arange(3), "`clean_labels` must be"),
        ("class_names", ("a",), "`class_names` must be"),
        ("class_names", "abc", "`class_names` must be"),
        ("name", 3, "`name` must be a string"),
        ("flip", "no", "`flip` must be of type bool"),
    ],
)
def test_splits_that_do_not_fit(name, value, message):
    splits = data.from_arrays((IMAGES, LABELS))
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(splits, **{name: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda labels: labels + 5,
        lambda labels: labels - 1,
        lambda labels: labels / 1,
        lambda labels: labels[:3],
        lambda labels: labels[:, None],
        lambda labels: np.ones(len(labels), bool),
        lambda labels: None,
        lambda labels: "labels",
    ],
)
def test_what_a_noise_of_ones_own_returns_is_checked(make):
    splits = data.from_arrays((IMAGES, LABELS))

    def noise(labels, *args, **kwargs):
        return make(labels)

    with pytest.raises(ValueError, match="`noise` must return .*Received: noise="):
        splits.with_noise(noise, seed=0, validation=False)


def test_a_noise_that_changes_its_argument_leaves_the_clean_labels():
    splits = data.from_arrays((IMAGES, LABELS))

    def noise(labels, num_classes, seed, images, index):
        labels[:] = 0
        index[:] = 0
        return labels.tolist()

    noisy = splits.with_noise(noise, seed=0, validation=True)
    assert not noisy.train[1].any() and noisy.train[1].dtype == splits.train[1].dtype
    np.testing.assert_array_equal(noisy.clean_labels, splits.train[1])
    np.testing.assert_array_equal(noisy.train_index, splits.train_index)
    assert splits.train[1].any() and splits.train_index.any()


def test_bad_arguments_of_noise():
    splits = data.from_arrays((IMAGES, LABELS))
    noise = data.SymmetricNoise(0.4)
    for kwargs, name in (
        ({"noise": 0.4}, "noise"),
        ({"seed": -1}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"validation": "no"}, "validation"),
    ):
        given = {"noise": noise, "seed": 0, "validation": True, **kwargs}
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            splits.with_noise(given.pop("noise"), **given)


# --- fingerprints and stand-ins ---------------------------------------------------


def test_a_fingerprint_is_of_the_whole_data_set_whatever_its_splits():
    known = data.fingerprint("digits")
    assert data.load("digits", train_size=50, seed=9).fingerprint == known
    assert len(known) == 32 and int(known, 16)
    noisy = data.load("digits").with_noise(
        data.SymmetricNoise(0.4), seed=0, validation=True
    )
    assert noisy.fingerprint == known
    mine = data.from_arrays((IMAGES, LABELS))
    for other in (
        data.from_arrays((IMAGES, LABELS), seed=3, train_size=20, flip=False),
        data.from_arrays((IMAGES, LABELS.astype("uint8"))),
        data.from_arrays((np.asfortranarray(IMAGES), LABELS)),
        dataclasses.replace(mine, name="other"),
    ):
        assert other.fingerprint == mine.fingerprint


def test_whatever_is_changed_changes_the_fingerprint():
    changed_image, changed_label = IMAGES.copy(), LABELS.copy()
    changed_image[-1, -1, -1, -1] ^= 1
    changed_label[-1] = 0
    sets = [
        data.from_arrays((IMAGES, LABELS)),
        data.from_arrays((changed_image, LABELS)),
        data.from_arrays((IMAGES, changed_label)),
        data.from_arrays((IMAGES, LABELS), num_classes=4),
        data.from_arrays((IMAGES[:-3], LABELS[:-3])),
        data.from_arrays((IMAGES.reshape(60, 2, 8, 3), LABELS)),
        data.from_arrays(((IMAGES / 255).astype("float32"), LABELS)),
        data.from_arrays((IMAGES, LABELS), (IMAGES, LABELS)),
        data.from_arrays((IMAGES, LABELS), (changed_image, LABELS)),
    ]
    assert len({one.fingerprint for one in sets}) == len(sets)


def test_bad_facts():
    facts = data.Facts("mine", (4, 4, 3), 3, 60, 6, 12)
    for value in (0, 61, "10", 1.5):
        with pytest.raises(ValueError, match="`train` must be an integer in"):
            facts.stand_in(value)
    with pytest.raises(ValueError, match="`seed` must be"):
        facts.stand_in(10, seed="0")
    with pytest.raises(ValueError, match="`train_size` must be"):
        data.Facts.of("cifar10", train_size="64")
    with pytest.raises(ValueError, match="`shape` must be three integers"):
        dataclasses.replace(facts, shape="4x4")
    standing = facts.stand_in(10)
    assert not set(standing.train_index) & set(standing.validation_index)
