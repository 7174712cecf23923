"""The contract of all methods."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from contract import (
    METHODS,
    every_method,
    fit,
    mostly_slow,
    one_step_an_execution,
    same,
    state,
)

import keras_reinit
from keras_reinit import Stages, StepStages, per_entry_steps, per_variable_steps


@every_method
def test_weights_change_at_the_begin_of_a_stage_and_nowhere_else(
    method, toy, toy_model
):
    spy, history = fit(toy_model(wrap=method.wrap), toy, method(Stages(6, 3)), 6)
    changed = [
        not same(end, begin)
        for end, begin in zip(spy.ends, spy.begins[1:], strict=False)
    ]
    first, second = method.changes
    assert changed == [False, first, False, second, False]
    assert history["stage"] == [0, 0, 1, 1, 2, 2]


@every_method
def test_optimizer_state_is_fresh_or_kept(method, toy, toy_model):
    spy, _ = fit(toy_model(wrap=method.wrap), toy, method(Stages(4, 2)), 4)
    assert spy.steps == [0, 4, 0, 4]
    kept, _ = fit(
        toy_model(wrap=method.wrap),
        toy,
        method(Stages(4, 2), optimizer_state="keep"),
        4,
    )
    assert kept.steps == [0, 4, 8, 12]


@every_method
def test_one_stage_is_standard_training(method, toy, toy_model):
    keras.utils.set_random_seed(1)
    ours, _ = fit(
        toy_model(wrap=method.wrap), toy, method(Stages(2, 1)), 2, shuffle=False
    )
    keras.utils.set_random_seed(1)
    plain, _ = fit(
        toy_model(wrap=method.wrap), toy, keras.callbacks.Callback(), 2, shuffle=False
    )
    assert same(ours.ends[-1], plain.ends[-1])


@every_method
def test_a_later_fit_goes_on_with_the_schedule(method, toy, toy_model):
    if not method.goes_on:
        pytest.skip("Keras' own averages do not go on either")
    runs = []
    for parts in ([(0, 4)], [(0, 2), (2, 4)]):
        keras.utils.set_random_seed(1)
        model, callback = toy_model(wrap=method.wrap), method(Stages(4, 2), seed=3)
        for begin, end in parts:
            fit(model, toy, callback, end, initial_epoch=begin, shuffle=False)
        runs.append(model.get_weights())
    assert same(*runs)


@every_method
def test_callbacks_can_be_copied_and_serialized(method):
    callback = method(Stages(4, 2), optimizer_state="keep")
    if hasattr(callback, "data"):
        callback.data = None  # Not a part of a configuration.
    assert vars(copy.deepcopy(callback)) == vars(callback)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(callback)))
    assert vars(keras.saving.deserialize_keras_object(config)) == vars(callback)


@every_method
def test_callbacks_hold_no_model_before_and_no_variables_after_a_fit(
    method, toy, toy_model
):
    callback = method(Stages(4, 2))
    assert callback.model is None
    fit(toy_model(wrap=method.wrap), toy, callback, 4)
    callback.set_model(None)
    held = pickle.dumps({k: v for k, v in vars(callback).items() if k != "params"})
    assert len(held) < 4000


@every_method
def test_frozen_layers_are_never_touched(method, toy, toy_model):
    model = toy_model(wrap=method.wrap)
    network = getattr(model, "student", model)
    frozen = [network.get_layer(name) for name in ("first", "norm")]
    for layer in frozen:
        layer.trainable = False
    optimizer = keras.optimizers.SGD(use_ema=hasattr(method.wrap, "use_ema"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    before = [value for layer in frozen for value in layer.get_weights()]
    fit(model, toy, method(Stages(4, 2)), 4)
    after = [value for layer in frozen for value in layer.get_weights()]
    assert same(before, after)


def train(method, toy, toy_model, schedule, epochs=6, callbacks=(), **kwargs):
    """A whole training from fixed seeds: its spy, history, model and callback."""
    keras.utils.set_random_seed(1)
    compiled = {k: kwargs.pop(k) for k in list(kwargs) if k != "optimizer_state"}
    model = toy_model(wrap=method.wrap, **compiled)
    callback = method(schedule, seed=3, **kwargs)
    spy, history = fit(model, toy, callback, epochs, callbacks, shuffle=False)
    return spy, history, model, callback


@every_method
def test_a_schedule_in_steps_is_the_same_training(method, toy, toy_model):
    runs = [
        train(method, toy, toy_model, schedule)
        for schedule in (Stages(6, 3), StepStages(24, 3))
    ]
    (_, history, model, callback), (_, by_steps, other, its) = runs
    assert history["stage"] == by_steps["stage"] == [0, 0, 1, 1, 2, 2]
    assert same(state(model), state(other))
    assert callback.events == [{"stage": 1, "epochs": 2}, {"stage": 2, "epochs": 4}]
    assert its.events == [{"stage": 1, "steps": 8}, {"stage": 2, "steps": 16}]


@every_method
@pytest.mark.parametrize("optimizer_state", ["keep", "reinitialized"])
def test_other_policies_let_the_schedule_run_on(
    method, optimizer_state, toy, toy_model
):
    counting = per_entry_steps if method.make.entries else per_variable_steps
    optimizer = counting(keras.optimizers.Adam(0.01))
    spy, _, model, _ = train(
        method, toy, toy_model, Stages(4, 2), 4,
        optimizer=optimizer, optimizer_state=optimizer_state,
    )  # fmt: skip
    assert spy.steps == [0, 4, 8, 12]
    starts = [keras.ops.convert_to_numpy(f) for f in model.optimizer.first_steps]
    starts = {int(start) for first in starts for start in first.ravel()}
    changes = optimizer_state == "reinitialized" and method.changes[0]
    some = {0} if method.keeps_some else set()
    assert starts == ({8} | some if changes else {0})


@every_method
def test_a_loop_of_fits_of_ones_own_does_the_same(method, toy, toy_model):
    """`apply` between two calls of `fit` changes what the callback changes in one."""
    keras.utils.set_random_seed(1)
    spy, _ = fit(
        toy_model(wrap=method.wrap), toy, method(Stages(4, 2), seed=3), 4, shuffle=False
    )
    keras.utils.set_random_seed(1)
    model, alone = toy_model(wrap=method.wrap), method(Stages(4, 2), seed=3)
    fit(model, toy, keras.callbacks.Callback(), 2, shuffle=False)
    if method.in_fit_only:
        with pytest.raises(ValueError, match="`rescale`|must be a callback of `fit`"):
            alone.apply(model, 1)
        return
    if method.goes_on:  # Else the fit has ended with other weights.
        alone.apply(model, 1)
        assert same(spy.begins[2], [np.copy(w) for w in model.get_weights()])
        held = {k: v for k, v in vars(alone).items() if k not in ("_model", "data")}
        assert len(pickle.dumps(held)) < 4000
    assert alone.events == ([{"stage": 1, "epochs": 2}] if method.goes_on else [])
    with pytest.raises(ValueError, match=r"`stage` must be .*\[1, 1\]"):
        alone.apply(model, 2)


class Interrupt(keras.callbacks.Callback):
    """Ends a training in the middle, as if it were killed."""

    def __init__(self, hook, at):
        super().__init__()
        setattr(self, hook, self.interrupt)
        self.epoch, self.at = None, at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def interrupt(self, at, logs=None):
        if at == self.at or (self.epoch, at) == self.at:
            raise KeyboardInterrupt


def is_resumed(method, schedule, moment, toy, toy_model, folder):
    """Whether a training that was interrupted goes on as one that never was."""

    def backup():
        by_steps = schedule.unit == "steps"
        make = keras.callbacks.BackupAndRestore if by_steps else keras_reinit.Backup
        return make(folder / "backup")

    _, history, model, callback = train(method, toy, toy_model, schedule)
    with pytest.raises(KeyboardInterrupt):
        interrupt = Interrupt(*moment)
        train(method, toy, toy_model, schedule, callbacks=[interrupt, backup()])
    spy, resumed, again, its = train(
        method, toy, toy_model, schedule, callbacks=[backup()]
    )
    assert 0 < len(spy.ends) < 6
    assert its.events == callback.events
    assert resumed["stage"] == history["stage"][-len(spy.ends) :]
    return same(state(model), state(again))


@every_method
@pytest.mark.parametrize(
    ("schedule", "moment"),
    [
        (Stages(6, 3), ("on_train_batch_begin", (2, 0))),  # Right after an event.
        (StepStages(24, 3), ("on_train_batch_end", (2, 2))),
    ],
    ids=["after", "steps"],
)
def test_a_resumed_training_is_the_one_that_was_interrupted(
    method, moment, schedule, toy, toy_model, tmp_path
):
    assert is_resumed(method, schedule, moment, toy, toy_model, tmp_path)


@pytest.mark.parametrize(
    "method", mostly_slow({"redo", "self_distillation", "shrink_perturb"}.__contains__)
)
@pytest.mark.parametrize(
    "moment", [("on_epoch_end", 1), ("on_train_batch_end", (3, 1))], ids=str
)
def test_so_is_one_interrupted_before_an_event_or_amid_a_stage(
    method, moment, toy, toy_model, tmp_path
):
    assert is_resumed(method, Stages(6, 3), moment, toy, toy_model, tmp_path)


@every_method
def test_mixed_precision(method, toy, toy_model):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        # A scale at which no gradient overflows: such a step would be left out.
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01, momentum=0.9), initial_scale=2.0**8
        )
        spy, _, model, _ = train(
            method, toy, toy_model, Stages(4, 2), 4, optimizer=optimizer
        )
    finally:
        keras.config.set_dtype_policy("float32")
    floats = [value for value in spy.ends[-1] if value.dtype.kind == "f"]
    assert all(np.isfinite(v).all() and v.dtype == np.float32 for v in floats)
    assert spy.steps == [0, 4, 0, 4]
    assert float(model.optimizer.dynamic_scale) == 2.0**8


@every_method
def test_bfloat16(method, toy, toy_model):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        spy, *_ = train(method, toy, toy_model, Stages(4, 2), 4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.isfinite(value).all() for value in spy.ends[-1])


@pytest.mark.parametrize(  # Those that wrap no model share their compiled step.
    "method", mostly_slow(lambda name: METHODS[name].wrap or name == "shrink_perturb")
)
def test_compiled_and_not_compiled_steps_agree(method, toy, toy_model):
    runs = [
        train(method, toy, toy_model, Stages(4, 2), 4, **kwargs)[0]
        for kwargs in ({"jit_compile": True}, {"jit_compile": False})
    ]
    for a, b in zip(runs[0].ends[-1], runs[1].ends[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@every_method
@one_step_an_execution
def test_several_steps_in_one_execution(method, toy, toy_model):
    one, two = (
        train(method, toy, toy_model, StepStages(24, 3), steps_per_execution=n)
        for n in (1, 2)
    )
    assert one[1]["stage"] == two[1]["stage"] and one[3].events == two[3].events
    for a, b in zip(one[0].ends[-1], two[0].ends[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_method
def test_a_moving_average_never_brings_back_what_was_changed(method, toy, toy_model):
    """With a learning rate of zero, the weights of the last event must remain."""
    for optimizer_state in ("fresh", "reinitialized", "keep"):
        optimizer = keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.9)
        spy, _, model, _ = train(
            method, toy, toy_model, Stages(4, 2), 4,
            optimizer=optimizer, optimizer_state=optimizer_state,
        )  # fmt: skip
        for variable, last in zip(model.weights, spy.begins[2], strict=True):
            if variable.trainable:
                np.testing.assert_allclose(variable.numpy(), last, rtol=1e-5, atol=1e-7)


@every_method
def test_early_stopping_ends_the_events_too(method, toy, toy_model):
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=2)
    _, history, _, callback = train(
        method, toy, toy_model, Stages(9, 3), 9, callbacks=[stop],
        optimizer=keras.optimizers.SGD(1e-3),
    )  # fmt: skip
    stopped = len(history["stage"])
    assert stopped < 9
    assert [e["epochs"] for e in callback.events] == [s for s in (3, 6) if s < stopped]


@every_method
@pytest.mark.parametrize(
    ("other", "first", "message"),
    [
        (lambda d: keras.callbacks.BackupAndRestore(d), True, "Backup.* after"),
        (
            lambda d: keras.callbacks.BackupAndRestore(d, save_freq=3),
            False,
            "save_freq='epoch'",
        ),
        (lambda d: keras.callbacks.SwapEMAWeights(True), False, "Swap.* before"),
    ],
    ids=["backup first", "backup in the middle", "swap last"],
)
def test_a_callback_at_the_wrong_place_is_said(
    method, other, first, message, toy, toy_model, tmp_path
):
    model = toy_model(keras.optimizers.SGD(0.1, use_ema=True), wrap=method.wrap)
    pair = [method(Stages(4, 2)), other(tmp_path)]
    with pytest.raises(ValueError, match=message):
        model.fit(*toy, epochs=4, callbacks=pair[::-1] if first else pair, verbose=0)
