"""Methods that draw nothing: DSD, Hare & Tortoise, DASH; and plasticity injection."""

import keras
import numpy as np
import pytest
from contract import TOY, Spy, Steps, fit, same

from keras_reinit import (
    BornAgain,
    Dash,
    DenseSparseDense,
    HareTortoise,
    Stages,
    add_weight_decay,
    fresh_weights,
    inject_plasticity,
)
from keras_reinit.diagnostics.gradients import Gradients
from keras_reinit.graph.roles import kernels
from keras_reinit.methods.dash import direction_shrink
from keras_reinit.methods.weight_forgetting import smallest

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Zeros(keras.callbacks.Callback):
    """Keeps after each step where the kernels are zero."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append([v.numpy() == 0 for v in kernels(self.model)])


def test_pruned_weights_stay_zero_for_a_stage_and_grow_again(toy, toy_model):
    model, zeros = toy_model(), Zeros()
    callback = DenseSparseDense(Stages(6, 3), sparsity=0.25, final_rate=0.5)
    spy, _ = fit(model, toy, callback, 6, [zeros])
    chosen = {id(v) for v in kernels(model)}
    pruned = [
        smallest(before, 0.25)
        for v, before in zip(model.weights, spy.ends[1], strict=True)
        if id(v) in chosen
    ]
    sparse = zeros.found[8:16]
    assert all(same(step, pruned) for step in sparse)
    assert not any(step.any() for step in zeros.found[7])
    for step, mask in zip(zeros.found[-1], pruned, strict=True):
        assert (step & mask).sum() < mask.sum() / 2  # Some have no gradient.
    assert same(spy.ends[3], spy.begins[4])  # Growing begins at zero.


@pytest.mark.parametrize("wrap", [lambda o: o, keras.optimizers.LossScaleOptimizer])
def test_the_rate_of_later_dense_stages_is_lower_and_the_optimizers_own_stays(wrap):
    """A gradient of 1 and plain SGD: the weight falls by the rate at each step."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    optimizer = wrap(keras.optimizers.SGD(0.25))
    model.compile(optimizer, lambda y, y_pred: y_pred, auto_scale_loss=False)
    model.layers[0].kernel.assign([[100.0]])
    weights, rates = [], set()

    def see(epoch, logs):
        weights.append(float(model.get_weights()[0][0, 0]))
        rates.add(float(optimizer.learning_rate))

    callbacks = [
        DenseSparseDense(Stages(10, 5), sparsity=0.0, final_rate=0.5),
        keras.callbacks.LambdaCallback(on_epoch_end=see),
    ]
    model.fit(np.ones((1, 1)), np.ones(1), epochs=10, verbose=0, callbacks=callbacks)
    falls = -np.diff(weights)
    factors = [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    np.testing.assert_allclose(falls, 0.25 * np.array(factors), rtol=1e-4)
    assert rates == {0.25}


class Interrupting(keras.callbacks.Callback):
    """Raises in a hook of the second stage, or of the third."""

    def __init__(self, hook, epoch):
        super().__init__()
        self.epoch, self.at = epoch, None
        setattr(self, hook, self.interrupt)

    def on_epoch_begin(self, epoch, logs=None):
        self.at = epoch

    def interrupt(self, *args, **kwargs):
        if self.at == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize(
    "hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"]
)
def test_an_interrupted_training_leaves_neither_mask_nor_rate(
    hook, epoch, toy, toy_model
):
    model = toy_model(keras.optimizers.SGD(0.1))
    callbacks = [
        DenseSparseDense(Stages(3, 3), sparsity=0.5),
        Interrupting(hook, epoch),
    ]
    with pytest.raises(KeyboardInterrupt):
        model.fit(*toy, epochs=3, verbose=0, callbacks=callbacks)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)
    assert [v.constraint for v in kernels(model)] == [None] * 3
    first = fresh_weights(model, seed=5)
    after = []
    for trained in (model, toy_model(keras.optimizers.SGD(0.1))):
        trained.set_weights(first)
        trained.fit(*toy, batch_size=32, shuffle=False, verbose=0)
        after.append(trained.get_weights())
    for one, other in zip(*after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_no_mask_outlives_a_training(toy, toy_model):
    model = toy_model()
    own = keras.constraints.MaxNorm(2.0)
    model.layers[0].kernel.constraint = own
    fit(model, toy, DenseSparseDense(Stages(2, 2), sparsity=0.5), 2)
    assert model.layers[0].kernel.constraint is own
    assert (model.layers[0].kernel.numpy() == 0).mean() == 0.5
    model.fit(*toy, verbose=0)
    assert (model.layers[0].kernel.numpy() == 0).mean() < 0.25  # No gradient there.


def test_a_constraint_of_the_model_holds_with_the_mask(toy, toy_model):
    model = toy_model(keras.optimizers.SGD(5.0))
    model.layers[0].kernel.constraint = keras.constraints.MaxNorm(0.1)
    fit(model, toy, DenseSparseDense(Stages(2, 2), sparsity=0.5), 2)
    kernel = model.layers[0].kernel.numpy()
    assert (kernel == 0).mean() == 0.5
    assert np.linalg.norm(kernel, axis=0).max() < 0.101


def test_a_schedule_sets_the_rate_by_itself(toy, toy_model):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 24)
    with pytest.raises(ValueError, match="`final_rate` must be 1 where a schedule"):
        fit(
            toy_model(keras.optimizers.SGD(schedule)),
            toy,
            DenseSparseDense(Stages(3, 3)),
            3,
        )


