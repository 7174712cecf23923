import copy
import subprocess
import sys

import keras
import numpy as np
import pytest
from contract import dense_model

from keras_reinit import FullReinit, Stages, per_variable_steps, reset_optimizer
from keras_reinit.optimizers.reset import STEPLESS, restart_averages

optimizers = keras.optimizers
schedules = keras.optimizers.schedules
BUILT_IN = {
    name: cls
    for name, cls in vars(optimizers).items()
    if isinstance(cls, type)
    and issubclass(cls, optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}


def two_optimizers(kernels, biases):
    if not hasattr(optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    return optimizers.MultiOptimizer(
        lambda variable: kernels if "kernel" in variable.path else biases
    )


OPTIMIZERS = {
    **{name: cls for name, cls in BUILT_IN.items()},
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "centered": lambda: optimizers.RMSprop(momentum=0.9, centered=True),
    "amsgrad": lambda: optimizers.Adam(amsgrad=True, weight_decay=0.1),
    "schedule": lambda: optimizers.SGD(schedules.CosineDecay(0.1, 10)),
    "loss_scale": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01)),
    "accumulation": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "ema": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "per_variable": lambda: per_variable_steps(optimizers.AdamW(0.01)),
    "multi": lambda: two_optimizers(
        optimizers.Adam(0.02), optimizers.SGD(0.1, momentum=0.9)
    ),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def variables():
    return [
        keras.Variable(np.full((3, 4), 0.5, "float32"), name="kernel"),
        keras.Variable(np.ones(4, "float32"), name="bias"),
    ]


def gradients(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        [rng.normal(size=shape).astype("float32") for shape in ((3, 4), (4,))]
        for _ in range(count)
    ]


def step(optimizer, chosen, values):
    """One update for each of the chosen gradients, as `fit` does it."""
    for grads in chosen:
        grads = [keras.ops.convert_to_tensor(g) for g in grads]
        if keras.backend.backend() != "jax":
            optimizer.apply(grads, values)
            continue
        state = optimizer.variables
        new = optimizer.stateless_apply(
            [v.value for v in state], grads, [v.value for v in values]
        )
        for old, value in zip([*values, *state], [*new[0], *new[1]], strict=True):
            old.assign(value)


@every_optimizer
def test_the_next_steps_are_those_of_a_new_optimizer(name):
    old, values = OPTIMIZERS[name](), variables()
    old.build(values)
    step(old, gradients(5), values)
    for value, begin in zip(values, variables(), strict=True):
        value.assign(begin)
    reset_optimizer(old)
    other, expected = OPTIMIZERS[name](), variables()
    other.build(expected)
    for grads in gradients(6, seed=1):
        step(old, [grads], values)
        step(other, [grads], expected)
        for a, b in zip(values, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"schedule", "multi"}))
def test_a_learning_rate_that_was_set_stays(name):
    optimizer, values = OPTIMIZERS[name](), variables()
    optimizer.build(values)
    optimizer.learning_rate = 0.125
    reset_optimizer(optimizer)
    assert float(optimizer.learning_rate) == 0.125


def test_an_unbuilt_optimizer_is_left_alone():
    for optimizer in (optimizers.SGD(0.1), OPTIMIZERS["loss_scale"]()):
        reset_optimizer(optimizer)
        assert not optimizer.built


PARTIAL = {
    **{cls.__name__: cls for cls in STEPLESS},
    "momentum": OPTIMIZERS["momentum"],
    "centered": OPTIMIZERS["centered"],
    **{
        name: lambda name=name: per_variable_steps(BUILT_IN[name](0.01))
        for name in ("Adam", "AdamW", "Adamax", "Lamb", "Adafactor", "Muon")
        if name in BUILT_IN
    },
    "amsgrad": lambda: per_variable_steps(optimizers.Adam(0.01, amsgrad=True)),
    "loss_scale": lambda: optimizers.LossScaleOptimizer(
        per_variable_steps(optimizers.Adam(0.01))
    ),
    "multi": lambda: two_optimizers(
        per_variable_steps(optimizers.Adam(0.02)), optimizers.SGD()
    ),
    "ema": lambda: per_variable_steps(optimizers.Adam(0.01, use_ema=True)),
}


