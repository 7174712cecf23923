"""Images in files, decoded by Pillow."""

import math

import numpy as np
from PIL import Image, ImageOps

# Pillow's modes of more than 8 bits, and what it says of others before it cuts them.
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decoded(path):
    """Returns the first image of a file as uint8, (height, width, 3).

    It is turned as its EXIF orientation says, and converted to RGB as Pillow does:
    transparency is left out.

    Raises:
        ValueError: If the file is no whole image, is too large, or has more than 8
            bits a channel.
    """
    try:
        with Image.open(path) as image:
            _check_size(image)
            _check_depth(image)
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # Each format has errors of its own.
        raise ValueError(
            f"`name` must be of a folder of images, but {path} must be a whole image "
            f"of 8 bits a channel. Received: {type(error).__name__}: "
            f"{str(error)[:200]}"
        ) from error


def _check_size(image):
    """An error where Pillow only warns."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and math.prod(image.size) > limit:
        raise ValueError(
            f"{image.width} x {image.height} pixels, more than the {limit} that Pillow "
            "takes for safe (`PIL.Image.MAX_IMAGE_PIXELS`)"
        )


def _check_depth(image):
    if image.mode in DEEP_MODES or any(map(_is_deep, image.tile)):
        raise ValueError(
            f"more than 8 bits a channel (mode {image.mode}), which would be cut; "
            "convert it to 8 bits"
        )


def _is_deep(tile):
    """Whether a part of a file has more than 8 bits, which Pillow would cut."""
    arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    modes = [one for one in arguments if isinstance(one, str)]
    largest = [one for one in arguments if isinstance(one, int)]
    # A PPM file says its largest value.
    is_deep_ppm = tile.codec_name.startswith("ppm") and max(largest, default=0) > 255
    return is_deep_ppm or any(";16" in mode or ";32" in mode for mode in modes)
