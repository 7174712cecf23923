"""IDX files, the format in which MNIST and Fashion-MNIST are published."""

import gzip
import pathlib
import struct

import numpy as np

from keras_reinit.data.from_tfds import Raw
from keras_reinit.data.images import check_examples

# Where Debian's package dataset-fashion-mnist puts them.
FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"
FASHION_MNIST_CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def read_fashion_mnist(folder=None):
    """Reads the four gzipped files of Fashion-MNIST; `None` if there are none.

    Args:
        folder: Where they lie; `None` for where Debian's package puts them.

    Returns:
        `Raw`.

    Raises:
        ValueError: If a file is truncated, missing, or no such file.
    """
    here = pathlib.Path(folder or FASHION_MNIST_FOLDER)
    if not (here / "train-images-idx3-ubyte.gz").exists():
        return None
    train, test = (
        check_examples(
            read_idx(here / f"{part}-images-idx3-ubyte.gz")[..., None],
            read_idx(here / f"{part}-labels-idx1-ubyte.gz").astype("int32"),
        )
        for part in ("train", "t10k")
    )
    return Raw(FASHION_MNIST_CLASSES, train, test)


def read_idx(path):
    """Reads a gzipped IDX file of unsigned bytes.

    Raises:
        ValueError: If the file is truncated or is no such file.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        zeros, dtype, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
        if (zeros, dtype) != (0, 0x08):
            raise ValueError("it does not begin as an IDX file of unsigned bytes does")
        return values.reshape(shape)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise ValueError(f"{path} must be a whole IDX file: {error}") from error
