"""A fresh value is drawn from the initializer's distribution, by its key alone."""

import random

import keras
import numpy as np
import pytest
import scipy.stats

from keras_reinit.fresh import drawing, random_numbers
from keras_reinit.fresh.drawing import draw

initializers = keras.initializers
DISTRIBUTIONS = {
    "normal": lambda seed: initializers.RandomNormal(0.3, 0.2, seed=seed),
    "truncated": lambda seed: initializers.TruncatedNormal(-0.3, 0.2, seed=seed),
    "uniform": lambda seed: initializers.RandomUniform(-1, 3, seed=seed),
    **{
        cls.__name__: lambda seed, cls=cls: cls(seed=seed)
        for cls in (
            initializers.GlorotUniform,
            initializers.GlorotNormal,
            initializers.HeUniform,
            initializers.HeNormal,
            initializers.LecunUniform,
            initializers.LecunNormal,
        )
    },
    **{
        f"{mode} {distribution}": lambda seed, args=(mode, distribution): (
            initializers.VarianceScaling(2.5, *args, seed=seed)
        )
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("uniform", "truncated_normal", "untruncated_normal")
    },
}


@pytest.mark.parametrize("shape", [(3, 5, 40, 77), (1000, 50), (50001,)], ids=str)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_distribution_is_that_of_keras(name, shape):
    initializer = DISTRIBUTIONS[name](1)
    theirs = keras.ops.convert_to_numpy(initializer(shape)).ravel()
    ours = draw(initializer, shape, "float32", (0, 0))
    assert ours.shape == shape and ours.dtype == np.float32
    assert drawing._distribution(initializer, shape) is not None
    scale = float(theirs.std())
    assert ours.std() == pytest.approx(scale, rel=0.02)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03 * scale)
    assert scipy.stats.ks_2samp(ours.ravel(), theirs).pvalue > 1e-4
    if name != "normal" and "untruncated" not in name:  # There are limits.
        assert ours.min() == pytest.approx(theirs.min(), abs=0.02 * scale)
        assert ours.max() == pytest.approx(theirs.max(), abs=0.02 * scale)


def test_numbers_are_independent_of_each_other():
    numbers = draw(initializers.RandomNormal(0, 1), (2**20,), "float32", (0, 0))
    for lag in (1, 2, random_numbers.CHUNK // 2, random_numbers.CHUNK):
        assert abs(np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]) < 0.005
        assert abs(np.corrcoef(numbers[lag:] ** 2, numbers[:-lag] ** 2)[0, 1]) < 0.005
    assert scipy.stats.kurtosis(numbers) == pytest.approx(0, abs=0.02)
    assert 4.3 < np.abs(numbers).max() < 6.8


@pytest.mark.parametrize("name", ["normal", "truncated", "uniform"])
def test_any_number_of_threads_gives_the_same(name, monkeypatch):
    shape = (3, random_numbers.CHUNK + 1)
    several = draw(DISTRIBUTIONS[name](1), shape, "float32", (5, 1))
    monkeypatch.setattr(random_numbers, "THREADS", 1)
    one = draw(DISTRIBUTIONS[name](2), shape, "float32", (5, 1))
    np.testing.assert_array_equal(several, one)


class Drawing(initializers.Initializer):
    """An initializer of others' making, with a generator of its own."""

    def __init__(self, generator):
        self.generator = generator

    def __call__(self, shape, dtype=None):
        if isinstance(self.generator, keras.random.SeedGenerator):
            return keras.random.normal(shape, seed=self.generator)
        normal = getattr(self.generator, "normal", None) or self.generator.gauss
        size = int(np.prod(shape))
        numbers = [normal(0, 1) for _ in range(size)]
        return keras.ops.reshape(keras.ops.array(numbers, dtype), shape)


