"""Every noise against its stated matrix, and against references written apart."""

import tracemalloc

import numpy as np
import pytest
import scipy.stats

from keras_reinit import data
from keras_reinit.data.class_maps import CIFAR10_LOOKALIKES, CIFAR100_SUPERCLASSES
from keras_reinit.data.label_noise import LabelNoise, numbers_of

MATRIX = ((0.7, 0.2, 0.1), (0.0, 1.0, 0.0), (0.25, 0.25, 0.5))
NOISES = {
    "symmetric": data.SymmetricNoise,
    "pair_flip": data.PairFlipNoise,
    "asymmetric": lambda rate: data.AsymmetricNoise(rate, (2, 1, 0)),
    "cifar10": data.AsymmetricNoise.cifar10,
    "cifar100": data.AsymmetricNoise.cifar100,
    "matrix": lambda rate: data.TransitionNoise(
        (1 - rate) * np.eye(3) + rate * np.array(MATRIX)
    ),
    "instance": data.InstanceNoise,
}
CLASSES = {"asymmetric": 3, "matrix": 3, "cifar100": 100}
every_noise = pytest.mark.parametrize("name", NOISES)


def examples(name, count):
    """Labels of all classes in turn, and images that go with them."""
    labels = np.arange(count) % CLASSES.get(name, 10)
    images = np.random.default_rng(0).random((count, 3, 3, 1), "float32")
    return labels, images


def noisy_labels(name, rate, count=1000, seed=0):
    labels, images = examples(name, count)
    classes = CLASSES.get(name, 10)
    return labels, NOISES[name](rate)(labels, classes, seed, images=images)


@every_noise
def test_noise_rate_zero_is_the_identity(name):
    labels, noisy = noisy_labels(name, 0.0)
    np.testing.assert_array_equal(noisy, labels)
    assert noisy.dtype == labels.dtype


@pytest.mark.parametrize("rate", [0.2, 0.45, 1.0])
@pytest.mark.parametrize("name", sorted(NOISES.keys() - {"instance"}))
def test_the_measured_transition_matrix_is_the_stated_one(name, rate):
    labels, noisy = noisy_labels(name, rate, 200_000)
    classes = CLASSES.get(name, 10)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, noisy), 1)
    measured = counts / counts.sum(axis=1, keepdims=True)
    stated = NOISES[name](rate).transition_matrix(classes)
    np.testing.assert_allclose(stated.sum(axis=1), 1)
    np.testing.assert_allclose(measured, stated, atol=5 / counts.sum(1).min() ** 0.5)
    assert not measured[stated == 0].any()


def test_stated_matrices_by_hand():
    np.testing.assert_allclose(
        data.SymmetricNoise(0.3).transition_matrix(3),
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
    )
    np.testing.assert_allclose(
        data.PairFlipNoise(0.45).transition_matrix(3),
        [[0.55, 0.45, 0], [0, 0.55, 0.45], [0.45, 0, 0.55]],
    )
    np.testing.assert_allclose(
        data.AsymmetricNoise(0.4, (0, 2, 1)).transition_matrix(3),
        [[1, 0, 0], [0, 0.6, 0.4], [0, 0.4, 0.6]],
    )


@every_noise
def test_a_label_depends_on_seed_and_index_only(name):
    labels, whole = noisy_labels(name, 0.5)
    images = examples(name, 1000)[1]
    some = np.array([7, 500, 3, 999])
    noise, classes = NOISES[name](0.5), CLASSES.get(name, 10)
    part = noise(labels[some], classes, 0, images=images[some], index=some)
    np.testing.assert_array_equal(part, whole[some])
    assert not np.array_equal(noisy_labels(name, 0.5, seed=4)[1], whole)


@pytest.mark.parametrize("name", sorted(NOISES.keys() - {"instance"}))
def test_what_is_wrong_at_a_low_rate_is_as_wrong_at_a_higher_one(name):
    labels, low = noisy_labels(name, 0.2)
    _, high = noisy_labels(name, 0.6)
    wrong = low != labels
    assert wrong.any() and np.array_equal(low[wrong], high[wrong])


def test_cifar10_lookalikes_by_name():
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    names = names.split()
    changed = {names[c]: names[t] for c, t in enumerate(CIFAR10_LOOKALIKES) if c != t}
    assert changed == {
        "truck": "automobile",
        "bird": "airplane",
        "deer": "horse",
        "cat": "dog",
        "dog": "cat",
    }