def test_the_hare_returns_to_the_tortoise(toy, toy_model):
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    model, steps = toy_model(optimizer), Steps()
    spy, _ = fit(model, toy, HareTortoise(Stages(4, 2)), 4, [steps])
    for i, variable in enumerate(model.weights):
        slow = steps.ends[0][i]  # Keras' average begins at the first step's weights.
        for weights in steps.ends[1:8]:
            slow = 0.9 * slow + 0.1 * weights[i]
        expected = slow if variable.trainable else spy.ends[1][i]
        np.testing.assert_allclose(spy.begins[2][i], expected, rtol=1e-4, atol=1e-6)
    assert spy.steps == [0, 4, 8, 12]


def test_the_tortoise_is_validated_with_swapped_weights(toy, toy_model):
    """Beside `SwapEMAWeights`, what ends an epoch is slow, what begins one is fast."""
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    model, spy = toy_model(optimizer), Spy()
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    callbacks = [swap, HareTortoise(Stages(4, 2)), spy]
    model.fit(*toy, batch_size=8, epochs=4, verbose=0, callbacks=callbacks)
    trained = [i for i, v in enumerate(model.weights) if v.trainable]
    for epoch, returns in ((1, True), (0, False), (2, False)):
        ends, begins = spy.ends[epoch], spy.begins[epoch + 1]
        assert returns == same([ends[i] for i in trained], [begins[i] for i in trained])


def test_an_optimizer_without_an_average_is_refused(toy, toy_model):
    with pytest.raises(ValueError, match="must keep a moving average"):
        fit(toy_model(), toy, HareTortoise(Stages(4, 2)), 4)


def test_direction_shrink():
    weight = np.array([[3.0, 1.0, 0.0], [4.0, 0.0, 0.0]])
    descent = np.array([[4.0, -1.0, 1.0], [3.0, 0.0, 1.0]])
    found = direction_shrink(weight, descent, shrink=0.3, axes=(0,))
    np.testing.assert_allclose(found, [[3 * 0.96, 0.3, 0.0], [4 * 0.96, 0.0, 0.0]])
    kept = direction_shrink(weight[:, :1], descent[:, :1], shrink=1.0, axes=(0,))
    np.testing.assert_allclose(kept, weight[:, :1])


