"""Where the images of a folder lie: which files and subfolders mean what."""

import mimetypes
import os

PARTS = {
    "train": ("train",),
    "validation": ("valid", "val", "validation"),
    "test": ("test",),
}
PART_NAMES = tuple(name for names in PARTS.values() for name in names)
# What nobody would call a class next to others of these.
LIKE_PARTS = (*PART_NAMES, "training", "testing", "dev", "eval", "evaluation")
# What systems leave behind, as names in small letters.
LEFT_BEHIND = ("__macosx", "thumbs.db", "desktop.ini")
TEXTS = ("application/json", "application/xml", "application/csv")


def find_parts(root):
    """Returns a dict of "train", "validation" and "test" to folders of classes.

    There is "train" only where the root has the classes themselves.

    Args:
        root: `pathlib.Path` of a folder.

    Raises:
        ValueError: If it has neither.
    """
    folders = {path.name: path for path in entries(root) if path.is_dir()}
    if "train" in folders and _has_only_folders(folders["train"]):
        _check_no_file(root)
        return _split_parts(root, folders)
    names = sorted(folders)
    if names and {name.casefold() for name in names} <= set(LIKE_PARTS):
        raise ValueError(
            "`name` must be a folder with a subfolder for each class, or with folders "
            f"{PART_NAMES} that have nothing but such subfolders. Received: {root} "
            f"with {names}"
        )
    return {"train": root}


def _has_only_folders(path):
    inside = entries(path)
    return bool(inside) and all(one.is_dir() for one in inside)


def _split_parts(root, folders):
    unknown = sorted(folders.keys() - set(PART_NAMES))
    if unknown:
        raise ValueError(
            f"`name` must be a folder with no others than {PART_NAMES}, if it has "
            f"'train' with a subfolder for each class. Received: {root / unknown[0]}"
        )
    parts = {}
    for part, names in PARTS.items():
        found = [folders[name] for name in names if name in folders]
        if len(found) > 1:
            raise ValueError(
                f"`name` must be a folder with one folder for {part}. Received: "
                f"{found[0]} and {found[1].name}"
            )
        if found:
            parts[part] = found[0]
    return parts


def class_names(parts):
    """Returns the sorted names of the classes, the same in all parts.

    Args:
        parts: Dict of names to folders.

    Raises:
        ValueError: If they differ, or are fewer than two.
    """
    names = {
        part: [path.name for path in entries(here) if path.is_dir()]
        for part, here in parts.items()
    }
    classes = names["train"]
    if len(classes) < 2 or any(other != classes for other in names.values()):
        found = [f"{parts[part]} with {inside}" for part, inside in names.items()]
        raise ValueError(
            "`name` must be a folder with one subfolder of images for each class, the "
            "same for train and test and validation, two classes at least. Received: "
            f"{', '.join(found)}"
        )
    return classes


def files_of(part, classes):
    """Returns a list of paths as strings, and one of the numbers of their classes.

    Raises:
        ValueError: If a class has no image, or if a file is in no class.
    """
    _check_no_file(part)
    paths, labels = [], []
    for label, name in enumerate(classes):
        here = list(_files_below(part / name, ()))
        if not here:
            raise ValueError(
                "`name` must be a folder with an image that Pillow can read of each "
                f"class. Received: none in {part / name}"
            )
        paths += here
        labels += [label] * len(here)
    return paths, labels


def _check_no_file(folder):
    for path in entries(folder):
        if not path.is_dir():
            raise ValueError(
                "`name` must be a folder whose images lie in a subfolder for each "
                f"class. Received: {path}, of no class"
            )


def _files_below(folder, above):
    """All files at any depth, those of a folder in the order of their names."""
    place = os.path.realpath(folder)
    if place in above:
        raise ValueError(
            f"`name` must be a folder without loops. Received: {folder}, a link to a "
            "folder that it lies in"
        )
    for path in entries(folder):
        if path.is_dir():
            yield from _files_below(path, (*above, place))
        else:
            yield str(path)


def entries(folder):
    """Returns the sorted paths in a folder, without what is hidden or text.

    Raises:
        ValueError: If it cannot be read, or there is something that is neither a file
            nor a folder.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not _is_ignored(path))
    except OSError as error:
        raise ValueError(
            f"`name` must be a folder that can be read. Received: {folder}: {error}"
        ) from error
    for path in paths:
        if not (path.is_file() or path.is_dir()) or not _is_utf8(str(path)):
            raise ValueError(
                "`name` must be a folder of files and folders only, with names in "
                f"UTF-8. Received: {str(path)!r}"
            )
    return paths


def _is_utf8(name):
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _is_ignored(path):
    if path.name.startswith(".") or path.name.casefold() in LEFT_BEHIND:
        return True
    kind = mimetypes.guess_type(path.name)[0] or ""
    is_text = kind.startswith("text/") or kind in TEXTS
    return is_text and not path.is_dir()