EVERY_KIND = {
    "keras' generator": lambda seed: Drawing(keras.random.SeedGenerator(seed)),
    "numpy's": lambda seed: Drawing(np.random.default_rng(seed)),
    "numpy's old one": lambda seed: Drawing(np.random.RandomState(seed)),
    "python's": lambda seed: Drawing(random.Random(seed)),
    "normal": DISTRIBUTIONS["normal"],
    "truncated": DISTRIBUTIONS["truncated"],
    "uniform": DISTRIBUTIONS["uniform"],
    "orthogonal": lambda seed: initializers.Orthogonal(seed=seed),
    "seed generator": lambda seed: initializers.HeNormal(
        seed=keras.random.SeedGenerator(seed)
    ),
    "function": lambda seed: lambda shape, dtype: keras.random.normal(shape),
}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_each_key_is_a_stream_and_own_seeds_do_not_matter(name):
    keys = [(0, 1), (0, 2), (1, 1), (0, 1, 0), (0, 1, 0, 0), (0, 0, 1)]
    one, other = EVERY_KIND[name](3), EVERY_KIND[name](4)
    draws = [draw(one, (40, 40), "float32", key).ravel() for key in keys]
    for i, value in enumerate(draws):
        again = draw(other, (40, 40), "float32", keys[i]).ravel()
        np.testing.assert_array_equal(value, again)
        for before in draws[:i]:
            assert abs(np.corrcoef(value, before)[0, 1]) < 0.1


def test_what_was_drawn_for_one_version_is_drawn_for_all():
    """Seeds in papers must go on to mean the same numbers, on every backend."""
    value = draw(initializers.HeNormal(), (3, 2), "float32", (0, 1, 2, 3))
    expected = [-0.0225622, 0.4836929, -1.1957163, -1.1261329, 0.7347467, 0.7013078]
    np.testing.assert_allclose(value.ravel(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_types_of_numbers(dtype):
    for initializer in (initializers.HeNormal(), initializers.Zeros()):
        value = draw(initializer, (64, 64), dtype, (0, 1))
        if keras.backend.backend() == "tensorflow":
            assert value.dtype == np.dtype(dtype)
        random = not isinstance(initializer, initializers.Zeros)
        assert np.unique(value.astype("float32")).size > 1000 * random


class Scaled(initializers.Initializer):
    """An initializer of others' making: no configuration, one inside of another."""

    def __init__(self, scale, inner):
        self.scale = scale
        self.inner = inner

    def __call__(self, shape, dtype=None):
        return self.scale * self.inner(shape, dtype=dtype)


def test_initializers_inside_of_others_get_new_seeds_too():
    initializer = Scaled(5.0, initializers.RandomNormal(0, 1, seed=3))
    one, two = (draw(initializer, (64, 64), "float32", (0, i)) for i in (1, 2))
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1
    assert one.std() == pytest.approx(5, rel=0.1)
    assert initializer.inner.seed == 3


class Product(initializers.Initializer):
    """Two sources of randomness at once."""

    def __init__(self):
        self.inner = initializers.RandomNormal(0, 1)

    def __call__(self, shape, dtype=None):
        return self.inner(shape, dtype) * keras.random.normal(shape, dtype=dtype)


def test_two_sources_of_randomness_are_not_one():
    values = draw(Product(), (64, 64), "float32", (0, 1))
    assert 0.4 < (values < 0).mean() < 0.6


class Listed(initializers.Initializer):
    def __init__(self):
        self.inner = [initializers.RandomNormal(0, 1, seed=3)]

    def __call__(self, shape, dtype=None):
        return self.inner[0](shape, dtype=dtype)


def test_initializers_in_a_list_get_new_seeds():
    one, two = (draw(Listed(), (64, 64), "float32", (0, i)) for i in (1, 2))
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1


def test_type_and_shape_are_those_asked_for():
    wide = draw(lambda shape, dtype: np.zeros(shape), (4, 1), "float32", (0, 1))
    assert wide.dtype == np.float32
    with pytest.raises(ValueError, match="must return the shape they are asked for"):
        draw(lambda shape, dtype: np.zeros((2, 2)), (4, 1), "float32", (0, 1))
