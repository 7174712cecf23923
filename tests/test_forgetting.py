"""Methods that keep a part of the weights: which part, by hand."""

import keras
import numpy as np
import pytest
from contract import fit, same

from keras_reinit import (
    LaterLayerForgetting,
    Rifle,
    ShrinkPerturb,
    Stages,
    WeightForgetting,
    add_l2_init,
    add_weight_decay,
    fresh_weights,
)
from keras_reinit.graph.layer_graph import output_layers
from keras_reinit.graph.roles import kernels
from keras_reinit.methods.weight_forgetting import smallest


def changed(model, toy, callback):
    """Names of the weights that an event gave fresh values, and all that it did."""
    spy, _ = fit(model, toy, callback, callback.schedule.total)
    fresh = fresh_weights(model, seed=callback.seed, event=1)
    names, kept = [], []
    values = zip(model.weights, spy.ends[0], spy.begins[1], fresh, strict=True)
    for variable, before, after, drawn in values:
        if np.array_equal(before, after):
            kept.append(variable.path)
        else:
            np.testing.assert_array_equal(after, drawn)
            names.append("/".join(variable.path.split("/")[-2:]))
    assert names and kept
    return names


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"forget": 0}, ["logits/kernel", "logits/bias"]),
        (
            {"forget": 1},
            ["second/kernel", "second/bias", "logits/kernel", "logits/bias"],
        ),
        (
            {"forget": 2, "normalization": True},
            [
                "first/kernel", "first/bias", "norm/gamma", "norm/beta",
                "norm/moving_mean", "norm/moving_variance", "second/kernel",
                "second/bias", "logits/kernel", "logits/bias",
            ],
        ),
        ({"forget": 1, "ends": ["relu2"]}, None),
    ],
    ids=str,
)  # fmt: skip
def test_later_layers_start_fresh(arguments, expected, toy, toy_model):
    model = toy_model()
    callback = LaterLayerForgetting(Stages(2, 2), seed=3, **arguments)
    if expected is None:  # One block: all but the normalization.
        found = changed(model, toy, callback)
        assert "first/kernel" in found and "norm/gamma" not in found
    elif "normalization" in arguments:
        spy, _ = fit(model, toy, callback, 2)
        fresh = fresh_weights(model, seed=3, event=1)
        assert same(spy.begins[1], fresh)
        assert len(expected) == len(fresh)
    else:
        assert changed(model, toy, callback) == expected


def test_there_must_be_as_many_blocks(toy, toy_model):
    with pytest.raises(ValueError, match=r"`forget` must be in \[0, 2\]"):
        fit(toy_model(), toy, LaterLayerForgetting(Stages(2, 2), forget=3), 2)


def test_rifle_draws_the_head_alone_and_the_optimizer_runs_on(toy, toy_model):
    model = toy_model()
    callback = Rifle(Stages(3, 3), seed=3)
    assert changed(model, toy, callback) == ["logits/kernel", "logits/bias"]
    spy, _ = fit(toy_model(), toy, Rifle(Stages(3, 3)), 3)
    assert spy.steps == [0, 4, 8]


def test_output_layers_of_several_outputs_nested_models_and_activations():
    inputs = keras.Input((4,))
    dense = [keras.layers.Dense(3, name=f"d{i}") for i in range(4)]
    inner = keras.Sequential([keras.Input((3,)), dense[2], keras.layers.ReLU()])
    x = dense[0](inputs)
    outputs = [keras.layers.Softmax()(dense[1](x)), inner(x), dense[3](x) + x]
    found = output_layers(keras.Model(inputs, outputs))
    # What adds to an output without a layer in between makes it, too.
    assert {layer.name for layer in found} == {"d1", "d2", "d3", "d0"}
    assert len(found) == 4


def test_the_smallest_weights():
    weight = np.array([[3.0, -1.0], [0.0, -2.0]])
    assert smallest(weight, 0.5).tolist() == [[False, True], [True, False]]
    assert not smallest(weight, 0.24).any() and smallest(weight, 1).all()
    assert smallest(np.zeros(4), 0.5).tolist() == [True, True, False, False]


