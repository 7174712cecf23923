import keras
import numpy as np
import pytest

from keras_reinit import add_weight_decay


def one_weight_after(steps, **kwargs):
    """A weight without any data gradient, under momentum 0.9."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    if "l2" in kwargs:
        add_weight_decay(model, kwargs.pop("l2"))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, **kwargs)
    model.compile(optimizer, loss="mse")
    zeros = np.zeros((steps, 1))
    model.fit(zeros, zeros, batch_size=1, verbose=0)
    return float(model.get_weights()[0].squeeze())


def test_weight_decay_is_l2_in_the_gradient_before_momentum():
    weight, velocity = 1.0, 0.0
    for _ in range(60):
        velocity = 0.9 * velocity - 0.1 * 5e-3 * weight
        weight += velocity
    assert one_weight_after(60, l2=5e-3) == pytest.approx(weight, rel=1e-5)


def test_keras_own_weight_decay_is_about_ten_times_weaker():
    ours = -np.log(one_weight_after(200, l2=5e-3))
    decoupled = -np.log(one_weight_after(200, weight_decay=5e-3))
    assert 8 < ours / decoupled < 11


def test_weight_decay_covers_every_trainable_weight_and_can_be_removed():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2),
            keras.layers.BatchNormalization(),
        ]
    )
    add_weight_decay(model, 0.1)
    expected = 0.05 * sum(
        float((v.numpy() ** 2).sum()) for v in model.trainable_weights
    )
    assert float(sum(model.losses)) == pytest.approx(expected)
    add_weight_decay(model, 0)
    assert model.losses == []
    with pytest.raises(ValueError, match="`weight_decay` must be >= 0"):
        add_weight_decay(model, -1)


def test_weight_decay_never_replaces_a_layers_own_regularizer():
    dense = keras.layers.Dense(2, kernel_regularizer="l1", name="regularized")
    model = keras.Sequential([keras.Input((3,)), dense])
    with pytest.raises(ValueError, match="regularized/kernel"):
        add_weight_decay(model, 1e-4)
