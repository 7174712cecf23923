"""Folders of images, against Pillow and against NumPy."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_reinit import data
from keras_reinit.data.files import decode, read_folder

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype="uint8")


def save(path, image=None, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(noise(8, 8, 3)) if image is None else image
    image.save(path, **kwargs)
    return path


def fill(root, classes=("a", "b"), count=6):
    for name in classes:
        for i in range(count):
            save(root / name / f"{i}.png")
    return root


def names_of(raw, part="train"):
    return [os.path.basename(path) for path in getattr(raw, part)[0].paths]


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "images")


# --- decoding --------------------------------------------------------------------

PALETTE = Image.fromarray(noise(6, 5, 3)).quantize(4)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_formats_are_read_as_pillow_reads_them(tmp_path, suffix, mode):
    if (suffix, mode) in (("jpg", "P"), ("webp", "P"), ("ppm", "P")):
        pytest.skip("the format has no palette")
    image = PALETTE if mode == "P" else Image.fromarray(noise(6, 5, 3)).convert(mode)
    path = save(tmp_path / f"x.{suffix}", image)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode(str(path)), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK", "YCbCr"])
def test_modes_are_converted_as_pillow_converts_them(tmp_path, mode):
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    path = save(tmp_path / f"x.{suffix}", Image.fromarray(noise(6, 5, 4)).convert(mode))
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode(str(path)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_a_viewer_shows_them(tmp_path, orientation):
    image = Image.fromarray(noise(4, 7, 3))
    exif = image.getexif()
    exif[0x112] = orientation
    path = save(tmp_path / "x.png", image, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(decode(str(path)), expected)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_image_is_read(tmp_path, suffix):
    first, second = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    path = save(
        tmp_path / f"x.{suffix}", first, save_all=True, append_images=[second],
    )  # fmt: skip
    assert decode(str(path))[0, 0, 0] > 240 and decode(str(path))[0, 0, 2] < 10


def png_of_16_bits(kind, channels):
    """A PNG that Pillow cannot write: color type 2 is RGB, 4 gray and alpha, 6 RGBA."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(
            ">I", zlib.crc32(body)
        )  # fmt: skip

    rows = b"".join(b"\0" + bytes(2 * 4 * channels) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def tiff_of_16_bits():
    """An uncompressed RGB TIFF."""
    pixels = bytes(2 * 3 * 4 * 4)
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 8), (259, 3, 1, 1),
            (262, 3, 1, 2), (273, 4, 1, 14), (277, 3, 1, 3), (278, 3, 1, 4),
            (279, 4, 1, len(pixels))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits = struct.pack("<HHH", 16, 16, 16)
    begin = 8 + len(bits) + len(pixels)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", begin) + bits + pixels + directory