def masks(toy_model, toy, choice, share):
    """Where kernels changed at two events, and the weights before and after them."""
    model = toy_model(keras.optimizers.SGD(0.0))
    callback = WeightForgetting(Stages(3, 3), share, choice, seed=3)
    spy, _ = fit(model, toy, callback, 3)
    chosen = {id(v) for v in kernels(model)}
    for i, variable in enumerate(model.weights):
        for stage in (1, 2):
            before, after = spy.ends[stage - 1][i], spy.begins[stage][i]
            fresh = fresh_weights(model, seed=3, event=stage)[i]
            moved = before != after
            if id(variable) not in chosen:
                assert not moved.any()
                continue
            np.testing.assert_array_equal(after[moved], fresh[moved])
            yield variable, stage, moved, before


def test_magnitude_forgets_the_smallest(toy_model, toy):
    for _, _, moved, before in masks(toy_model, toy, "magnitude", 0.25):
        np.testing.assert_array_equal(moved, smallest(before, 0.25))


@pytest.mark.parametrize("choice", ["random", "fixed"])
def test_random_places_are_others_at_each_event_and_fixed_ones_stay(
    choice, toy_model, toy
):
    found = {
        (variable.path, stage): moved
        for variable, stage, moved, _ in masks(toy_model, toy, choice, 0.5)
    }
    share = np.concatenate([moved.ravel() for moved in found.values()]).mean()
    assert 0.35 < share < 0.65
    for (path, stage), moved in found.items():
        if stage == 1:
            again = np.array_equal(moved, found[path, 2])
            assert again == (choice == "fixed")


def test_all_weights_and_none(toy_model, toy):
    assert not list(m for *_, m, _ in masks(toy_model, toy, "random", 0.0) if m.any())
    assert all(m.all() for *_, m, _ in masks(toy_model, toy, "random", 1.0))


def test_l2_init_draws_toward_the_first_weights(toy, toy_model):
    model = toy_model(keras.optimizers.SGD(0.1))
    add_l2_init(model, 0.5)
    assert float(sum(model.losses)) == 0
    model.layers[0].kernel.assign_add(np.full((4, 8), 2.0))
    assert float(sum(model.losses)) == pytest.approx(0.5 * 4 * 32, rel=1e-6)

    flat = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    flat.set_weights([np.array([[1.0]])])
    add_l2_init(flat, 0.25)
    flat.compile(keras.optimizers.SGD(0.1), "mse")
    flat.set_weights([np.array([[3.0]])])
    flat.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)
    # The gradient is 2 * 0.25 * (3 - 1).
    assert float(flat.get_weights()[0][0, 0]) == pytest.approx(3 - 0.1 * 1.0)


def test_l2_init_can_be_taken_away_and_is_no_second_penalty(toy_model):
    model = toy_model()
    add_l2_init(model, 0.5)
    add_l2_init(model, 0.1)
    with pytest.raises(ValueError, match="`model` must have no regularizers"):
        add_weight_decay(model, 5e-4)
    add_l2_init(model, 0)
    assert model.losses == []
    with pytest.raises(ValueError, match="`strength` must be >= 0"):
        add_l2_init(model, -1.0)


def test_l2_init_stays_with_the_first_weights_through_events(toy, toy_model):
    model = toy_model(keras.optimizers.SGD(0.0))
    add_l2_init(model, 1.0)
    first = model.layers[0].kernel.numpy()
    fit(model, toy, ShrinkPerturb(Stages(2, 2), 0.5, 0.0), 2)
    expected = np.square(0.5 * first).sum()
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightForgetting(Stages(2, 2), share=1.5), "`share` must be in"),
        (lambda: WeightForgetting(Stages(2, 2), choice="best"), "`choice` must be one"),
        (lambda: LaterLayerForgetting(Stages(2, 2), forget=-1), "`forget` must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
