"""Methods on units: which entries change, and what becomes of their state, by hand."""

import keras
import numpy as np
import pytest
from contract import Steps, fit

from keras_reinit import (
    ContinualBackprop,
    KnowledgeEvolution,
    ReDo,
    SelfNormalizedResets,
    Stages,
    StepStages,
    UnitFirings,
    UnitStatistics,
    UnitUtilities,
    add_unit_statistics,
    fresh_weights,
    per_entry_steps,
    per_variable_steps,
)
from keras_reinit.diagnostics.plasticity import dormant
from keras_reinit.methods.continual_backprop import averaged, replaced
from keras_reinit.methods.knowledge_evolution import kept_units
from keras_reinit.methods.self_normalized_resets import renewed
from keras_reinit.models import preact_resnet18

EVENT = Stages(2, 2)


def network(optimizer=None, layer=UnitStatistics):
    """Five units, of which the second and the last one are dead: their input is -1."""
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(5, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model = add_unit_statistics(model, layer)
    norm = model.get_layer("norm")
    norm.gamma.assign([1.0, 0.0, 1.0, 1.0, 0.0])
    norm.beta.assign([1.0, -1.0, 1.0, 1.0, -1.0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.0), loss)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 2)).astype("float32"), rng.integers(0, 3, 32)


def test_the_score_is_relative_to_the_layer():
    activity = np.array([0.0, 0.01, 1.0, 2.99])
    assert dormant(activity, 0.0).tolist() == [True, False, False, False]
    assert dormant(activity, 0.025).tolist() == [True, True, False, False]
    assert dormant(np.zeros(2), 0.0).all()


def test_redo_changes_what_makes_and_reads_dormant_units_and_nothing_else():
    model = network()
    spy, _ = fit(model, data(), ReDo(EVENT, seed=3), 2)
    before, after = spy.ends[0], spy.begins[1]
    fresh = fresh_weights(model, seed=3, event=1)
    names = ["/".join(v.path.split("/")[-2:]) for v in model.weights]
    dead = [1, 4]
    for name, old, new, drawn in zip(names, before, after, fresh, strict=True):
        expected = old.copy()
        if name == "hidden/kernel":
            expected[:, dead] = drawn[:, dead]
        elif name == "head/kernel":
            expected[dead] = 0
        elif name.startswith(("hidden", "norm")):
            expected[dead] = drawn[dead]
        np.testing.assert_array_equal(new, expected, err_msg=name)
    assert (before[0][:, dead] != after[0][:, dead]).all()


def test_redo_leaves_the_function_as_it_is():
    x, _ = data()
    model = network()
    before = model.predict(x, verbose=0)
    fit(model, data(), ReDo(EVENT, threshold=0.0), 2)
    model.get_layer("norm").moving_mean.assign(np.zeros(5))  # It moves in training.
    model.get_layer("norm").moving_variance.assign(np.ones(5))
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-6)


def test_without_dormant_units_nothing_happens():
    model = network()
    model.get_layer("norm").gamma.assign(np.ones(5))
    model.get_layer("norm").beta.assign(np.ones(5))
    spy, _ = fit(model, data(), ReDo(EVENT), 2)
    for old, new in zip(spy.ends[0], spy.begins[1], strict=True):
        np.testing.assert_array_equal(old, new)


def test_only_touched_entries_start_again_in_the_optimizer():
    """Their next step is Adam's first: of the size of the learning rate."""
    model = network(per_entry_steps(keras.optimizers.Adam(1e-3)))
    steps = Steps()
    fit(model, data(), ReDo(EVENT, seed=3), 2, callbacks=[steps])
    before, after = steps.begins[4], steps.ends[4]  # Of the step after the event.
    step = np.abs(after[0] - before[0])
    starts = keras.ops.convert_to_numpy(model.optimizer.first_steps[0])
    assert starts.tolist() == [[0, 4, 0, 0, 4]] * 2
    head = keras.ops.convert_to_numpy(model.optimizer.first_steps[4])
    assert head.tolist() == [[0] * 3, [4] * 3, [0] * 3, [0] * 3, [4] * 3]
    # The outgoing weights are zero, so nothing flows back yet.
    assert (step[:, [1, 4]] == 0).all() and (step[:, [0, 2, 3]] > 0).all()
    out = np.abs(after[7] - before[7])
    live = out[[1, 4]][out[[1, 4]] > 0]
    assert live.size and (live == pytest.approx(1e-3, rel=1e-2))


def test_an_optimizer_with_one_count_is_refused():
    adam = keras.optimizers.Adam
    for optimizer in (adam(), per_variable_steps(adam())):
        with pytest.raises(ValueError, match=r"per_entry_steps\(...\)"):
            fit(network(optimizer), data(), ReDo(EVENT), 2)


