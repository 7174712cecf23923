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
        validation: The same of the official validation set.
    """

    class_names: tuple
    train: tuple
    test: tuple | None = None
    validation: tuple | None = None


def read_tfds(name, folder=None, test_split=None, hint=""):
    """Reads a data set through tensorflow-datasets, which downloads it once.

    A class without any training example is left out, and labels are numbered anew.

    Args:
        name: Its name there; its images must be of one size.
        folder: The data folder of tensorflow-datasets; `None` for its default.
        test_split: The split that is used as test set, where there is one; the others
            but "train" are then left out. `None` for "test" and "validation" as
            published, or "validation" as test set where there is no "test".
        hint: What else to say to one who cannot have it.

    Returns:
        `Raw`.

    Raises:
        ValueError: If it cannot be had, or is no such data set.
    """
    builder = _prepared(name, folder, hint)
    image, label = _keys(name, builder.info)
    splits = _splits(name, builder.info.splits, test_split)
    feature = builder.info.features[label]
    parts = {}
    for part, split in splits.items():
        columns = _columns(builder, split, (image, label))
        labels = columns[label].astype("int32")
        _check_known(name, split, labels, feature.num_classes)
        parts[part] = check_examples(columns[image], labels)
    names = list(map(feature.int2str, range(feature.num_classes)))
    return _without_empty_classes(name, names, parts)


def _splits(name, published, test_split):
    """A dict of "train", "validation" and "test" to the splits to be read."""
    # A fake of a data set may not know its own.
    known = set(published or ("train", test_split or "test"))
    if "train" not in known:
        raise ValueError(
            "`name` must be of a data set with a split 'train'. Received: "
            f"name={name!r}, with {sorted(known)}"
        )
    if test_split is None and "test" not in known:
        test_split = "validation"
    validation = "validation" if test_split is None else None
    splits = {"train": "train", "validation": validation, "test": test_split or "test"}
    return {part: split for part, split in splits.items() if split in known}


def _check_known(name, split, labels, num_classes):
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"`name` must be of a data set with a label in [0, {num_classes}) for each "
            f"example. Received: name={name!r}, with labels from {labels.min()} to "
            f"{labels.max()} in {split!r}, as where they are not public"
        )


def _without_empty_classes(name, names, parts):
    """The data set with the classes that there are to train on."""
    present = np.unique(parts["train"][1])
    if len(present) < 2:
        raise ValueError(
            "`name` must be of a data set with two or more classes to train on. "
            f"Received: name={name!r}, with {[names[i] for i in present]}"
        )
    new = np.full(len(names), -1, "int32")
    new[present] = np.arange(len(present))
    renumbered = {}
    for part, (images, labels) in parts.items():
        unknown = np.setdiff1d(labels, present)
        if len(unknown):
            raise ValueError(
                "`name` must be of a data set with training examples of each class. "
                f"Received: name={name!r}, with none of {names[unknown[0]]!r}, which "
                f"is in its {part} set"
            )
        renumbered[part] = images, new[labels]
    return Raw(tuple(names[i] for i in present), **renumbered)


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
            no_folder = ", and there is no such folder" if "/" in name else ""
            raise ValueError(
                "`name` must be 'digits', that of a data set of tensorflow-datasets, "
                "or the path of a folder of images, with a '/'. "
                f"Received: {name!r}{no_folder}"
            ) from error
        raise ValueError(
            "`name` must be of a data set that tensorflow-datasets can load. "
            "Install it (`pip install keras_reinit[data]`) and let it download once "
            f"with internet access {hint}(`folder` is its data folder); 'digits' needs "
            f"no download. Received: name={name!r}. Cause: {type(error).__name__}: "
            f"{str(error)[:300]}"
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
