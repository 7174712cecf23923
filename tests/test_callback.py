"""The shell around the rules."""

import keras
import numpy as np
import pytest
from contract import Spy, fit, not_compiled, one_step_an_execution, same, state

from keras_reinit import (
    FullReinit,
    Reinitialize,
    ShrinkPerturb,
    Stages,
    StepStages,
    WarmRestart,
    fresh_weights,
)


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


@pytest.mark.parametrize("make", [FullReinit, ShrinkPerturb])
def test_the_kernel_under_a_lora_update_is_frozen(make, toy, toy_model):
    model = toy_model()
    dense = model.get_layer("logits")
    dense.enable_lora(2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    kernel, update = dense._kernel.numpy(), dense.lora_kernel_a.numpy()
    spy, _ = fit(model, toy, make(Stages(2, 2), seed=0), 2)
    assert np.array_equal(kernel, dense._kernel.numpy())
    assert not np.array_equal(update, dense.lora_kernel_a.numpy())
    assert not np.array_equal(spy.ends[0][0], spy.begins[1][0])


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


@one_step_an_execution
def test_events_come_with_the_first_execution_at_or_after_their_step(toy, toy_model):
    class Steps(keras.callbacks.Callback):
        seen = []

        def on_train_batch_begin(self, batch, logs=None):
            # Fresh at the event: the count of an optimizer that has just begun.
            self.seen.append((batch, int(self.model.optimizer.iterations)))

    model = toy_model(steps_per_execution=3)
    # 4 steps an epoch: executions begin at 0, 3 | 4, 7 | 8, 11; stages at 0, 6.
    fit(model, toy, WarmRestart(StepStages(12, 2)), 3, [Steps()])
    assert Steps.seen == [(0, 0), (3, 3), (0, 4), (3, 0), (0, 1), (3, 4)]


def test_steps_are_counted_without_looking_at_the_model(toy, toy_model):
    """On JAX a callback that asks for its model has the weights copied back."""

    class Method(WarmRestart):
        asked = 0

        @property
        def model(self):
            type(self).asked += 1
            return self._model

    def asked(epochs):
        Method.asked = 0
        fit(toy_model(), toy, Method(StepStages(16, 2)), epochs)
        return Method.asked

    assert asked(4) - asked(3) == 0


def test_a_schedule_in_steps_needs_to_know_them(toy, toy_model):
    def batches():
        while True:
            yield toy[0][:8], toy[1][:8]

    model = toy_model()
    with pytest.raises(ValueError, match="`fit` must know its steps"):
        model.fit(batches(), callbacks=[WarmRestart(StepStages(4, 2))], verbose=0)
    callback = WarmRestart(StepStages(4, 2))
    model.fit(batches(), steps_per_epoch=4, callbacks=[callback], verbose=0)
    assert len(callback.events) == 1
    with pytest.raises(ValueError, match="budget of 4 steps. Received: steps=8"):
        fit(model, toy, WarmRestart(StepStages(4, 2)), 2)


def test_a_no_op_is_a_no_op(toy, toy_model):
    """To the bit: weights, BatchNorm statistics, optimizer."""
    runs = []
    for callback in (
        ShrinkPerturb(Stages(4, 2), shrink=1, perturb=0, optimizer_state="keep"),
        keras.callbacks.Callback(),
    ):
        keras.utils.set_random_seed(1)
        model = toy_model(keras.optimizers.Adam(0.01, use_ema=True))
        fit(model, toy, callback, 4)
        runs.append(state(model))
    assert same(*runs)


@pytest.mark.parametrize(
    "make", [lambda v: keras.optimizers.Adam(v), "rmsprop", "ftrl"]
)
def test_shrink_0_perturb_1_is_a_newly_built_and_compiled_model(make, toy, toy_model):
    def optimizer():
        return make(0.01) if callable(make) else keras.optimizers.get(make)

    model = toy_model(optimizer())
    callback = ShrinkPerturb(Stages(4, 2), shrink=0, perturb=1, seed=9)
    fit(model, toy, callback, 4, shuffle=False)
    other = toy_model(optimizer())
    other.set_weights(fresh_weights(other, seed=9, event=1))
    fit(other, toy, keras.callbacks.Callback(), 2, shuffle=False)
    assert same(state(model), state(other))


def test_partial_state_needs_an_optimizer_that_counts_by_variable(toy, toy_model):
    callback = ShrinkPerturb(Stages(4, 2), optimizer_state="reinitialized")
    with pytest.raises(ValueError, match="per_variable_steps"):
        fit(toy_model("adam"), toy, callback, 4)


@not_compiled
def test_an_event_compiles_nothing_anew(toy, toy_model):
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    def counted(model):
        return keras.Sequential([keras.Input((4,)), Counting(), *model.layers])

    model = toy_model(wrap=counted)
    fit(model, toy, keras.callbacks.Callback(), 1)
    before = len(calls)
    fit(model, toy, ShrinkPerturb(Stages(6, 3)), 6)
    assert len(calls) == before


def test_given_initializers_are_used_and_serialized(toy, toy_model):
    given = {"*first/kernel": "ones", "*norm/*": keras.initializers.Constant(0.25)}
    callback = FullReinit(Stages(2, 2), seed=0, initializers=given)
    again = FullReinit.from_config(callback.get_config())
    spies = [fit(toy_model(), toy, one, 2)[0] for one in (callback, again)]
    for spy in spies:
        assert np.all(spy.begins[1][0] == 1) and np.all(spy.begins[1][2] == 0.25)
    assert same(spies[0].begins[1], spies[1].begins[1])


def test_a_part_called_student_is_no_student(toy):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.student = keras.layers.Dense(4)
            self.head = keras.layers.Dense(3)

        def call(self, x):
            return self.head(self.student(x))

    model = Own()
    model(toy[0])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    spy, _ = fit(model, toy, FullReinit(Stages(2, 2), seed=0), 2)
    changed = zip(spy.ends[0][::2], spy.begins[1][::2], strict=True)
    assert all(not np.array_equal(a, b) for a, b in changed)