DEEP = {
    "gray.png": lambda path: Image.fromarray(noise(4, 4).astype("uint16")).save(path),
    "gray.tif": lambda path: Image.fromarray(noise(4, 4).astype("uint16")).save(path),
    "int.tif": lambda path: Image.fromarray(noise(4, 4).astype("int32")).save(path),
    "float.tif": lambda path: Image.fromarray(noise(4, 4).astype("float32")).save(path),
    "rgb.png": lambda path: path.write_bytes(png_of_16_bits(2, 3)),
    "alpha.png": lambda path: path.write_bytes(png_of_16_bits(4, 2)),
    "rgba.png": lambda path: path.write_bytes(png_of_16_bits(6, 4)),
    "rgb.tif": lambda path: path.write_bytes(tiff_of_16_bits()),
    "rgb.ppm": lambda path: path.write_bytes(b"P6 4 4 1023\n" + bytes(96)),
    "gray.pgm": lambda path: path.write_bytes(b"P5 4 4 1023\n" + bytes(32)),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_are_refused(folder, name):
    path = folder / "b" / name
    DEEP[name](path)
    with Image.open(path) as image:
        image.load()  # Pillow reads it, and may cut it.
    with pytest.raises(ValueError, match=f"{name} must be .*more than 8 bits"):
        data.load(str(folder))


def test_an_image_beyond_the_limit_of_pillow_is_refused(folder, monkeypatch):
    save(folder / "a" / "large.png", Image.new("RGB", (40, 30)))
    for limit in (1000, 100):  # Pillow warns of the first, and refuses the second.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=r"large.png must be") as caught:
            data.load(str(folder))
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("content", [b"", b"junk", "half"])
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bin", "x", "x.svg"])
def test_what_is_no_image_is_named(folder, name, content):
    whole = (folder / "a" / "0.png").read_bytes()
    content = whole[: len(whole) // 2] if content == "half" else content
    (folder / "a" / "deep").mkdir()
    (folder / "a" / "deep" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"deep/{name} must be a whole image"):
        data.load(str(folder))


# --- which files are read --------------------------------------------------------


def test_files_at_any_depth_and_of_any_format_are_read(folder):
    save(folder / "a" / "more" / "deep" / "x.webp", lossless=True)
    save(folder / "a" / "more" / "x.TIFF")
    os.symlink(folder / "b" / "0.png", folder / "b" / "link.png")
    raw = read_folder(folder)
    own = [f"{i}.png" for i in range(6)]
    assert names_of(raw) == [*own, "x.webp", "x.TIFF", *own, "link.png"]
    images, labels = raw.train
    assert np.bincount(labels).tolist() == [8, 7]
    expected = [np.asarray(Image.open(path).convert("RGB")) for path in images.paths]
    np.testing.assert_array_equal(images.read(), expected)


def test_hidden_files_and_texts_are_ignored(folder):
    expected = read_folder(folder).train[0].paths.tolist()
    for name in (".ipynb_checkpoints", "__MACOSX", ".git"):
        shutil.copytree(folder / "a", folder / name)
        shutil.copytree(folder / "b", folder / "a" / name)
    left_behind = ".DS_Store ._x.png Thumbs.db thumbs.db desktop.ini"
    texts = "labels.csv about.json x.xml README.md x.txt x.html"
    for name in (*left_behind.split(), *texts.split()):
        for here in (folder, folder / "a"):
            (here / name).write_text("no image")
    raw = read_folder(folder)
    assert raw.class_names == ("a", "b") and raw.train[0].paths.tolist() == expected


def test_what_is_neither_file_nor_folder_is_refused(folder, monkeypatch):
    os.mkfifo(folder / "a" / "pipe.png")
    with pytest.raises(ValueError, match=r"files and folders only.*pipe.png"):
        data.load(str(folder))
    os.remove(folder / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder)  # Its path must be short.
        listening.bind("a/socket.png")
        with pytest.raises(ValueError, match=r"files and folders only.*socket.png"):
            data.load(str(folder))
    os.remove(folder / "a" / "socket.png")
    os.symlink(folder / "nowhere", folder / "a" / "broken.png")
    with pytest.raises(ValueError, match=r"files and folders only.*broken.png"):
        data.load(str(folder))


def test_a_loop_of_links_is_refused(folder):
    os.symlink(folder / "a", folder / "a" / "again")
    with pytest.raises(ValueError, match=r"without loops.*again"):
        data.load(str(folder))


def test_a_file_of_no_class_is_refused(folder):
    save(folder / "stray.png")
    with pytest.raises(ValueError, match=r"stray.png, of no class"):
        data.load(str(folder))


# --- layouts ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["valid", "val", "validation"])
def test_the_validation_folder_is_the_validation_set(tmp_path, name):
    for part in ("train", "test", name):
        fill(tmp_path / part, count=8 if part == "train" else 3)
    splits = data.load(str(tmp_path), seed=5)
    assert len(splits.train[1]) == 16 and len(splits.test[1]) == 6
    paths = splits.validation[0].paths
    assert len(paths) == 6 and all(f"/{name}/" in path for path in paths)
    assert splits.validation_index.tolist() == list(range(16, 22))
    assert sorted(splits.train_index) == list(range(16))
    few = data.load(str(tmp_path), train_size=4)
    assert few.validation_index.tolist() == list(range(16, 22))
    with pytest.raises(ValueError, match="`validation_size` must be None"):
        data.load(str(tmp_path), validation_size=4)


def test_without_a_test_folder_a_part_is_set_aside(tmp_path):
    fill(tmp_path / "train", count=10)
    fill(tmp_path / "val", count=4)
    splits = data.load(str(tmp_path))
    assert [len(p[1]) for p in (splits.train, splits.validation, splits.test)] == [
        16, 8, 4
    ]  # fmt: skip
    assert not set(splits.train[0].paths) & set(splits.test[0].paths)


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, ("bus", "train"))
    save(tmp_path / "train" / "steam" / "x.png")
    assert read_folder(tmp_path).class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b", "extra/a"], "no others than .*extra"),
        (["train/a", "train/b", "val/a", "val/b", "valid/a"], "one folder for valida"),
        (["train/a", "train/b", "test/a"], "the same for train and test"),
        (["train/a", "train/b", "val/a", "val/c"], "the same for train and test"),
        (["train/a"], "two classes at least"),
        (["a"], "two classes at least"),
        (["Train/a", "Train/b", "Test/a", "Test/b"], "subfolders.*Train"),
        (["train", "test"], "subfolders.*train"),
        (["train", "train/a", "train/b", "test/a", "test/b"], "subfolders.*train"),
        ([], "two classes at least"),
    ],
)
def test_other_layouts_are_refused(tmp_path, folders, message):
    for name in folders:
        fill(tmp_path, (name,))
    with pytest.raises(ValueError, match=f"`name` must be .*{message}"):
        data.load(str(tmp_path))


