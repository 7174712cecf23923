"""Tiny ImageNet for tensorflow-datasets, which has no builder of its own.

Importing this module registers it: `tfds.load("tiny_imagenet")`.
"""

import hashlib
import pathlib

import tensorflow_datasets as tfds

ARCHIVE = "tiny-imagenet-200.zip"
URL = f"https://cs231n.stanford.edu/{ARCHIVE}"
# Of its 248,100,043 bytes.
SHA256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """200 classes of ImageNet at 64x64: 500 images each to train, 50 to validate.

    The labels of the published test images are not public: papers test on the
    validation images, and take their own validation set from the training images.
    Classes are in the order of `wnids.txt`. If the archive cannot be downloaded, put
    it into the manual folder (`<data folder>/downloads/manual`).
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Optional: {ARCHIVE}, from {URL}"

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(64, 64, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=200),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://cs231n.stanford.edu/reports/2015/pdfs/yle_project.pdf",
        )

    def _split_generators(self, dl_manager):
        root = self._extracted(dl_manager) / "tiny-imagenet-200"
        wnids = [*map(_plain, (root / "wnids.txt").read_text().split())]
        self.info.features["label"].names = wnids
        return {
            "train": self._generate_examples(_train(root / "train", wnids)),
            "validation": self._generate_examples(_validation(root / "val")),
        }

    def _extracted(self, dl_manager):
        try:
            archive = pathlib.Path(dl_manager.manual_dir / ARCHIVE)
        except AssertionError:  # There is no manual folder.
            archive = None
        if archive is None or not archive.exists():
            archive = pathlib.Path(dl_manager.download(URL))
        _check_digest(archive)
        return dl_manager.extract(archive)

    def _generate_examples(self, pairs):
        for path, wnid in pairs:
            yield path.name, {"image": path, "label": wnid}


def _check_digest(archive):
    """A `ValueError` for an archive that is not the published one."""
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{archive} must be the published {ARCHIVE}, of SHA-256 {SHA256}. "
            f"Received: SHA-256 {found}"
        )


def _plain(name):
    """A name that stays in its folder, or a `ValueError`."""
    if name in ("", ".", "..") or pathlib.PurePath(name).name != name or "\\" in name:
        raise ValueError(
            f"{ARCHIVE} must have plain names of files and classes. Received: {name!r}"
        )
    return name


def _train(folder, wnids):
    for wnid in wnids:
        for path in sorted((folder / wnid / "images").glob("*.JPEG")):
            yield path, wnid


def _validation(folder):
    for line in (folder / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        yield folder / "images" / _plain(name), wnid
