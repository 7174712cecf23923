"""A digest of a whole data set, which tells it from any other content."""

import hashlib
import os
import pathlib

import numpy as np

from keras_reinit.data.images import in_files

DIGEST_BYTES = 16


def digest(raw):
    """Returns the digest of a `Raw`, 32 hexadecimal digits.

    It depends on the names of the classes, and on the shapes, types, pixels and
    labels of all parts; for images in files, on their relative names and contents.
    It does not depend on where the data set lies or on how it is split.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    hasher.update(repr(tuple(map(str, raw.class_names))).encode())
    parts = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    for name, part in parts.items():
        if part is not None:
            _add_part(hasher, name, *part)
    return hasher.hexdigest()


def _add_part(hasher, name, images, labels):
    header = (name, tuple(map(int, images.shape)), images.dtype.str, len(labels))
    hasher.update(repr(header).encode())
    hasher.update(np.ascontiguousarray(labels, "<i8"))
    if in_files(images):
        _add_files(hasher, images.paths)
        return
    for begin in range(0, len(images), 1000):  # A copy of a few, at most.
        hasher.update(np.ascontiguousarray(images[begin : begin + 1000]))


def _add_files(hasher, paths):
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    for path in map(pathlib.Path, paths):
        content = path.read_bytes()
        name = path.relative_to(root).as_posix()
        hasher.update(repr((name, len(content))).encode())
        hasher.update(content)
