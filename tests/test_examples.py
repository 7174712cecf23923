"""Other data than images, other tasks than one class: the examples learn."""

import dataclasses
import importlib

import keras
import numpy as np
import pytest

from benchmarks.examples.compare import compare
from keras_reinit import (
    Diagnostics,
    FullReinit,
    KnowledgeEvolution,
    LaterLayerForgetting,
    LayerwiseReinit,
    ReDo,
    ShrinkPerturb,
    Stages,
    WarmRestart,
    WeightForgetting,
    add_unit_statistics,
)

NAMES = (
    "segmentation",
    "sequence_gru",
    "tabular_classification",
    "tabular_regression",
    "text_transformer",
)
every_example = pytest.mark.parametrize("name", NAMES)
METHODS = (
    FullReinit,
    LaterLayerForgetting,
    lambda schedule, seed: LayerwiseReinit(
        schedule, normalize=False, rescale=False, seed=seed
    ),
    ShrinkPerturb,
    lambda schedule, seed: WarmRestart(schedule),
    WeightForgetting,
)


def example(name):
    return importlib.import_module(f"benchmarks.examples.{name}").EXAMPLE


@every_example
def test_it_learns_and_has_its_event(name, monkeypatch):
    one = dataclasses.replace(example(name), stages=2)
    if name == "text_transformer":
        module = importlib.import_module("benchmarks.examples.text_transformer")
        monkeypatch.setattr(module, "TRAIN", 500)
    found, history = one.train(seed=0, epochs=10, with_method=True)
    assert history["stage"] == [0] * 5 + [1] * 5
    _, (x, y) = one.load()
    keras.utils.set_random_seed(0)
    first = one.build().evaluate(x, y, return_dict=True, verbose=0)[one.metric]
    assert found < first if one.metric == "mae" else found > first


@every_example
def test_every_method_and_the_diagnostics_take_it(name):
    one = example(name)
    model = one.build()
    (x, y), _ = one.load()
    x, y = keras.tree.map_structure(lambda array: array[:64], (x, y))
    model.fit(x, y, verbose=0)
    for seed, method in enumerate(METHODS):
        before = [np.copy(weight) for weight in model.get_weights()]
        method(Stages(2, 2), seed=seed).apply(model, 1)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        changed = [
            not np.array_equal(one, other)
            for one, other in zip(before, model.get_weights(), strict=True)
        ]
        assert any(changed) == (method is not METHODS[4])
    diagnostics = Diagnostics(x, y)
    history = model.fit(x, y, callbacks=[diagnostics], verbose=0).history
    assert history["gradient_norm"][0] > 0 and history["update_norm"][0] > 0


@every_example
def test_knowledge_evolution_says_where_it_finds_no_units(name):
    model, method = example(name).build(), KnowledgeEvolution(Stages(2, 2), seed=3)
    if name == "sequence_gru":
        with pytest.raises(ValueError, match="must have hidden dense layers"):
            method.apply(model, 1)
        return
    before = [np.copy(weight) for weight in model.get_weights()]
    method.apply(model, 1)
    pairs = zip(before, model.get_weights(), strict=True)
    assert any((one != other).any() for one, other in pairs)


def test_all_readers_of_a_dead_unit_are_found_through_a_concatenation():
    """The U-Net's fine features are read on the way down and at the end."""
    model = add_unit_statistics(example("segmentation").build())
    model.compile("sgd", {"mask": "mse", "digit": "mse"})
    kernels = {w.shape: w for w in model.weights if "kernel" in w.path}
    fine, down, last = (
        kernels[shape] for shape in ((3, 3, 1, 16), (3, 3, 16, 32), (3, 3, 48, 16))
    )
    bias = model.layers[1].bias
    bias.assign(np.where(np.arange(16) == 3, -9.0, 0.0))
    (x, _), _ = example("segmentation").load()
    model.fit(x[:8], model.predict(x[:8], verbose=0), verbose=0)
    before = [keras.ops.convert_to_numpy(kernel) for kernel in (fine, down, last)]
    ReDo(Stages(2, 2), threshold=0.0, optimizer_state="keep", seed=0).apply(model, 1)
    after = [keras.ops.convert_to_numpy(kernel) for kernel in (fine, down, last)]
    assert bias.numpy()[3] == 0 and (after[0][..., 3] != before[0][..., 3]).all()
    for i, unit in ((1, 3), (2, 32 + 3)):
        assert (after[i][:, :, unit] == 0).all()
        others = np.arange(after[i].shape[2]) != unit
        assert (after[i][:, :, others] != 0).any(axis=(0, 1, 3)).mean() > 0.8


def test_the_comparison_is_a_table():
    lines = compare(example("tabular_regression"), seeds=2, epochs=2).splitlines()
    assert lines[0] == "| Method | Test mae | Paired difference |"
    assert lines[3].startswith("| LaterLayerForgetting | ")


def test_the_texts_next_characters_are_the_targets():
    (x, y), (x_test, _) = example("text_transformer").load()
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert len(x) == 3000 and len(x_test) == 500
