"""The labels that people gave to CIFAR's images: CIFAR-10N and CIFAR-100N."""

import dataclasses

import numpy as np

from keras_reinit.arguments import check_choice
from keras_reinit.data.checks import as_array, check_vector, checked_index
from keras_reinit.data.from_tfds import read_columns
from keras_reinit.data.label_noise import check_labels

# Data sets of tensorflow-datasets with the labels of people.
HUMAN_LABELS = {"cifar10": "cifar10_n", "cifar100": "cifar100_n"}
HINT = (
    "and files of its authors, https://github.com/UCSC-REAL/cifar-10-100n, in its "
    "manual folder "
)


@dataclasses.dataclass(frozen=True, eq=False)
class HumanNoise:
    """Replaces the labels of a training set by those that people gave.

    The share that changes is that of the annotation: of CIFAR-10, 9% in
    `"aggre_label"` (majority of three), 17 to 18% in `"random_label1"` to
    `"random_label3"`, 40% in `"worse_label"`; of CIFAR-100's fine labels, 40% in
    `"noise_label"` (Wei et al. 2022, arXiv 2110.12088). It is no rate that one
    chooses, and no seed matters.

    Args:
        clean: Integer array (n,), the published labels of the whole training set.
        given: Integer array (n,), what people gave instead.

    Raises:
        ValueError: If they differ in shape; when called, for labels that are not the
            clean ones, as when the order of the examples is another.

    Example:

    >>> noise = HumanNoise(clean=np.array([0, 1, 2]), given=np.array([0, 2, 2]))
    >>> noise(np.array([2, 1]), num_classes=3, index=np.array([2, 1]))
    array([2, 2])
    """

    clean: np.ndarray
    given: np.ndarray

    def __post_init__(self):
        clean, given = as_array(self.clean), as_array(self.given)
        if clean.shape != given.shape:
            raise ValueError(
                "`given` must have a label for each of `clean`. Received: shapes "
                f"{given.shape} and {clean.shape}"
            )
        for name, labels in (("clean", clean), ("given", given)):
            object.__setattr__(self, name, check_vector(name, labels, labels.size))

    @classmethod
    def load(cls, dataset="cifar10", annotation="worse_label", folder=None):
        """Reads them through tensorflow-datasets, in its order of the examples.

        Its builders `cifar10_n` and `cifar100_n` need files of the authors, which
        they ask for, in the manual folder.

        Args:
            dataset: `"cifar10"` or `"cifar100"`.
            annotation: Name of the feature, see above.
            folder: The data folder of tensorflow-datasets.

        Raises:
            ValueError: If the data set or the annotation cannot be had.
        """
        check_choice("dataset", dataset, tuple(HUMAN_LABELS))
        columns = read_columns(HUMAN_LABELS[dataset], "train", folder, HINT)
        of_people = sorted(columns.keys() - {"label", "coarse_label"})
        if annotation not in of_people:
            raise ValueError(
                "`annotation` must be a feature with labels of people, of "
                f"{of_people}. Received: annotation={annotation!r}"
            )
        return cls(columns["label"], columns[annotation])

    def __call__(self, labels, num_classes, seed=None, *, images=None, index=None):
        """Returns what people gave; arguments as in `LabelNoise`."""
        labels = check_labels(labels, num_classes)
        index = checked_index(index, len(labels))
        inside = len(self.clean) > index.max(initial=-1)
        if not inside or not np.array_equal(self.clean[index], labels):
            raise ValueError(
                "`labels` must be the published ones, in the order of "
                "tensorflow-datasets, for which people gave others. Received: other "
                "labels, or another order"
            )
        return check_labels(self.given[index], num_classes).astype(labels.dtype)