@pytest.mark.parametrize("name", PARTIAL)
def test_state_of_one_variable_starts_again_with_its_own_step_count(name):
    """The reset variable goes on as with a new optimizer, the other as if alone."""
    (partial, values), (whole, kept), (fresh, begun) = (
        (PARTIAL[name](), variables()) for _ in range(3)
    )
    for optimizer, its in ((partial, values), (whole, kept), (fresh, begun)):
        optimizer.build(its)
    step(partial, gradients(5), values)
    step(whole, gradients(5), kept)
    values[0].assign(begun[0])
    reset_optimizer(partial, [values[0]])
    for grads in gradients(5, seed=1):
        step(partial, [grads], values)
        step(whole, [grads], kept)
        step(fresh, [grads], begun)
    np.testing.assert_allclose(values[0].numpy(), begun[0].numpy(), rtol=1e-6)
    np.testing.assert_array_equal(values[1].numpy(), kept[1].numpy())
    assert int(partial.iterations) == 10


def test_the_average_of_one_variable_starts_again_at_its_present_value():
    (partial, values), (whole, kept) = ((PARTIAL["ema"](), variables()) for _ in "ab")
    for optimizer, its in ((partial, values), (whole, kept)):
        optimizer.build(its)
        step(optimizer, gradients(5), its)
    values[0].assign(np.full((3, 4), 7.0))
    reset_optimizer(partial, [values[0]])
    expected = values[0].numpy()
    for grads in gradients(5, seed=1):
        step(partial, [grads], values)
        step(whole, [grads], kept)
        expected = 0.99 * expected + 0.01 * values[0].numpy()
    averages = partial._model_variables_moving_average
    others = whole._model_variables_moving_average
    np.testing.assert_allclose(averages[0].numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(averages[1].numpy(), others[1].numpy())


NO_OPTIMIZERS = ["adam", None, 3]


@pytest.mark.parametrize("bad", NO_OPTIMIZERS)
@pytest.mark.parametrize("function", [reset_optimizer, per_variable_steps])
def test_what_is_no_optimizer_is_an_error(function, bad):
    with pytest.raises(ValueError, match="`optimizer` must be a .*Received: optimizer"):
        function(bad)


def test_variables_are_a_list_of_those_that_are_trained():
    optimizer, values = optimizers.SGD(0.1), variables()
    reset_optimizer(optimizer, values)  # Not built: there is nothing to reset.
    optimizer.build(values)
    for bad in (values[0], "kernel", variables(), [*values, *variables()]):
        with pytest.raises(ValueError, match="`variables` must be a list.*Received"):
            reset_optimizer(optimizer, bad)


def test_counting_by_variable_twice_is_counting_once():
    optimizer = per_variable_steps(optimizers.Adam(0.01))
    assert per_variable_steps(optimizer) is optimizer


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "Lamb", "Adafactor"])
def test_counting_by_variable_changes_nothing_by_itself(name):
    plain, ours = BUILT_IN[name](0.01), per_variable_steps(BUILT_IN[name](0.01))
    one, two = variables(), variables()
    for optimizer, its in ((plain, one), (ours, two)):
        optimizer.build(its)
        step(optimizer, gradients(5), its)
    for a, b in zip(one, two, strict=True):
        # PyTorch's own update is one for all variables, rounded otherwise.
        rtol = 1e-6 if keras.backend.backend() == "torch" else 0
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol)
    restored = optimizers.deserialize(optimizers.serialize(ours))
    assert type(restored) is type(ours)
    assert isinstance(copy.deepcopy(optimizers.serialize(ours)), dict)


