"""Every example in a docstring and on a page runs; tables are those of the rows."""

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
from benchmarks import update_docs

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


def examples(page):
    """The Python examples of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)


def executed(page):
    """The names that each Python example of a page leaves."""
    found = []
    for block in examples(page):
        found.append({})
        exec(compile(block, page, "exec"), found[-1])
    return found


def test_example_of_the_readme():
    (block,), (names,) = examples("README.md"), executed("README.md")
    assert len([line for line in block.splitlines() if line]) <= 12
    history = names["model"].history
    assert history.history["stage"] == [0] * 10 + [1] * 10
    images, labels = names["digits"].test
    accuracy = names["model"].evaluate(names["standardize"](images), labels)[1]
    assert accuracy > 0.9


def test_examples_of_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chunks, taught = executed("docs/guide.md")
    assert chunks["history"].history["accuracy"][-1] > 0.9
    assert "begin_effective_rank" in chunks["history"].history
    student = keras.models.load_model(tmp_path / "student.keras")
    assert type(student) is keras.Sequential and int(taught["model"].generation) == 3
    assert bool(taught["model"].cache._is_filled.numpy())


def test_examples_of_searches_and_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (searched,) = executed("docs/search.md")
    assert searched["tuner"].oracle.get_best_trials()[0].score > 0.8
    (noisy,) = executed("docs/data.md")
    assert "flipped_accuracy" in noisy["model"].history.history


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def test_links_lead_somewhere():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if target.startswith("http"):
                continue
            found = page.parent / path if path else page
            assert found.exists(), (page.name, target)
            if anchor:
                prose = re.sub(r"^```.*?^```", "", found.read_text(), flags=re.M | re.S)
                headings = re.findall(r"^#+ (.*)", prose, re.M)
                assert anchor in map(anchor_of, headings), (page.name, target)


def test_files_that_pages_name_exist():
    # Results of the paper's full scale are still to come.
    named = r"`(?!benchmarks/results)((?:keras_reinit|benchmarks|tests)/[\w./]+)`"
    found = {
        path
        for page in PAGES
        for path in re.findall(named, page.read_text(encoding="utf-8"))
    }
    assert len(found) > 10
    assert [path for path in found if not (ROOT / path).exists()] == []


def anchor_of(heading):
    """As GitHub names it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_module_has_its_place_in_the_house():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    # Their modules are alike, so that one line tells of all.
    alike = ("data", "methods", "models", "plots")
    package = ROOT / "keras_reinit"
    rooms = [path.parent for path in package.glob("*/__init__.py")]
    modules = [*package.glob("[!_]*.py")]
    for room in rooms:
        modules += [] if room.name in alike else room.glob("[!_]*.py")
    assert len(modules) > 40 and len(rooms) > len(alike)
    names = [f"{room.name}/" for room in rooms] + [path.name for path in modules]
    assert [name for name in names if name.removesuffix(".py") not in text] == []


def test_the_method_of_contributing_keeps_the_contract(toy, toy_model):
    (block,) = examples("CONTRIBUTING.md")
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


@pytest.mark.parametrize("page", update_docs.PAGES)
def test_tables_are_those_of_the_rows(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert update_docs.updated(text) == text


@pytest.mark.parametrize("name", ["api_page", "findings", "full_scale"])
def test_pages_are_made_from_docstrings_and_rows(name):
    script = importlib.import_module(f"benchmarks.{name}")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
