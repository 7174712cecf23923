"""Folders of images: read one batch at a time, so that memory stays constant."""

import concurrent.futures
import dataclasses
import itertools
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_reinit.data.at_exit import CALLS
from keras_reinit.data.checks import are_labels, as_array
from keras_reinit.data.decoding import decoded
from keras_reinit.data.folders import class_names, files_of, find_parts
from keras_reinit.data.from_tfds import Raw


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images that lie in files; stands for an array (n, height, width, 3) of uint8.

    Indexing by an integer array gives the files of these places; `read` gives pixels.
    Files are all that Pillow reads, with 8 bits a channel: their first image, turned
    as EXIF says, in RGB.

    Args:
        paths: Array of strings, (n,).
        size: Pair of integers, the height and width that images are resized to.

    Raises:
        ValueError: If an argument is not that.
    """

    paths: np.ndarray
    size: tuple

    dtype = np.dtype("uint8")
    ndim = 4

    def __post_init__(self):
        paths, size = as_array(self.paths), as_array(self.size)
        if paths.ndim != 1 or (paths.size and paths.dtype.kind != "U"):
            raise ValueError(
                f"`paths` must be a vector of strings. Received: paths={self.paths!r}"
            )
        if not are_labels(size, 2) or not size.all():
            raise ValueError(
                "`size` must be two integers >= 1, height and width. Received: "
                f"size={self.size!r}"
            )
        object.__setattr__(self, "paths", paths)
        object.__setattr__(self, "size", tuple(size.tolist()))

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
        if isinstance(paths, tf.Tensor) and not tf.is_symbolic_tensor(paths):
            paths = paths.numpy()
        if tf.is_symbolic_tensor(paths):
            pixels = self._read_later(paths)
        else:
            pixels = tf.constant(self._stacked(in_threads(self._read_one, paths)))
        return tf.ensure_shape(pixels, (paths.shape[0], *self.size, 3))

    def _read_later(self, paths):
        """In several calls, which TensorFlow runs in parallel, in threads of its own.

        Threads of Python cannot be used when Python ends while batches are made.
        """
        count = os.cpu_count() or 1
        ends = [tf.shape(paths)[0] * i // count for i in range(count + 1)]
        parts = [
            tf.numpy_function(
                self._read_some, [paths[begin:end]], tf.uint8, stateful=False
            )
            for begin, end in itertools.pairwise(ends)
        ]
        parts = [tf.ensure_shape(part, (None, *self.size, 3)) for part in parts]
        return tf.concat(parts, axis=0)

    def _read_some(self, paths):
        with CALLS.one():
            if CALLS.ended:  # Nobody will see them.
                return np.zeros((len(paths), *self.size, 3), "uint8")
            return self._stacked(map(self._read_one, paths))

    def _stacked(self, images):
        images = list(images)
        return np.stack(images) if images else np.zeros((0, *self.size, 3), "uint8")

    def _read_one(self, path):
        image = decoded(os.fsdecode(path))
        if image.shape[:2] == self.size:
            return image
        return _resized(image, self.size)


def _resized(image, size):
    """As `tf.image.resize(..., antialias=True)`, which takes five times as long."""
    with tf.device("CPU"):  # A GPU has no use for it.
        pixels = tf.raw_ops.ScaleAndTranslate(
            images=image[None].astype("float32"),
            size=np.array(size, "int32"),
            scale=np.array(size, "float32") / np.array(image.shape[:2], "float32"),
            translation=np.zeros(2, "float32"),
            kernel_type="triangle",
            antialias=True,
        )
    return np.rint(np.clip(pixels.numpy()[0], 0, 255)).astype("uint8")


def decode(path):
    """Returns the uint8 image of a file, (height, width, 3)."""
    return tf.constant(decoded(path))


def in_threads(function, values):
    """Yields a function of values, in their order: Pillow decodes in parallel."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, values)


def read_folder(folder, size=None):
    """Finds the images of a folder with one subfolder for each class.

    Either `folder/<class>/*`, or `folder/train/<class>/*` and, if there are such,
    `folder/test/<class>/*` and `folder/validation/<class>/*` (or `valid`, or `val`).
    Images may lie deeper in the folder of a class. Classes are numbered in
    alphabetical order. Hidden files and texts are ignored. Each other file is read
    once, now: one that is no image, or not a whole one, is an error before any
    training.

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
    if not root.is_dir():
        raise ValueError(
            "`name` must be a folder with one subfolder of images for each class. "
            f"Received: {str(folder)!r}, a folder that does not exist"
        )
    parts = find_parts(root)
    classes = class_names(parts)
    found = {part: files_of(here, classes) for part, here in parts.items()}
    sizes = {part: _sizes(paths) for part, (paths, _) in found.items()}
    size = sizes["train"][0] if size is None else size
    whole = {
        part: (ImageFiles(np.array(paths), size), np.array(labels, "int32"))
        for part, (paths, labels) in found.items()
    }
    return Raw(tuple(classes), **whole)


def _sizes(paths):
    """Those of whole images; a `ValueError` that names the first file that is none."""
    return list(in_threads(lambda path: decoded(path).shape[:2], paths))