def test_without_its_own_count_the_first_step_would_be_too_large():
    """Why a partial reset of plain Adam is refused: the measured overshoot."""
    optimizer, values = optimizers.Adam(0.01), [keras.Variable(np.zeros(1))]
    optimizer.build(values)
    ones = [[np.ones(1, "float32")]]
    step(optimizer, ones * 200, values)
    for slots in (optimizer._momentums, optimizer._velocities):
        slots[0].assign(np.zeros(1))
    before = values[0].numpy()
    step(optimizer, ones, values)
    assert abs(values[0].numpy() - before)[0] > 1.3 * 0.01
    with pytest.raises(ValueError, match="`optimizer` must count.*per_variable_steps"):
        reset_optimizer(optimizer, values)

    optimizer = per_variable_steps(optimizers.Adam(0.01))
    optimizer.build(values)
    step(optimizer, ones * 200, values)
    reset_optimizer(optimizer, values)
    before = values[0].numpy()
    step(optimizer, ones, values)
    np.testing.assert_allclose(abs(values[0].numpy() - before), 0.01, rtol=1e-4)


def test_what_cannot_count_by_variable_is_refused():
    built = optimizers.Adam()
    built.build(variables())
    for optimizer in (
        optimizers.Nadam(),
        OPTIMIZERS["loss_scale"](),
        OPTIMIZERS["multi"](),
        built,
    ):
        with pytest.raises(ValueError, match="`optimizer` must be a new one"):
            per_variable_steps(optimizer)


def test_averages_start_again_where_weights_were_reset():
    optimizer, values = optimizers.SGD(0.0, use_ema=True, ema_momentum=0.5), variables()
    optimizer.build(values)
    step(optimizer, gradients(3), values)
    values[0].assign(np.full((3, 4), 7.0))
    reset_optimizer(optimizer, [values[0]])
    step(optimizer, gradients(1), values)
    optimizer.finalize_variable_values(values)
    assert np.all(values[0].numpy() == 7.0) and np.all(values[1].numpy() == 1.0)


class Halving(schedules.LearningRateSchedule):
    """A schedule that Keras cannot read back: nobody registered or described it."""

    def __call__(self, step):
        return 0.1 / (1 + keras.ops.cast(step, "float32"))


UNREADABLE_RATES = {"schedule": Halving(), "function": lambda: 0.05}


