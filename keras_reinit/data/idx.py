"""IDX files, the format in which MNIST and Fashion-MNIST are published."""

import gzip
import pathlib
import struct

import numpy as np

from keras_reinit.data.from_tfds import Raw
from keras_reinit.data.images import check_examples

# Where Debian's package dataset-fashion-mnist puts them.
FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"


def read_folder(folder):
    """Reads the four gzipped files of a data set like MNIST; None if there are none.

    Returns:
        `Raw`.

    Raises:
        ValueError: If a file is truncated, missing, or no such file.
    """
    here = pathlib.Path(folder)
    if not (here / "train-images-idx3-ubyte.gz").exists():
        return None
    train, test = (
        check_examples(
            read_idx(here / f"{part}-images-idx3-ubyte.gz")[..., None],
            read_idx(here / f"{part}-labels-idx1-ubyte.gz").astype("int32"),
        )
        for part in ("train", "t10k")
    )
    return Raw(int(train[1].max()) + 1, train, test)


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