# As the data set's publication lists them, superclasses in alphabetical order.
SUPERCLASSES = """
beaver dolphin otter seal whale
aquarium_fish flatfish ray shark trout
orchid poppy rose sunflower tulip
bottle bowl can cup plate
apple mushroom orange pear sweet_pepper
clock keyboard lamp telephone television
bed chair couch table wardrobe
bee beetle butterfly caterpillar cockroach
bear leopard lion tiger wolf
bridge castle house road skyscraper
cloud forest mountain plain sea
camel cattle chimpanzee elephant kangaroo
fox porcupine possum raccoon skunk
crab lobster snail spider worm
baby boy girl man woman
crocodile dinosaur lizard snake turtle
hamster mouse rabbit shrew squirrel
maple_tree oak_tree palm_tree pine_tree willow_tree
bicycle bus motorcycle pickup_truck train
lawn_mower rocket streetcar tank tractor
"""


def test_cifar100_superclasses_by_name():
    groups = [line.split() for line in SUPERCLASSES.split("\n") if line]
    names = sorted(name for group in groups for name in group)
    coarse = {name: i for i, group in enumerate(groups) for name in group}
    assert tuple(coarse[name] for name in names) == CIFAR100_SUPERCLASSES
    targets = data.AsymmetricNoise.cifar100(0.4).targets
    assert sorted(targets) == list(range(100))
    assert all(
        CIFAR100_SUPERCLASSES[c] == coarse[names[t]] for c, t in enumerate(targets)
    )
    assert names[targets[names.index("whale")]] == "beaver"


# --- instance-dependent ----------------------------------------------------------


def test_instance_noise_against_a_reference_of_single_examples():
    count, classes, rate, seed = 40, 5, 0.4, 3
    images = np.random.default_rng(1).integers(0, 256, (count, 2, 3, 3), dtype="uint8")
    labels = np.arange(count) % classes
    got = data.InstanceNoise(rate).transition_rows(
        labels, classes, seed, images, np.arange(count)
    )
    rates = np.random.default_rng((seed, 0x4A7E)).random((count, 1))[:, 0]
    for i, label in enumerate(labels):
        weights = np.random.default_rng((seed, 0x3E17, label)).normal(size=(18, 5))
        others = [c for c in range(classes) if c != label]
        scores = (images[i].ravel() @ weights)[others]
        chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        q = scipy.stats.truncnorm.ppf(rates[i], -4, 6, rate, 0.1)
        expected = np.zeros(classes)
        expected[others] = q * chances
        expected[label] = 1 - q
        np.testing.assert_allclose(got[i], expected, rtol=1e-6, atol=1e-12)


def test_instance_noise_has_its_rate_and_prefers_what_images_suggest():
    labels = np.zeros(20_000, int)
    images = np.zeros((20_000, 4, 4, 1), "float32")
    images[10_000:] = 1.0
    noisy = data.InstanceNoise(0.3)(labels, 10, 0, images=images)
    assert (noisy != 0).mean() == pytest.approx(0.3, abs=0.01)
    dark, light = (np.bincount(part, minlength=10) for part in np.split(noisy, 2))
    assert abs(dark[1:] - light[1:]).max() > 300  # Alike images, alike mistakes.
    with pytest.raises(ValueError, match="`images` must be given"):
        data.InstanceNoise(0.3)(labels, 10, 0)


# --- people ----------------------------------------------------------------------


def test_human_noise_knows_whose_labels_it_replaces():
    clean, given = np.array([0, 1, 2, 3]), np.array([0, 1, 3, 1])
    noise = data.HumanNoise(clean, given)
    np.testing.assert_array_equal(noise(clean, 4), given)
    index = np.array([3, 2])
    np.testing.assert_array_equal(noise(clean[index], 4, index=index), given[index])
    for labels, where in ((clean[::-1], None), (clean[:1], np.array([9]))):
        with pytest.raises(ValueError, match="`labels` must be the published ones"):
            noise(labels, 4, index=where)


def test_human_noise_is_read_in_the_order_of_the_data_set(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=30):
        noise = data.HumanNoise.load("cifar10", "worse_label", folder=str(tmp_path))
        with pytest.raises(ValueError, match="`annotation` must be a feature"):
            data.HumanNoise.load("cifar10", "best_label", folder=str(tmp_path))
    assert noise.clean.shape == noise.given.shape == (30,)
    with pytest.raises(ValueError, match="`dataset` must be one of"):
        data.HumanNoise.load("mnist")


# --- numbers of examples ----------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "index",
    [
        np.arange(10_000), np.arange(10_000)[::-1], np.array([4095, 4096, 0, 8191]),
        np.array([7, 7, 30_000, 7]), np.array([], int), np.arange(5, dtype="uint8"),
    ],
    ids=["all", "backwards", "edges", "twice", "none", "bytes"],
)  # fmt: skip
def test_numbers_are_those_of_one_long_table(index, count):
    key, places = (3, 0x1ABE1), index.astype("int64")
    rows = int(places.max(initial=-1)) + 1
    expected = np.random.default_rng(key).random((rows, count))[places]
    np.testing.assert_array_equal(numbers_of(index, count, key), expected)


