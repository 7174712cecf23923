"""The contract of all methods, and the shell around their rules."""

import copy

import keras
import numpy as np
import pytest

from keras_reinit import (
    FullReinit,
    LayerwiseReinit,
    Reinitialize,
    ShrinkPerturb,
    Stages,
    WarmRestart,
    fresh_weights,
)

METHODS = {
    "full": FullReinit,
    "layerwise": lambda *args, **kw: LayerwiseReinit(*args, normalize=False, **kw),
    "shrink_perturb": ShrinkPerturb,
    "warm_restart": WarmRestart,
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())


class Spy(keras.callbacks.Callback):
    """Keeps weights and optimizer steps at both ends of each epoch."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends, self.steps = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begins.append(self.model.get_weights())
        self.steps.append(int(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(self.model.get_weights())


def fit(model, toy, callback, epochs, **kwargs):
    spy = Spy()
    history = model.fit(
        *toy,
        epochs=epochs,
        batch_size=8,
        verbose=0,
        callbacks=[callback, spy],
        **kwargs,
    )
    return spy, history.history


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@every_method
def test_weights_change_at_the_begin_of_a_stage_and_nowhere_else(make, toy, toy_model):
    spy, history = fit(toy_model(), toy, make(Stages(6, 3)), 6)
    changed = [
        not same(end, begin)
        for end, begin in zip(spy.ends, spy.begins[1:], strict=False)
    ]
    expected = [False, True, False, True, False]
    assert changed == ([False] * 5 if make is WarmRestart else expected)
    assert history["stage"] == [0, 0, 1, 1, 2, 2]


@every_method
def test_optimizer_state_is_fresh_or_kept(make, toy, toy_model):
    spy, _ = fit(toy_model(), toy, make(Stages(4, 2)), 4)
    assert spy.steps == [0, 4, 0, 4]
    kept, _ = fit(toy_model(), toy, make(Stages(4, 2), optimizer_state="keep"), 4)
    assert kept.steps == [0, 4, 8, 12]


def test_learning_rate_schedules_restart_with_the_optimizer(toy, toy_model):
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    schedule = Stages(epochs=4, stages=2)
    decay = keras.optimizers.schedules.CosineDecay(0.1, schedule.stage_epochs * 4)
    model = toy_model(keras.optimizers.SGD(decay))
    callbacks = [WarmRestart(schedule), Rates()]
    model.fit(*toy, epochs=4, batch_size=8, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(rates[:8], rates[8:])
    assert rates[0] == pytest.approx(0.1) and rates[7] < 0.01


@every_method
def test_one_stage_is_standard_training(make, toy, toy_model):
    keras.utils.set_random_seed(1)
    ours, _ = fit(toy_model(), toy, make(Stages(2, 1)), 2, shuffle=False)
    keras.utils.set_random_seed(1)
    plain, _ = fit(toy_model(), toy, keras.callbacks.Callback(), 2, shuffle=False)
    assert same(ours.ends[-1], plain.ends[-1])


@every_method
def test_a_later_fit_goes_on_with_the_schedule(make, toy, toy_model):
    kwargs = {} if make is WarmRestart else {"seed": 3}
    runs = []
    for parts in ([(0, 4)], [(0, 2), (2, 4)]):
        keras.utils.set_random_seed(1)
        model, callback = toy_model(), make(Stages(4, 2), **kwargs)
        for begin, end in parts:
            fit(model, toy, callback, end, initial_epoch=begin, shuffle=False)
        runs.append(model.get_weights())
    assert same(*runs)


@every_method
def test_callbacks_can_be_copied(make):
    callback = make(Stages(4, 2))
    assert vars(copy.deepcopy(callback)) == vars(callback)


@every_method
def test_frozen_layers_are_never_touched(make, toy, toy_model):
    model = toy_model()
    for name in ("first", "norm"):
        model.get_layer(name).trainable = False
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = (
        model.get_layer("first").get_weights() + model.get_layer("norm").get_weights()
    )
    fit(model, toy, make(Stages(4, 2)), 4)
    after = (
        model.get_layer("first").get_weights() + model.get_layer("norm").get_weights()
    )
    assert same(before, after)


@pytest.mark.parametrize("make", [FullReinit, ShrinkPerturb])
def test_frozen_layers_inside_of_others_are_never_touched(make, toy):
    inner = keras.layers.Dense(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Reshape((1, 4)),
            keras.layers.TimeDistributed(inner),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    inner.trainable = False
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [value.copy() for value in inner.get_weights()]
    head = model.layers[-1].get_weights()[0].copy()
    fit(model, toy, make(Stages(2, 2)), 2)
    assert same(before, inner.get_weights())
    assert not np.array_equal(head, model.layers[-1].get_weights()[0])


def test_the_base_class_is_a_rule_to_fill_in(toy, toy_model):
    class Zero(Reinitialize):
        def rule(self, stage, variable, fresh):
            return np.zeros(variable.shape) if "logits" in variable.path else None

    spy, _ = fit(toy_model(), toy, Zero(Stages(2, 2)), 2)
    assert not spy.begins[1][-2].any() and same(spy.begins[1][:-2], spy.ends[0][:-2])


def test_a_short_stage_for_batch_norm_is_said_with_numbers(toy, toy_model):
    def slow(model):
        model.get_layer("norm").momentum = 0.99
        return model

    with pytest.warns(
        UserWarning, match=r"8 steps.*momentum=0.99\), 92%.*at most 0.56"
    ):
        fit(toy_model(wrap=slow), toy, ShrinkPerturb(Stages(4, 2)), 4)


def test_the_fixed_budget_is_kept(toy, toy_model):
    with pytest.raises(ValueError, match="must not run longer.*epochs=5"):
        fit(toy_model(), toy, ShrinkPerturb(Stages(4, 2)), 5)


def test_a_model_that_cannot_be_drawn_is_said_before_training(toy):
    class NoConfig(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="no_config")
            self.kernel = self.add_weight(shape=(4, 3), initializer="zeros")

        def call(self, x):
            return x @ self.kernel

        def get_config(self):
            raise NotImplementedError

    model = keras.Sequential([keras.Input((4,)), NoConfig()])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    spy = Spy()
    with pytest.raises(ValueError, match="no_config"):
        model.fit(*toy, verbose=0, callbacks=[FullReinit(Stages(2, 2)), spy])
    assert spy.begins == []


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ShrinkPerturb(Stages(4, 2), shrink=1.1), "shrink"),
        (lambda: ShrinkPerturb(Stages(4, 2), perturb=-0.1), "perturb"),
        (lambda: FullReinit(5), "schedule"),
        (lambda: FullReinit(Stages(4, 2), optimizer_state="reset"), "optimizer_state"),
        (lambda: FullReinit(Stages(4, 2), seed=-1), "seed"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be.*Received: {name}="):
        make()


def test_seeds_follow_keras_unless_given():
    keras.utils.set_random_seed(1)
    one, two = FullReinit(Stages(4, 2)).seed, FullReinit(Stages(4, 2)).seed
    keras.utils.set_random_seed(1)
    assert one != two and FullReinit(Stages(4, 2)).seed == one


def test_full_reinit_is_a_new_model_trained_on_its_own(toy, toy_model):
    keras.utils.set_random_seed(1)
    model = toy_model()
    spy, _ = fit(model, toy, FullReinit(Stages(4, 2), seed=9), 4, shuffle=False)
    other = toy_model()
    other.set_weights(fresh_weights(other, seed=9, event=1))
    expected, _ = fit(other, toy, keras.callbacks.Callback(), 2, shuffle=False)
    assert same(spy.ends[-1], expected.ends[-1])