# --- reading ---------------------------------------------------------------------


def test_images_of_several_sizes_are_resized_as_by_tensorflow(tmp_path):
    for i, (height, width) in enumerate([(9, 7), (20, 31), (5, 5), (1, 12)]):
        save(
            tmp_path / "ab"[i % 2] / f"{i}.png",
            Image.fromarray(noise(height, width, 3)),
        )
    raw = read_folder(tmp_path, size=(6, 8))
    images = raw.train[0]
    expected = []
    for path in images.paths:
        pixels = tf.cast(np.asarray(Image.open(path)), tf.float32)
        pixels = tf.image.resize(pixels, (6, 8), antialias=True)
        expected.append(np.rint(np.clip(pixels, 0, 255)).astype("uint8"))
    np.testing.assert_array_equal(images.read(), expected)
    order = tf.data.Dataset.from_tensor_slices(np.array([3, 0, 2, 1])).batch(3)
    got = order.map(lambda i: images.read(tf.gather(images.paths, i)))
    assert got.element_spec.shape == (None, 6, 8, 3)
    read = np.concatenate(list(got.as_numpy_iterator()))
    np.testing.assert_array_equal(read, np.array(expected)[[3, 0, 2, 1]])


def test_python_ends_while_batches_are_made(folder):
    code = (
        "import sys; from keras_reinit import data;"
        "images, labels = data.load(sys.argv[1], validation_size=2).train;"
        "stream = data.train_dataset(images, labels, 4, seed=0,"
        " standardize=data.Standardize((0.5,) * 3, (0.5,) * 3));"
        "batches = iter(stream); next(batches); print('read')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, timeout=120
    )
    assert run.stdout.strip() == b"read" and run.returncode == 0


@pytest.mark.parametrize(
    ("paths", "size", "name"),
    [(["a"], "8", "size"), (["a"], (8,), "size"), (["a"], (0, 8), "size"),
     (["a"], (8.0, 8), "size"), ("a", (8, 8), "paths"), ([1], (8, 8), "paths")],
)  # fmt: skip
def test_bad_image_files(paths, size, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        data.ImageFiles(paths, size)


# --- fingerprints ----------------------------------------------------------------


def test_the_fingerprint_of_a_folder_is_that_of_its_content(folder, tmp_path):
    known = data.fingerprint(str(folder))
    assert known == data.load(str(folder), validation_size=2, seed=3).fingerprint
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert data.fingerprint(str(moved)) == known
    one = moved / "a" / "0.png"
    content = one.read_bytes()
    save(one)
    assert data.fingerprint(str(moved)) != known
    one.write_bytes(content)
    assert data.fingerprint(str(moved)) == known
    os.rename(one, moved / "a" / "00.png")
    assert data.fingerprint(str(moved)) != known