@pytest.mark.parametrize("rate", UNREADABLE_RATES)
@pytest.mark.parametrize("wrap", [lambda one: one, optimizers.LossScaleOptimizer])
def test_a_learning_rate_of_ones_own_starts_again(rate, wrap):
    def trained(count, reset):
        inner = per_variable_steps(optimizers.Adam(UNREADABLE_RATES[rate]))
        optimizer, values = wrap(inner), variables()
        optimizer.build(values)
        step(optimizer, gradients(count), values)
        for value, begin in zip(values, variables(), strict=True):
            value.assign(begin)
        if reset:
            reset_optimizer(optimizer)
        step(optimizer, gradients(3, seed=1), values)
        return [value.numpy() for value in values]

    for a, b in zip(trained(4, True), trained(0, False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_count_starts_again():
    inner = two_optimizers(optimizers.Adam(0.02), optimizers.SGD(0.1))
    optimizer, values = optimizers.LossScaleOptimizer(inner), variables()
    optimizer.build(values)
    step(optimizer, gradients(3), values)
    levels = [optimizer, inner, *inner.optimizers]
    counts = [int(one._iterations) for one in levels]
    assert counts[1:] == [3, 3, 3] and int(optimizer.step_counter) == 3
    reset_optimizer(optimizer)
    assert [int(one._iterations) for one in levels] == [0, 0, 0, 0]
    assert int(optimizer.step_counter) == 0


class Averaging(optimizers.SGD):
    """A user's optimizer with state at a place of its own."""

    def build(self, variables):
        super().build(variables)
        self.sums = {
            i: self.add_variable_from_reference(v, "sum")
            for i, v in enumerate(variables)
        }

    def update_step(self, gradient, variable, learning_rate):
        total = self.sums[self._get_variable_index(variable)]
        self.assign_add(total, gradient)
        super().update_step(total, variable, learning_rate)


def test_state_at_other_places_starts_again_too():
    optimizer, values = Averaging(0.1), variables()
    optimizer.build(values)
    step(optimizer, gradients(3), values)
    assert any(total.numpy().any() for total in optimizer.sums.values())
    reset_optimizer(optimizer)
    assert not any(total.numpy().any() for total in optimizer.sums.values())


class ReadsItsRate(optimizers.SGD):
    """Takes its rate for a variable, and no rate of zero."""

    def __init__(self, learning_rate=0.1, **kwargs):
        if learning_rate <= 0:
            raise ValueError("a rate of zero trains nothing")
        super().__init__(learning_rate, **kwargs)

    def get_config(self):
        rate = float(keras.ops.convert_to_numpy(self._learning_rate.value))
        return {**super().get_config(), "learning_rate": rate}


def test_a_rate_is_left_to_the_optimizer_that_has_it():
    model = dense_model()
    model.compile(ReadsItsRate(0.5, momentum=0.9), loss="mse")
    model.fit(np.ones((4, 64)), np.ones((4, 64)), verbose=0)
    reset_optimizer(model.optimizer)
    assert int(model.optimizer.iterations) == 0
    assert float(model.optimizer.learning_rate) == 0.5
    assert not any(
        keras.ops.convert_to_numpy(slot).any() for slot in model.optimizer.momentums
    )


class Forgetful(optimizers.SGD):
    def __init__(self, strength, **kwargs):
        super().__init__(0.1, **kwargs)
        self.strength = strength


@pytest.mark.parametrize("state", ["fresh", "reinitialized"])
def test_an_optimizer_without_its_configuration_is_refused_at_the_begin(state):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(Forgetful(3), loss="mse")
    data = np.ones((4, 2)), np.ones((4, 1))
    callback = FullReinit(Stages(2, 2), optimizer_state=state)
    with pytest.raises(ValueError, match="`optimizer` must have a `get_config"):
        model.fit(*data, epochs=2, callbacks=[callback], verbose=0)
    keep = FullReinit(Stages(2, 2), optimizer_state="keep")
    model.fit(*data, epochs=2, callbacks=[keep], verbose=0)


def test_state_is_renewed_a_few_variables_at_a_time():
    values = [keras.Variable(np.ones(10, "float32")) for _ in range(20)]
    optimizer, built = optimizers.Adam(), []
    optimizer.build(values)
    build = optimizers.Adam.build
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            optimizers.Adam,
            "build",
            lambda self, some: (built.append(len(some)), build(self, some)),
        )
        reset_optimizer(optimizer)
    assert built == [1] * 20


PROGRAM = """
import keras, sys
import keras_reinit
model = keras.saving.load_model(sys.argv[1])
print(type(model.optimizer).__name__)
"""


@pytest.mark.parametrize("name", [n for n in ("Adam", "Muon") if n in BUILT_IN])
def test_another_process_can_load_it(name, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(per_variable_steps(BUILT_IN[name](0.01)), loss="mse")
    model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True
    )
    assert loaded.stdout.split() == [f"PerVariableSteps{name}"], loaded.stderr


def test_a_partial_reset_counts_updates_and_not_accumulated_gradients():
    make = lambda: per_variable_steps(  # noqa: E731
        optimizers.Adam(0.01, gradient_accumulation_steps=2)
    )
    (old, values), (new, expected) = (make(), variables()), (make(), variables())
    for optimizer, its in ((old, values), (new, expected)):
        optimizer.build(its)
    step(old, gradients(6), values)
    values[0].assign(expected[0])
    reset_optimizer(old, [values[0]])
    for grads in gradients(6, seed=1):
        step(old, [grads], values)
        step(new, [grads], expected)
    np.testing.assert_allclose(values[0].numpy(), expected[0].numpy(), rtol=1e-6)


def test_state_at_other_places_cannot_start_again_in_part():
    optimizer, values = Averaging(0.1), variables()
    optimizer.build(values)
    with pytest.raises(ValueError, match="`optimizer` must keep its state in lists"):
        reset_optimizer(optimizer, values[:1])


@pytest.mark.skipif(
    not hasattr(optimizers, "ScheduleFreeAdamW"), reason="not in this Keras"
)
def test_a_schedule_free_optimizer_does_not_undo_a_change():
    optimizer, values = optimizers.ScheduleFreeAdamW(1e-3), variables()
    optimizer.build(values)
    step(optimizer, gradients(5), values)
    values[0].assign(np.full((3, 4), 50.0))
    restart_averages(optimizer, values[:1])
    step(optimizer, gradients(5, seed=1), values)
    np.testing.assert_allclose(values[0].numpy(), 50.0, atol=0.1)
