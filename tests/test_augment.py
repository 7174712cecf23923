"""Each augmentation against a reference of single images, and in a pipeline."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_reinit import data
from keras_reinit.data import rand_augment
from keras_reinit.data.mixing import _beta

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 6, 6, 3), dtype="uint8")
ONE_HOT = np.eye(20, dtype="float32")
ALL = {
    "crop": data.PadCropFlip(2),
    "crop without flip": data.PadCropFlip(2, flip=False),
    "no pad": data.PadCropFlip(0),
    "cutout": data.Cutout(3, fill=0.2),
    "even cutout": data.Cutout(2, fill=1.0),
    "erasing": data.RandomErasing(chance=0.7),
    "mixup": data.MixUp(0.4),
    "cutmix": data.CutMix(),
    "rand_augment": data.RandAugment(),
}


def draws_for(augment, count=20, seed=1):
    draws = np.random.default_rng(seed).random((count, augment.num_draws))
    return draws.astype("float32")


def call(augment, images, draws):
    """Images, and labels where they change."""
    if augment.mixes_labels:
        return augment(images, ONE_HOT[: len(images)], draws)
    return augment(images, draws), ONE_HOT[: len(images)]


def crop_reference(augment, image, draws):
    pad = augment.pad
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = (draws[:2] * (2 * pad + 1)).astype(int)
    crop = padded[top : top + image.shape[0], left : left + image.shape[1]]
    return crop[:, ::-1] if augment.flip and draws[2] >= 0.5 else crop


def cutout_reference(augment, image, draws):
    image = image.copy()
    row, column = (int(draw * 6) for draw in draws)
    for y in range(row - augment.size // 2, row - augment.size // 2 + augment.size):
        for x in range(
            column - augment.size // 2, column - augment.size // 2 + augment.size
        ):
            if 0 <= y < 6 and 0 <= x < 6:
                image[y, x] = round(augment.fill * 255)
    return image


def erasing_reference(augment, image, draws):
    image = image.copy()
    if draws[0] < augment.chance:
        area = 36 * (augment.area[0] + np.ptp(augment.area) * draws[1])
        aspect = np.exp(np.log(augment.aspect) * (2 * draws[2] - 1))
        height = min(int(np.rint(np.sqrt(area * aspect))), 6)
        width = min(int(np.rint(np.sqrt(area / aspect))), 6)
        top, left = int(draws[3] * (7 - height)), int(draws[4] * (7 - width))
        image[top : top + height, left : left + width] = round(augment.fill * 255)
    return image


REFERENCES = {
    "crop": crop_reference,
    "crop without flip": crop_reference,
    "no pad": crop_reference,
    "cutout": cutout_reference,
    "even cutout": cutout_reference,
    "erasing": erasing_reference,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_against_a_reference_of_single_images(name):
    augment, changed = ALL[name], 0
    draws = draws_for(augment)
    got = augment(IMAGES, draws).numpy()
    for image, row, new in zip(IMAGES, draws, got, strict=True):
        expected = REFERENCES[name](augment, image, row)
        np.testing.assert_array_equal(new, expected)
        changed += not np.array_equal(expected, image)
    assert changed > 5


@pytest.mark.parametrize("parallelism", [1, 8])
@pytest.mark.parametrize("name", ALL)
def test_a_pipeline_gives_what_a_call_gives(name, parallelism):
    augment = ALL[name]
    draws = np.stack([draws_for(augment, seed=i) for i in range(6)])
    pipeline = tf.data.Dataset.from_tensor_slices(draws).map(
        lambda some: call(augment, tf.constant(IMAGES), some),
        num_parallel_calls=parallelism,
    )
    for some, (images, labels) in zip(draws, pipeline, strict=True):
        expected = call(augment, IMAGES, some)
        np.testing.assert_array_equal(images, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


@pytest.mark.parametrize("name", ALL)
def test_types_and_ranges_stay(name):
    augment = ALL[name]
    draws = draws_for(augment)
    whole = call(augment, IMAGES, draws)[0].numpy()
    floats = (IMAGES / 255).astype("float32")
    unit = call(augment, floats, draws)[0].numpy()
    assert whole.dtype == np.uint8 and unit.dtype == np.float32
    assert unit.min() >= 0 and unit.max() <= 1
    np.testing.assert_allclose(unit * 255, whole, atol=1.01)
    gray = call(augment, IMAGES[..., :1], draws)[0]
    assert gray.shape == (20, 6, 6, 1)


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"mixup", "cutmix"}))
def test_an_example_does_not_depend_on_its_neighbours(name):
    augment, some = ALL[name], [3, 17, 4]
    draws = draws_for(augment)
    whole = augment(IMAGES, draws).numpy()
    np.testing.assert_array_equal(augment(IMAGES[some], draws[some]), whole[some])


def test_no_offset_and_no_flip_is_the_identity():
    draws = np.tile([[0.5, 0.5, 0.0]], (20, 1))
    np.testing.assert_array_equal(data.PadCropFlip(2)(IMAGES, draws), IMAGES)


def test_a_rectangle_is_erased_as_often_and_as_large_as_stated():
    images = np.ones((4000, 20, 20, 1), "float32")
    erase = data.RandomErasing(chance=0.4, area=(0.1, 0.3), aspect=0.5, fill=0.0)
    share = 1 - erase(images, draws_for(erase, 4000)).numpy().mean(axis=(1, 2, 3))
    assert (share > 0).mean() == pytest.approx(0.4, abs=0.03)
    assert share[share > 0].mean() == pytest.approx(0.2, abs=0.01)
    assert share[share > 0].min() > 0.07 and share.max() < 0.34


# --- mixing ----------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0])
def test_weights_have_the_stated_distribution(alpha):
    draws = np.random.default_rng(0).random(20_000).astype("float32")
    weights = _beta(draws, alpha).numpy()
    places = np.array([0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999])
    stated = scipy.stats.beta(alpha, alpha).cdf(places)
    measured = (weights[:, None] <= places).mean(axis=0)
    np.testing.assert_allclose(measured, stated, atol=0.012)


def test_mixup_by_hand():
    draws = np.array([[0.25], [0.5], [1.0]])
    images = np.array([0, 100, 200], "uint8").reshape(3, 1, 1, 1)
    mixed, labels = data.MixUp(1.0)(images, np.eye(3), draws)
    assert mixed.numpy().ravel().tolist() == [150, 50, 200]
    np.testing.assert_allclose(
        labels, [[0.25, 0, 0.75], [0.5, 0.5, 0], [0, 0, 1]], atol=1e-6
    )


def test_cutmix_labels_say_how_much_of_each_image_there_is():
    colors = np.arange(20, dtype="uint8")
    images = np.tile(colors[:, None, None, None], (1, 8, 8, 3))
    cutmix = data.CutMix()
    mixed, labels = cutmix(images, ONE_HOT, draws_for(cutmix))
    kinds = set()
    for i, (image, label) in enumerate(zip(mixed.numpy(), labels.numpy(), strict=True)):
        own, other = (image == i).mean(), (image == (i - 1) % 20).mean()
        assert own + other == 1
        np.testing.assert_allclose(label[[i, i - 1]], [own, other], atol=1e-6)
        rows = np.flatnonzero((image[..., 0] != i).any(axis=1))
        columns = np.flatnonzero((image[..., 0] != i).any(axis=0))
        assert len(rows) * len(columns) == (image[..., 0] != i).sum()  # A rectangle.
        kinds.add(0 < own < 1)
    assert True in kinds


# --- RandAugment -----------------------------------------------------------------


def smooth_image():
    """Shapes and gradients: what rounding of single pixels does not matter for."""
    y, x = np.mgrid[:16, :16]
    channels = 40 + 9 * x, 200 - 8 * y + 0 * x, 30 * (x > 6) + 10 * y + 20
    return np.stack(channels, axis=-1).astype("uint8")


def of_pillow(name, image, sign, strength):
    image = Image.fromarray(image)
    factor = 1 + 0.9 * strength * sign
    if name in ("color", "contrast", "brightness", "sharpness"):
        return getattr(ImageEnhance, name.capitalize())(image).enhance(factor)
    if name == "solarize":
        return ImageOps.solarize(image, 255 * (1 - strength))
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(4 * strength))
    return getattr(ImageOps, name)(image)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    "name",
    ["color", "contrast", "brightness", "sharpness", "solarize", "posterize",
     "autocontrast", "equalize"],
)  # fmt: skip
def test_colors_are_those_of_pillow(name, sign, strength):
    for image in (smooth_image(), IMAGES[0], np.full((6, 6, 3), 7, "uint8")):
        expected = np.asarray(of_pillow(name, image, sign, strength)).astype(int)
        pixels = tf.constant(image[None], tf.float32)
        operation = rand_augment.OPERATIONS[name]
        got = operation(pixels, tf.constant([sign]), strength).numpy()[0]
        # Pillow rounds on its way, and cuts the end.
        assert np.abs(got - expected).max() <= 1.5


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    "name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"]
)
def test_geometry_looks_pixels_up(name, sign):
    image, strength = smooth_image(), 0.6
    angle, shear = sign * np.deg2rad(18), sign * 0.18
    shift = np.rint(sign * 0.6 * 150 / 331 * 16)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([7.5, 7.5])
    look_up = {
        "rotate": lambda x, y: turn @ ([x, y] - middle) + middle,
        "shear_x": lambda x, y: (x + shear * y, y),
        "shear_y": lambda x, y: (x, y + shear * x),
        "translate_x": lambda x, y: (x + shift, y),
        "translate_y": lambda x, y: (x, y + shift),
    }[name]
    expected = np.zeros_like(image)
    for y in range(16):
        for x in range(16):
            column, row = (int(np.floor(v + 0.5)) for v in look_up(x, y))
            if 0 <= row < 16 and 0 <= column < 16:
                expected[y, x] = image[row, column]
    pixels = tf.constant(image[None], tf.float32)
    got = rand_augment.OPERATIONS[name](pixels, tf.constant([sign]), strength)
    wrong = (got.numpy()[0] != expected).any(axis=-1)
    assert wrong.mean() < 0.02  # Halves may be rounded either way.


def test_each_operation_is_as_frequent_as_the_others():
    image = smooth_image().repeat(2, axis=0).repeat(2, axis=1)
    augment, images = data.RandAugment(1, 30), np.tile(image, (1400, 1, 1, 1))
    draws = draws_for(augment, 1400)
    got = augment(images, draws).numpy()
    which = (draws[:, 0] * 14).astype(int)
    for i, name in enumerate(rand_augment.OPERATIONS):
        assert 60 < (which == i).sum() < 140
        changed = (got[which == i] != images[0]).any(axis=(1, 2, 3))
        assert changed.all() != (name == "identity")
    none = data.RandAugment(2, 0)
    pixels = none(images, draws_for(none, 1400)).numpy().astype(int)
    unchanged = (pixels == images[0]).all(axis=(1, 2, 3)).mean()
    # Only autocontrast and equalize have no strength.
    assert unchanged == pytest.approx((12 / 14) ** 2, abs=0.04)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (data.PadCropFlip(np.int64(2)), data.PadCropFlip(2)),
        (
            data.RandomErasing(area=np.array([0.1, 0.2])),
            data.RandomErasing(area=(0.1, 0.2)),
        ),
        (data.RandomErasing(aspect=1), data.RandomErasing(aspect=1.0)),
        (data.RandomErasing(aspect=np.float64(0.5)), data.RandomErasing(aspect=0.5)),
    ],
)
def test_numbers_of_any_kind_will_do(one, same):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    draws = rng.random((4, one.num_draws))
    np.testing.assert_array_equal(one(images, draws), same(images, draws))


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("name", ALL)
def test_images_of_any_size_and_batches_of_one(name, shape, count):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *shape, 3), dtype="uint8")
    got, labels = call(ALL[name], images, draws_for(ALL[name], count))
    assert got.shape == images.shape and np.isfinite(labels).all()
    if name in ("mixup", "cutmix") and count == 1:  # With itself.
        np.testing.assert_array_equal(got, images)


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1), (2, 5), (3, 3)])
@pytest.mark.parametrize("name", ["sharpness", "equalize", "autocontrast", "contrast"])
def test_colors_of_small_images_are_those_of_pillow(name, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype="uint8")
    expected = np.asarray(of_pillow(name, image, 1.0, 0.5)).astype(int)
    pixels = tf.constant(image[None], tf.float32)
    got = rand_augment.OPERATIONS[name](pixels, tf.constant([1.0]), 0.5).numpy()[0]
    assert np.abs(got - expected).max() <= 1.5


# --- bad input -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.PadCropFlip(-1), "`pad` must be an integer >= 0"),
        (lambda: data.Cutout(0), "`size` must be an integer >= 1"),
        (lambda: data.Cutout(4, fill=2), r"`fill` must be in \[0, 1\]"),
        (lambda: data.RandomErasing(chance=1.5), r"`chance` must be in \[0, 1\]"),
        (lambda: data.RandomErasing(area=(0.5, 0.1)), "`area` must be two numbers"),
        (lambda: data.RandomErasing(aspect=0), r"`aspect` must be in \(0, 1\]"),
        (lambda: data.RandomErasing(aspect=2.0), r"`aspect` must be in \(0, 1\]"),
        (lambda: data.RandomErasing(area=0.5), "`area` must be two numbers"),
        (lambda: data.RandomErasing(area=("a", 1)), "`area` must be two numbers"),
        (lambda: data.RandomErasing(aspect="1"), r"`aspect` must be in \(0, 1\]"),
        (lambda: data.MixUp(0), "`alpha` must be > 0"),
        (lambda: data.MixUp("1"), "`alpha` must be > 0. Received: alpha='1'"),
        (lambda: data.CutMix(-1), "`alpha` must be > 0"),
        (lambda: data.RandAugment(0), "`num_ops` must be an integer >= 1"),
        (lambda: data.RandAugment(2, 31), r"`magnitude` must be an integer in \[0, 30"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: data.Cutout("8"), "size"),
        (lambda: data.Cutout(True), "size"),
        (lambda: data.Cutout(2.5), "size"),
        (lambda: data.Cutout(4, fill="0.5"), "fill"),
        (lambda: data.Cutout(4, fill=True), "fill"),
        (lambda: data.Cutout(4, fill=float("nan")), "fill"),
        (lambda: data.PadCropFlip("4"), "pad"),
        (lambda: data.PadCropFlip(True), "pad"),
        (lambda: data.PadCropFlip(4, flip="no"), "flip"),
        (lambda: data.PadCropFlip(4, flip=2), "flip"),
        (lambda: data.RandomErasing(chance="1"), "chance"),
        (lambda: data.RandomErasing(chance=True), "chance"),
        (lambda: data.RandomErasing(area=(False, True)), "area"),
        (lambda: data.RandomErasing(area=(float("nan"), 1)), "area"),
        (lambda: data.RandomErasing(area=[[1], [1, 2]]), "area"),
        (lambda: data.RandomErasing(area=None), "area"),
        (lambda: data.RandomErasing(aspect=True), "aspect"),
        (lambda: data.RandomErasing(aspect=float("nan")), "aspect"),
        (lambda: data.MixUp(True), "alpha"),
        (lambda: data.MixUp(float("nan")), "alpha"),
        (lambda: data.CutMix(float("inf")), "alpha"),
        (lambda: data.CutMix(None), "alpha"),
        (lambda: data.RandAugment("2"), "num_ops"),
        (lambda: data.RandAugment(True), "num_ops"),
        (lambda: data.RandAugment(2, "9"), "magnitude"),
        (lambda: data.RandAugment(2, 9.5), "magnitude"),
        (lambda: data.RandAugment(2, -1), "magnitude"),
    ],
)
def test_what_is_no_number_is_said(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        make()


@pytest.mark.parametrize("name", ALL)
def test_batches_that_do_not_fit(name):
    augment = ALL[name]
    draws = draws_for(augment)
    labels = [ONE_HOT] if augment.mixes_labels else []
    for images in (IMAGES[0], IMAGES.astype("int32")):
        with pytest.raises(ValueError, match="`images` must have shape .*Received: "):
            augment(images, *labels, draws)
    for wrong in (draws[:, :-1], draws[:3], draws[0], 0.5, None):
        with pytest.raises(ValueError, match="`draws` must be .*Received: "):
            augment(IMAGES, *labels, wrong)
    if labels:
        with pytest.raises(ValueError, match="`labels` must be vectors"):
            augment(IMAGES, np.arange(20), draws)


def test_draws_of_a_batch_that_do_not_fit():
    for draws in (np.zeros((20, 4)), np.zeros((20, 6)), None):
        with pytest.raises(ValueError, match="`draws` must be"):
            data.augment_batch(
                [data.PadCropFlip(1), data.Cutout(2)], IMAGES, None, draws
            )
