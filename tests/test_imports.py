"""The house's one rule: imports point down, and heavy packages stay in their rooms."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_reinit"

# Lowest floor first; a module may import from lower floors only, or from its own room.
# fmt: off
FLOORS = (
    ("keras_internals",),
    ("arguments", "network", "neighbors", "provenance", "naming", "plots", "console",
     "storage"),
    ("checks", "schedules", "fresh", "graph", "optimizers", "data"),
    ("copying", "results"),
    ("distillation", "callback", "models", "backup"),
    ("units", "planning"),
    ("diagnostics",),
    ("methods",),
    ("config",),
    ("training",),
    ("pool", "report"),
    ("runs",),
    ("study", "tuning"),
)
# fmt: on
HEAVY = {
    "matplotlib": {"plots/canvas.py"},
    "jinja2": {"report/page.py"},
    "tensorflow_datasets": {"data/from_tfds.py", "data/tiny_imagenet.py"},
    "keras_tuner": {
        "tuning/cells.py",
        "tuning/grid.py",
        "tuning/hypermodel.py",
        "tuning/oracle.py",
    },
    "tensorflow": {
        "data/augment.py",
        "data/files.py",
        "data/images.py",
        "data/keras_layer.py",
        "data/mixing.py",
        "data/pipeline.py",
        "data/rand_augment.py",
        "pool.py",
        "provenance.py",
        "training/evaluation.py",
        "training/flops.py",
        "training/training.py",
        "tuning/hparams.py",
    },
    "tensorboard": {"tuning/hparams.py"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(name):
    return name.split(".")[1] if name.startswith("keras_reinit.") else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    floor = {name: i for i, floor in enumerate(FLOORS) for name in floor}
    for name in imported(path):
        other = room(name)
        if other in floor and other != own:
            assert floor[other] < floor[own], f"{path.name} imports {name}"


def test_every_room_stands_on_a_floor():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert rooms - {"__init__"} == {name for floor in FLOORS for name in floor}


def test_no_two_modules_import_each_other():
    named = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES
    }
    named = {name.removesuffix(".__init__"): path for name, path in named.items()}
    graph = {}
    for name, path in named.items():
        found = {other for other in imported(path) if other in named}
        # `from a.b import c` is of the module a.b.c, if there is one.
        graph[name] = {one for one in found if not any(f"{one}." in o for o in found)}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(FILES)


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_stay_in_their_rooms(package):
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.split(".")[0] == package for name in imported(path))
    }
    assert users == HEAVY[package]


@pytest.mark.parametrize(
    "module", ["keras_reinit", "benchmarks.study", "benchmarks.search"]
)
def test_who_trains_needs_nothing_optional(module):
    # Keras and TensorFlow bring in some of them on their own where they are installed.
    optional = {"tensorflow_datasets", "keras_tuner", "tensorboard", "matplotlib",
                "jinja2", "sklearn"}  # fmt: skip
    code = (
        "import sys, keras, tensorflow; before = set(sys.modules);"
        f"import {module};"
        f"print(sorted({optional} & (set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_everything_in_all_exists_and_is_documented():
    import keras_reinit

    for name in keras_reinit.__all__:
        assert getattr(keras_reinit, name).__doc__, name
