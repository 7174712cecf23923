import keras
import numpy as np
import pytest
from contract import fit

from keras_reinit import (
    Block,
    LayerwiseReinit,
    ShrinkPerturb,
    Stages,
    add_block_normalization,
    fresh_weights,
    models,
)
from keras_reinit.methods.layerwise_reinit import kept_blocks, rescale
from keras_reinit.methods.shrink_perturb import shrink_perturb


class Begin(keras.callbacks.Callback):
    """Keeps the weights at the begin of each epoch, by path."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.append({v.path: v.numpy() for v in self.model.weights})


def begins(model, toy, callback, epochs):
    spy = Begin()
    model.fit(*toy, epochs=epochs, batch_size=8, verbose=0, callbacks=[callback, spy])
    return spy.weights


def test_shrink_perturb_by_hand():
    np.testing.assert_allclose(
        shrink_perturb(np.array([1.0, -2.0]), np.array([3.0, 5.0]), 0.4, 0.1),
        [0.7, -0.3],
    )


def test_shrink_perturb_covers_batch_norm_and_its_statistics_start_fresh(
    toy, toy_model
):
    model = toy_model(keras.optimizers.SGD(0.0))
    first = model.get_weights()
    spy = begins(model, toy, ShrinkPerturb(Stages(3, 3), seed=4), 3)
    gamma = [next(v[0] for p, v in w.items() if p.endswith("norm/gamma")) for w in spy]
    np.testing.assert_allclose(gamma, [1, 0.5, 0.3], rtol=1e-6)
    for weights in spy[1:]:
        moving = next(v for p, v in weights.items() if p.endswith("moving_mean"))
        assert not moving.any()
    fresh = fresh_weights(model, seed=4, event=1)
    expected = 0.4 * first[0] + 0.1 * fresh[0]
    np.testing.assert_allclose(list(spy[1].values())[0], expected, rtol=1e-6)


def test_layerwise_schedule():
    assert [kept_blocks(t, 10, 5) for t in range(1, 10)] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert [kept_blocks(t, 5, 5) for t in range(1, 5)] == [1, 2, 3, 4]
    assert [kept_blocks(t, 5, 3) for t in range(1, 5)] == [1, 2, 2, 3]


def test_rescale_by_hand():
    np.testing.assert_allclose(rescale(np.array([3.0, 4.0]), 10.0), [6, 8])
    assert not rescale(np.array([3.0, 4.0]), 0.0).any()
    assert not rescale(np.zeros(2), 1.0).any()


def test_layerwise_keeps_rescales_normalizes_and_redraws(toy):
    model = add_block_normalization(models.mlp((4,), 3, width=6))
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    initial = {v.path: v.numpy() for v in model.weights}
    ends = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda e, logs: ends.append(
            {v.path: v.numpy() for v in model.weights}
        )
    )
    callback = LayerwiseReinit(Stages(4, 4), seed=2)
    spy = Begin()
    model.fit(*toy, epochs=4, batch_size=8, verbose=0, callbacks=[callback, spy, keep])
    paths = [v.path for v in model.weights]
    for stage in (1, 2, 3):
        draw = dict(zip(paths, fresh_weights(model, 2, stage), strict=True))
        now, before = spy.weights[stage], ends[stage - 1]
        count = kept_blocks(stage, 4, 3)
        kept = tuple(
            f"{prefix}{i}{end}"
            for i in range(1, count + 1)
            for prefix, end in (("block", "_"), ("block_normalization_", "/"))
        )
        for path in paths:
            if path.endswith("pending"):
                mine = path.startswith(f"block_normalization_{count}/")
                assert now[path] == float(mine)
            elif not path.startswith(kept):
                np.testing.assert_array_equal(now[path], draw[path])
            elif path.endswith(("moving_mean", "moving_variance", "/mean", "/std")):
                np.testing.assert_array_equal(now[path], before[path])
            else:
                norm = np.linalg.norm(initial[path])
                assert np.linalg.norm(now[path]) == pytest.approx(norm, rel=1e-5)
                ratio = norm / np.linalg.norm(before[path])
                np.testing.assert_allclose(now[path], before[path] * ratio, rtol=1e-4)
        # The first batch of the stage set the statistics, and only this block's.
        mean = f"block_normalization_{count}/mean"
        assert not np.array_equal(ends[stage][mean], now[mean])


def test_layerwise_says_where_normalization_is_missing(toy, toy_model):
    with pytest.raises(ValueError, match="add_block_normalization"):
        begins(toy_model(), toy, LayerwiseReinit(Stages(2, 2)), 2)


def test_layerwise_without_rescaling_and_normalization(toy, toy_model):
    callback = LayerwiseReinit(
        Stages(2, 2), num_blocks=1, rescale=False, normalize=False, seed=0
    )
    model = toy_model(keras.optimizers.SGD(0.0))
    first = model.get_weights()
    spy = begins(model, toy, callback, 2)
    now = list(spy[1].values())
    np.testing.assert_array_equal(now[0], first[0])  # In the one block that is kept.
    assert not np.array_equal(now[-2], first[-2])


def trained_elsewhere(toy, toy_model):
    """A model after two epochs, and none of the callbacks that it had."""
    model = toy_model()
    model.fit(*toy, epochs=2, batch_size=8, verbose=0)
    return model


def test_layerwise_takes_no_trained_norms_for_the_first(toy, toy_model):
    model = trained_elsewhere(toy, toy_model)
    callback = LayerwiseReinit(Stages(4, 2), normalize=False)
    with pytest.raises(ValueError, match="`initial_epoch` must be 0.*Received.*=2"):
        fit(model, toy, callback, 4, initial_epoch=2)
    plain = LayerwiseReinit(Stages(4, 2), normalize=False, rescale=False)
    fit(model, toy, plain, 4, initial_epoch=2)
    assert len(plain.events) == 1


def test_norms_belong_to_weights_and_not_to_names(toy):
    """Weights in two nested models may have one path."""

    def part(scale, name):
        inputs = keras.Input((8,))
        dense = keras.layers.Dense(
            8, kernel_initializer=keras.initializers.Constant(scale), name="dense"
        )
        return keras.Model(inputs, dense(inputs), name=name)

    parts = part(0.01, "small"), part(1.0, "large")
    kernels = [one.get_layer("dense").kernel for one in parts]
    assert kernels[0].path == kernels[1].path
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), *parts])
    model.add(keras.layers.Dense(3))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = LayerwiseReinit(Stages(2, 2), num_blocks=1, normalize=False)
    callback.set_model(model)
    callback.prepare()
    expected = [np.linalg.norm(kernel.numpy()) for kernel in kernels]
    for kernel in kernels:
        kernel.assign(3 * kernel.numpy())
    callback._blocks = lambda: [Block((model,))]
    values = {id(v): value for v, value, _ in callback.outcomes(1)}
    found = [np.linalg.norm(values[id(kernel)]) for kernel in kernels]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("bad", ["0.4", None, 1.5, -0.1, float("nan")])
@pytest.mark.parametrize("argument", ["shrink", "perturb"])
def test_shares_are_numbers_from_0_to_1(argument, bad):
    with pytest.raises(ValueError, match=rf"`{argument}` must be in \[0, 1\]. Rec"):
        ShrinkPerturb(Stages(4, 2), **{argument: bad})