def test_redo_needs_statistics(toy, toy_model):
    with pytest.raises(ValueError, match="must have UnitStatistics layers"):
        fit(toy_model(), toy, ReDo(EVENT), 2)
    with pytest.raises(ValueError, match="`threshold` must be >= 0"):
        ReDo(EVENT, threshold=-1)


def test_a_unit_of_a_residual_stream_is_dormant_where_all_of_it_is():
    x = keras.Input((2,))
    one = keras.layers.Dense(2, name="one")(x)
    two = keras.layers.Dense(2, name="two")(keras.layers.ReLU()(one))
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.ReLU()(one + two)))
    model = add_unit_statistics(model)
    for name, bias in (("one", [-9.0, -9.0]), ("two", [-9.0, 99.0])):
        model.get_layer(name).bias.assign(bias)
        model.get_layer(name).kernel.assign(np.zeros((2, 2)))
    model.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    fit(model, data(), ReDo(EVENT), 2)
    # The second unit is silent in the first layer, but not after the addition.
    biases = [model.get_layer(name).bias.numpy().tolist() for name in ("one", "two")]
    assert biases == [[0.0, -9.0], [0.0, 99.0]]


def test_the_first_units_are_kept():
    index, size = np.array([0, 1, 2, 0, 1, 2, 3]), np.array([3, 3, 3, 4, 4, 4, 4])
    kept = kept_units(index, size, 0.5)
    assert kept.tolist() == [True, True, False, True, True, False, False]
    assert kept_units(np.arange(30), np.full(30, 30), 0.1).sum() == 3
    assert not kept_units(index, size, 0.0).any() and kept_units(index, size, 1).all()


