"""Every example in a docstring and in the README runs."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import contract
import keras
import numpy as np
import pytest
import test_contract

import keras_reinit

ROOT = pathlib.Path(__file__).parent.parent
MODULES = ["keras_reinit"] + [
    module.name
    for module in pkgutil.walk_packages(keras_reinit.__path__, "keras_reinit.")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    names = {"keras": keras, "np": np, **vars(keras_reinit)}
    names |= {key: value for key, value in vars(module).items() if key[0] != "_"}
    result = doctest.testmod(module, globs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_public_callables_have_an_example():
    without = [
        name
        for name in keras_reinit.__all__
        if ">>>" not in getattr(keras_reinit, name).__doc__
    ]
    assert without == ["Block", "BlockNormalization", "Reinitialize"]


def test_readme_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [line for line in blocks[0].splitlines() if line]
    assert len(lines) <= 12
    names, chunks, taught, searched, noisy = {}, {}, {}, {}, {}
    places = (names, chunks, taught, searched, noisy)
    for block, here in zip(blocks, places, strict=True):
        exec(compile(block, "README.md", "exec"), here)
    student = keras.models.load_model(tmp_path / "student.keras")
    assert type(student) is keras.Sequential and int(taught["model"].generation) == 3
    assert bool(taught["model"].cache._is_filled.numpy())
    assert searched["tuner"].oracle.get_best_trials()[0].score > 0.8
    assert chunks["history"].history["accuracy"][-1] > 0.9
    assert "begin_effective_rank" in chunks["history"].history
    assert "flipped_accuracy" in noisy["model"].history.history
    history = names["model"].history
    assert history.history["stage"] == [0] * 10 + [1] * 10
    accuracy = names["model"].evaluate(names["images"], names["digits"].train[1])[1]
    assert accuracy > 0.9


def test_the_method_of_contributing_keeps_the_contract(toy, toy_model):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names = {"__name__": "fresh_noise"}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    assert names["moved"](np.array(2.0), np.array(3.0), 0.5) == 3.5
    method = contract.Method(names["FreshNoise"], keeps_some=True)
    for test in (
        test_contract.test_weights_change_at_the_begin_of_a_stage_and_nowhere_else,
        test_contract.test_a_later_fit_goes_on_with_the_schedule,
        test_contract.test_frozen_layers_are_never_touched,
        test_contract.test_a_loop_of_fits_of_ones_own_does_the_same,
    ):
        test(method, toy, toy_model)
    test_contract.test_callbacks_can_be_copied_and_serialized(method)
    with pytest.raises(ValueError, match="`scale` must be >= 0"):
        names["FreshNoise"](keras_reinit.Stages(4, 2), scale=-1)


def test_readme_tables_are_those_of_the_rows():
    from benchmarks import update_readme

    text = (ROOT / "README.md").read_text()
    assert update_readme.updated(text) == text


@pytest.mark.parametrize("name", ["api_page", "findings", "full_scale"])
def test_pages_are_made_from_docstrings_and_rows(name):
    script = importlib.import_module(f"benchmarks.{name}")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
