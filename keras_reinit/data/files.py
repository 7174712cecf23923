"""Folders of images: read one batch at a time, so that memory stays constant."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from keras_reinit.data.from_tfds import Raw

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images that lie in files; stands for an array (n, height, width, 3) of uint8.

    Indexing by an integer array gives the files of these places; `read` gives pixels.

    Args:
        paths: Array of strings, (n,).
        size: Pair of integers, the height and width that images are resized to.
    """

    paths: np.ndarray
    size: tuple

    dtype = np.dtype("uint8")
    ndim = 4

    def __len__(self):
        return len(self.paths)

    @property
    def shape(self):
        """As that of the array: (n, height, width, 3)."""
        return (len(self), *self.size, 3)

    def __getitem__(self, index):
        return dataclasses.replace(self, paths=self.paths[index])

    def read(self, paths=None):
        """Returns a uint8 tensor of the images at some paths, or of all of them."""
        paths = self.paths if paths is None else paths
        kind = tf.TensorSpec((*self.size, 3), tf.uint8)
        return tf.map_fn(self._read_one, paths, fn_output_signature=kind)

    def _read_one(self, path):
        image = decode(path)
        image = tf.image.resize(tf.cast(image, tf.float32), self.size, antialias=True)
        image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
        return tf.ensure_shape(image, (*self.size, 3))


def decode(path):
    """Returns the uint8 image of a file, (height, width, 3)."""
    return tf.io.decode_image(
        tf.io.read_file(path), channels=3, expand_animations=False
    )


def read_folder(folder, size=None):
    """Finds the images of a folder with one subfolder for each class.

    Either `folder/<class>/*` or `folder/train/<class>/*` and `folder/test/<class>/*`.
    Classes are numbered in alphabetical order. Each file is read once, now: one that
    is no image, or not a whole one, is an error before any training.

    Args:
        folder: Path.
        size: Pair of integers, height and width to resize to; `None` for those of the
            first image.

    Returns:
        `Raw`, with `ImageFiles` for images.

    Raises:
        ValueError: If there are no images, classes differ, or a file cannot be read.
    """
    root = pathlib.Path(folder)
    parts = [root / "train", root / "test"]
    if not all(part.is_dir() for part in parts):
        parts = [root]
    classes = _classes(parts)
    found = [_files(part, classes) for part in parts]
    for paths, _ in found:
        _check_each(paths)
    if size is None:
        size = decode(found[0][0][0]).shape[:2]
    whole = [(ImageFiles(paths, tuple(size)), labels) for paths, labels in found]
    return Raw(tuple(classes), *whole)


def _classes(parts):
    names = [sorted(p.name for p in part.glob("*") if p.is_dir()) for part in parts]
    if not names[0] or any(other != names[0] for other in names):
        raise ValueError(
            "`folder` must have one subfolder of images for each class, the same for "
            f"train and test. Received: {[str(part) for part in parts]} with {names}"
        )
    return names[0]


def _files(part, classes):
    paths, labels = [], []
    for label, name in enumerate(classes):
        here = sorted(
            p for p in (part / name).iterdir() if p.suffix.lower() in SUFFIXES
        )
        if not here:
            raise ValueError(
                f"`folder` must have an image ({', '.join(SUFFIXES)}) of each class. "
                f"Received: none in {part / name}"
            )
        paths += map(str, here)
        labels += [label] * len(here)
    return np.array(paths), np.array(labels, "int32")


def _check_each(paths):
    """A `ValueError` that names the first file that cannot be read."""
    files = tf.data.Dataset.from_tensor_slices(paths)
    sizes = files.map(lambda path: tf.shape(decode(path)), tf.data.AUTOTUNE)
    done = 0
    try:
        for _ in sizes:
            done += 1
    except tf.errors.OpError as error:
        raise ValueError(
            f"{paths[done]} must be a whole image. Received: {error.message[:200]}"
        ) from error