def test_knowledge_evolution_keeps_a_network_in_the_network():
    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            keras.layers.Conv2D(3, 1, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    x, y = data()
    x = np.repeat(x, 2, axis=1).reshape(32, 2, 2, 1)
    spy, _ = fit(model, (x, y), KnowledgeEvolution(EVENT, seed=3), 2)
    before, after = spy.ends[0], spy.begins[1]
    fresh = fresh_weights(model, seed=3, event=1)
    lost = {0: np.s_[..., 2], 1: np.s_[2:], 6: np.s_[2::3]}  # Kernels, and a bias.
    for i, (old, new, drawn) in enumerate(zip(before, after, fresh, strict=True)):
        expected = old.copy()
        if i in lost:
            expected[lost[i]] = drawn[lost[i]]
        np.testing.assert_array_equal(new, expected)


def test_knowledge_evolution_of_a_residual_network_keeps_its_function_within():
    """Without the units that are not kept, what is drawn anew makes no difference."""
    outputs = []
    for seed in (3, 4):
        keras.utils.set_random_seed(0)
        model = preact_resnet18((8, 8, 3), 3, width=4)
        method = KnowledgeEvolution(EVENT, keep=0.5, seed=seed)
        method.set_model(model)
        method.prepare()
        changed = [v for v, value, _ in method.outcomes(1) if value is not None]
        method._reinitialize(1)
        for variable in changed:
            weight = variable.numpy()
            rows = [None] * 2
            if len(weight.shape) > 1:
                if weight.shape[-2] > 3:
                    rows[0] = slice(weight.shape[-2] // 2, None)
                if weight.shape[-1] > 3:
                    rows[1] = slice(weight.shape[-1] // 2, None)
                if rows[0]:
                    weight[..., rows[0], :] = 0
                if rows[1]:
                    weight[..., rows[1]] = 0
            variable.assign(weight)
        x = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
        outputs.append(model.predict(x, verbose=0))
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert np.ptp(outputs[0]) > 0


def test_utilities_are_averaged_and_what_is_due_adds_up():
    assert averaged(np.array([1.0, 2.0]), np.array([3.0, 0.0]), 0.5).tolist() == [2, 1]
    options = {"rate": 0.3, "maturity": 1, "decay": 0.5}
    utility = np.array([0.6, 0.7, 0.1, 0.0])
    age = np.array([2, 3, 9, 1])  # Corrected: 0.8, 0.8, about 0.1; one is too young.
    chosen, due = replaced(utility, age, 0.0, **options)
    assert not chosen.any() and due == pytest.approx(0.9)
    chosen, due = replaced(utility, age, due, **options)
    assert chosen.tolist() == [False, False, True, False]
    assert due == pytest.approx(0.8)
    chosen, due = replaced(utility, age, 1.2, **options)
    assert chosen.tolist() == [True, False, True, False]  # The older one stays.
    assert not replaced(utility, np.zeros(4), 0.0, **options)[0].any()


def test_continual_backprop_replaces_the_least_useful_units_at_each_step():
    model = network(layer=UnitUtilities)
    layer = model.get_layer("unit_statistics_1")
    model.get_layer("norm").trainable = False  # Activities are the same in each step.
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    steps = Steps()
    method = ContinualBackprop(StepStages(4, 4), rate=0.25, maturity=1, seed=3)
    model.fit(
        *data(), batch_size=32, epochs=4, shuffle=False, verbose=0,
        callbacks=[method, steps],
    )  # fmt: skip
    head = next(i for i, v in enumerate(model.weights) if "head/kernel" in v.path)
    kernel = steps.begins[0][0], steps.begins[0][head]
    # Frozen parts of a unit stay; its other weights are those of the unit.
    use = np.abs(kernel[1]).mean(1) * activity(model, steps.ends[0])
    first, second = np.argsort(use, kind="stable")[:2]
    for i, gone in enumerate(([], [], [first], [first, second])):
        changed = (steps.begins[i][0] != kernel[0]).any(0)
        assert np.flatnonzero(changed).tolist() == sorted(gone)
        zero = (steps.begins[i][head] == 0).all(1)
        assert np.flatnonzero(zero).tolist() == sorted(gone)
    age = keras.ops.convert_to_numpy(layer.age)
    assert age[first] == 1 and age[second] == 0 and sorted(age)[2:] == [3, 3, 3]


def activity(model, weights):
    """The statistics' first weight, among all weights of a model."""
    paths = [v.path for v in model.weights]
    return weights[next(i for i, path in enumerate(paths) if path.endswith("activity"))]


def test_continual_backprop_needs_utilities():
    with pytest.raises(ValueError, match="must have UnitUtilities layers"):
        fit(network(), data(), ContinualBackprop(EVENT), 2)
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\)"):
        ContinualBackprop(EVENT, decay=1.0)
    with pytest.raises(ValueError, match="`layer` must be `UnitStatistics` or"):
        add_unit_statistics(network(), keras.layers.Dense)


def test_thresholds_follow_the_times_between_firings():
    threshold, two = np.array([100.0, 5.0]), np.array([20.0, 20.0])
    usual = -np.log(0.1) * 10  # Two firings within twenty events, at 90%: 23.03.
    found = renewed(threshold, two, np.array([2, 2]), percentile=0.9, expansion=3.0)
    assert found.tolist() == [np.ceil(usual), 15.0] == [24.0, 15.0]


def test_silent_units_start_again_and_count_as_firing():
    """Units 1 and 4 are dead; at threshold 2, they start again at the second event."""
    model = network(layer=UnitFirings)
    model.get_layer("norm").trainable = False
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    steps = Steps()
    method = SelfNormalizedResets(
        StepStages(6, 6), threshold=2, period=4, percentile=0.5, seed=3
    )
    model.fit(
        *data(), batch_size=32, epochs=6, shuffle=False, verbose=0,
        callbacks=[method, steps],
    )  # fmt: skip
    first = [begin[0] for begin in steps.begins]
    changed = [
        np.flatnonzero((one != other).any(0)).tolist()
        for one, other in zip(first, first[1:], strict=False)
    ]
    # Frozen normalization leaves them dead. At event 4 thresholds are renewed: the two
    # have started again at events 2 and 4, so 0.69 * (1 + 2 + 2) / 3 = 1.16, so 2.
    assert changed == [[], [1, 4], [], [1, 4], []]
    layer = model.get_layer("unit_statistics_1")
    numbers = {
        name: keras.ops.convert_to_numpy(getattr(layer, name))
        for name in ("age", "threshold", "silence", "firings", "events")
    }
    # The others fire at each event: 0.69 * (1 + 4) / (1 + 4), so 1.
    assert numbers["threshold"].tolist() == [1, 2, 1, 1, 2]
    assert numbers["age"].tolist() == [0, 1, 0, 0, 1]
    assert numbers["silence"].tolist() == numbers["firings"].tolist() == [2, 1, 2, 2, 1]
    assert numbers["events"] == 5


def test_self_normalized_resets_need_firings():
    with pytest.raises(ValueError, match="must have UnitFirings layers.*UnitFirings"):
        fit(network(), data(), SelfNormalizedResets(EVENT), 2)
    for wrong in ({"percentile": 1.0}, {"expansion": 1.0}, {"threshold": 0}):
        with pytest.raises(ValueError, match="must be"):
            SelfNormalizedResets(EVENT, **wrong)
