"""Image classification data sets of tensorflow-datasets, as arrays."""

import dataclasses

import numpy as np

from keras_reinit.data.images import check_examples


@dataclasses.dataclass(frozen=True)
class Raw:
    """A data set as it is published, before any split of ours.

    Attributes:
        class_names: Tuple of strings, one for each class.
        train: `(images, labels)`.
        test: `(images, labels)`, or `None` where there is no official test set.
    """

    class_names: tuple
    train: tuple
    test: tuple | None = None


def read_tfds(name, folder=None, test_split="test", hint=""):
    """Reads a data set through tensorflow-datasets, which downloads it once.

    Args:
        name: Its name there; its images must be of one size.
        folder: The data folder of tensorflow-datasets; `None` for its default.
        test_split: The split that is used as test set, where there is one.
        hint: What else to say to one who cannot have it.

    Returns:
        `Raw`.

    Raises:
        ValueError: If it cannot be had, or is no such data set.
    """
    builder = _prepared(name, folder, hint)
    image, label = _keys(name, builder.info)
    parts = {}
    for split in ("train", test_split):
        if split in (builder.info.splits or (split,)):
            columns = _columns(builder, split, (image, label))
            labels = columns[label].astype("int32")
            parts[split] = check_examples(columns[image], labels)
    if "train" not in parts:
        raise ValueError(
            f"`name` must be of a data set with a split 'train'. Received: {name!r}, "
            f"with {list(builder.info.splits)}"
        )
    feature = builder.info.features[label]
    names = tuple(map(feature.int2str, range(feature.num_classes)))
    return Raw(names, parts["train"], parts.get(test_split))


def read_columns(name, split, folder=None, hint=""):
    """Reads all features of a split that are one label for each example.

    Returns:
        Dict of names to integer arrays of shape (n,).
    """
    import tensorflow_datasets as tfds

    builder = _prepared(name, folder, hint)
    kind = tfds.features.ClassLabel
    keys = [k for k, one in builder.info.features.items() if isinstance(one, kind)]
    return _columns(builder, split, keys)


def _prepared(name, folder, hint):
    try:
        import tensorflow_datasets as tfds

        if name == "tiny_imagenet":
            from keras_reinit.data import tiny_imagenet  # noqa: F401 (registers it)
        builder = tfds.builder(name, data_dir=folder)
        builder.download_and_prepare()
        return builder
    except Exception as error:
        if type(error).__name__ == "DatasetNotFoundError":
            raise ValueError(
                "`name` must be 'digits', that of a data set of tensorflow-datasets, "
                f"or the path of a folder of images, with a '/'. Received: {name!r}"
            ) from error
        raise ValueError(
            f"Data set {name!r} could not be loaded through tensorflow-datasets. "
            "Install it (`pip install keras_reinit[data]`) and let it download once "
            f"with internet access {hint}(`folder` is its data folder); 'digits' needs "
            f"no download. Cause: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def _keys(name, info):
    """The names of its image and its label."""
    import tensorflow_datasets as tfds

    keys = info.supervised_keys or ("image", "label")
    features = [info.features[key] for key in keys if key in info.features]
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    fits = len(features) == 2 and all(map(isinstance, features, kinds))
    if not fits or None in features[0].shape:
        raise ValueError(
            "`name` must be of a data set with images of one size and a class for "
            f"each. Received: {name!r}, with {info.features}"
        )
    return keys


def _columns(builder, split, keys):
    rows = builder.as_dataset(split=split).map(lambda row: {k: row[k] for k in keys})
    batches = list(rows.batch(1000).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in keys}