def test_memory_does_not_grow_with_the_index():
    labels, index = np.array([0, 1]), np.array([0, 2**50])
    tracemalloc.start()
    noisy = data.SymmetricNoise(0.5)(labels, 2, 0, index=index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert noisy.shape == (2,) and peak < 2**22
    far = numbers_of(np.array([2**50]), 2, (0, 1))[0]
    generator = np.random.Generator(np.random.PCG64((0, 1)).advance(2**51))
    np.testing.assert_array_equal(far, generator.random(2))


# --- bad input -------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NOISES.keys() - {"matrix"}))
@pytest.mark.parametrize("rate", [-0.1, 1.5, "0.4", True, None, float("nan"), [0.1]])
def test_a_rate_is_a_share(name, rate):
    with pytest.raises(ValueError, match=r"`noise_rate` must be in \[0, 1\]"):
        NOISES[name](rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.TransitionNoise([[0.5, 0.4], [0, 1]]), "`matrix` must be square"),
        (
            lambda: data.TransitionNoise([[1.5, -0.5], [0, 1]]),
            "`matrix` must be square",
        ),
        (lambda: data.TransitionNoise([[1, 0]]), "`matrix` must be square"),
        (lambda: data.AsymmetricNoise(0.1, (0, 3)), "`targets` must be classes"),
        (
            lambda: data.AsymmetricNoise.cifar10(0.1)(np.array([0]), 11, 0),
            "`targets` must have num_classes=11",
        ),
        (
            lambda: data.TransitionNoise(MATRIX)(np.array([0]), 4, 0),
            "`matrix` must have num_classes=4",
        ),
        (
            lambda: data.SymmetricNoise(0.1)(np.array([0, 4]), 4, 0),
            r"`labels` must be in \[0, num_classes=4\)",
        ),
        (
            lambda: data.SymmetricNoise(0.1)(np.array([0.5]), 4, 0),
            "`labels` must be a vector of integers",
        ),
        (lambda: data.HumanNoise(np.zeros(2), np.zeros(3)), "`given` must have"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Own(LabelNoise):
    def __init__(self, matrix):
        self.matrix = matrix

    def transition_matrix(self, num_classes):
        return np.array(self.matrix)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: data.TransitionNoise([["a"]]), "matrix"),
        (lambda: data.TransitionNoise([["1"]]), "matrix"),
        (lambda: data.TransitionNoise([[1, 0], [1]]), "matrix"),
        (lambda: data.TransitionNoise([[np.nan, 1], [0, 1]]), "matrix"),
        (lambda: data.TransitionNoise([[True]]), "matrix"),
        (lambda: data.TransitionNoise(3), "matrix"),
        (lambda: data.TransitionNoise(None), "matrix"),
        (lambda: data.TransitionNoise([]), "matrix"),
        (lambda: data.AsymmetricNoise(0.1, targets=3), "targets"),
        (lambda: data.AsymmetricNoise(0.1, targets=("1", "0")), "targets"),
        (lambda: data.AsymmetricNoise(0.1, targets=(1.7, 0)), "targets"),
        (lambda: data.AsymmetricNoise(0.1, targets=(True, False)), "targets"),
        (lambda: data.AsymmetricNoise(0.1, targets=None), "targets"),
        (lambda: data.AsymmetricNoise(0.1, targets=(-1, 0)), "targets"),
        (lambda: data.SymmetricNoise(0.1)(["0"], 4, 0), "labels"),
        (lambda: data.SymmetricNoise(0.1)(3, 4, 0), "labels"),
        (lambda: data.SymmetricNoise(0.1)([0], "4", 0), "num_classes"),
        (lambda: data.SymmetricNoise(0.1)([0], 4.0, 0), "num_classes"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, -1), "seed"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, "0"), "seed"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, 1.5), "seed"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, 0, index=[-1]), "index"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, 0, index=[0.5]), "index"),
        (lambda: data.SymmetricNoise(0.1)([0], 4, 0, index=[0, 1]), "index"),
        (lambda: data.SymmetricNoise(0.1).transition_matrix("3"), "num_classes"),
        (lambda: data.PairFlipNoise(0.1).transition_matrix("3"), "num_classes"),
        (lambda: Own([[0.5, 0.6], [0, 1]])([0], 2, 0), "transition_rows"),
        (lambda: Own([[np.nan, 1], [0, 1]])([0], 2, 0), "transition_rows"),
        (lambda: Own([[1, 0, 0], [0, 1, 0]])([0], 2, 0), "transition_rows"),
        (lambda: data.HumanNoise(["a"], ["b"]), "clean"),
        (lambda: data.HumanNoise([0], [-1]), "given"),
        (lambda: data.HumanNoise([0, 1], [0.0, 1.0]), "given"),
        (lambda: data.HumanNoise([0, 1], [1, 0])([1], 2, index=[-1]), "index"),
        (lambda: data.HumanNoise.load(["cifar10"]), "dataset"),
    ],
)
def test_what_is_no_number_is_said(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: "):
        make()