def linear_model():
    """One dense layer under the squared error: its gradient is known."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    model.set_weights([np.array([[1.0], [2.0]]), np.array([0.5])])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def test_the_average_gradient_is_that_of_the_batches_without_penalties():
    model = linear_model()
    add_weight_decay(model, 5.0)
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], "float32")
    y = np.zeros((4, 1), "float32")
    first = model.get_weights()
    found = Gradients(model, model).average((x, y), rate=0.3, batch_size=2)
    errors = x @ first[0] + first[1] - y

    def gradient(some):
        return 2 * x[some].T @ errors[some] / 2, 2 * errors[some].mean(keepdims=True)[0]

    for i, variable in enumerate(model.trainable_variables):
        one, two = (gradient(np.s_[at : at + 2])[i] for at in (0, 2))
        expected = 0.7 * (0.3 * one) + 0.3 * two
        np.testing.assert_allclose(found[id(variable)], expected, rtol=1e-5)
    assert same(first, model.get_weights())


def test_the_average_gradient_leaves_the_model_as_it_is(toy, toy_model):
    model = toy_model(wrap=BornAgain)
    fit(model, toy, keras.callbacks.Callback(), 1)
    before = [v.numpy() for v in model.variables]
    steps = int(model.optimizer.iterations)
    found = Gradients(model, model.student).average(toy, rate=0.3, batch_size=8)
    assert same(before, [v.numpy() for v in model.variables])
    assert len(found) == len(model.student.trainable_variables)
    assert int(model.optimizer.iterations) == steps
    assert all(np.abs(gradient).max() > 0 for gradient in found.values())


def test_dash_shrinks_each_vector(toy, toy_model):
    model = toy_model(keras.optimizers.SGD(0.0))
    gradients = Gradients(model, model).average(TOY, rate=0.3, batch_size=8)
    spy, _ = fit(model, toy, Dash(Stages(2, 2), toy, batch_size=8), 2)
    for i, variable in enumerate(model.weights):
        before, after = spy.ends[0][i], spy.begins[1][i]
        if "norm" in variable.path:
            np.testing.assert_array_equal(before, after)
            continue
        descent = -gradients[id(variable)]
        cosine = (before * descent).sum(0) / np.maximum(
            np.linalg.norm(before, axis=0) * np.linalg.norm(descent, axis=0), 1e-30
        )
        expected = before * np.clip(cosine, 0.3, 1)
        np.testing.assert_allclose(after, expected, rtol=2e-3, atol=1e-6)


def test_dash_takes_each_filter_of_a_convolution_by_itself():
    conv = keras.layers.Conv2D(2, 2, name="conv")
    model = keras.Sequential([keras.Input((3, 3, 2)), conv, keras.layers.Flatten()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3, 3, 2)), rng.normal(size=(4, 8))
    callback = Dash(Stages(2, 2), (x, y))
    callback.set_model(model)
    before = conv.kernel.numpy()
    gradient = Gradients(model, model).average((x, y), 0.3)[id(conv.kernel)]
    [value] = [v for variable, v, _ in callback.outcomes(1) if variable is conv.kernel]
    for i in range(2):
        for o in range(2):
            w, g = before[..., i, o].ravel(), -gradient[..., i, o].ravel()
            cosine = w @ g / np.linalg.norm(w) / np.linalg.norm(g)
            expected = before[..., i, o] * max(cosine, 0.3)
            np.testing.assert_allclose(value[..., i, o], expected, rtol=1e-4)


def test_dash_needs_data(toy, toy_model):
    with pytest.raises(ValueError, match="`data` must be the training data"):
        fit(toy_model(), toy, Dash(Stages(2, 2)), 2)


def test_injection_changes_nothing_but_what_learns(toy, toy_model):
    x, y = toy
    model = toy_model()
    before = model.predict(x, verbose=0)
    injected = inject_plasticity(model, seed=1, encoder_end="relu")
    np.testing.assert_array_equal(injected.predict(x, verbose=0), before)
    injected.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
    heads = [injected.get_layer(f"{name}_head") for name in ("old", "new", "first")]
    old, new, first = (head.get_weights() for head in heads)
    assert same(new, first) and same(old, model.get_weights()[6:])
    assert not same(old, new)
    injected.fit(x, y, epochs=5, verbose=0)
    assert same(old, heads[0].get_weights()) and same(first, heads[2].get_weights())
    assert not same(new, heads[1].get_weights())
    again = inject_plasticity(injected, seed=1, event=1, encoder_end="relu")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), injected.predict(x, verbose=0), rtol=1e-5
    )


def test_injection_refuses_a_softmax():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2, "softmax")]
    )
    with pytest.raises(ValueError, match="no softmax or sigmoid at its end"):
        inject_plasticity(model, seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DenseSparseDense(Stages(3, 3), sparsity=2), "`sparsity` must be in"),
        (lambda: Dash(Stages(2, 2), shrink=-1), "`shrink` must be in"),
        (lambda: Dash(Stages(2, 2), rate=2), "`rate` must be in"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def zeros_of(model):
    return [int((v.numpy() == 0).sum()) for v in kernels(model)]


def test_the_mask_holds_in_a_loop_of_ones_own(toy, toy_model):
    model, found = toy_model(keras.optimizers.SGD(0.1)), []
    method = DenseSparseDense(Stages(3, 3), sparsity=0.5, final_rate=1)
    method.set_model(model)
    model.make_train_function()
    method.on_train_begin()
    for epoch in range(3):
        method.on_epoch_begin(epoch)
        model.train_on_batch(*toy)
        found.append(zeros_of(model))
        method.on_epoch_end(epoch, {})
    method.on_train_end()
    assert max(found[0]) == 0 and min(found[1]) > 0


class FitsInside(keras.callbacks.Callback):
    """Fits the same model on something else, at the end of each epoch."""

    def __init__(self, toy):
        super().__init__()
        self.toy, self.busy = toy, False

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and not self.busy:
            self.busy = True
            self.model.fit(*self.toy, verbose=0)
            self.busy = False


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras fits no model inside of its fit"
)
def test_a_fit_inside_of_a_sparse_stage_does_not_end_it(toy, toy_model):
    model, found = toy_model(keras.optimizers.SGD(0.1)), []
    see = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: found.append(zeros_of(model))
    )
    method = DenseSparseDense(Stages(6, 3), sparsity=0.5, final_rate=1)
    model.fit(
        *toy, epochs=6, batch_size=32, verbose=0,
        callbacks=[method, FitsInside(toy), see],
    )  # fmt: skip
    assert min(found[2]) > 0 and min(found[3]) > 0


def test_a_step_that_is_made_again_is_a_sparse_one_again(toy, toy_model):
    model, found = toy_model(keras.optimizers.SGD(0.1)), []

    def again(epoch, logs=None):
        found.append(zeros_of(model))
        if epoch == 3:
            model.make_train_function(force=True)

    callbacks = [
        DenseSparseDense(Stages(6, 2), sparsity=0.5, final_rate=1),
        keras.callbacks.LambdaCallback(on_epoch_end=again),
    ]
    model.fit(*toy, epochs=6, batch_size=32, verbose=0, callbacks=callbacks)
    assert [min(zeros) > 0 for zeros in found] == [False] * 3 + [True] * 3
