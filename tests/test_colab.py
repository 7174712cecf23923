"""The notebooks run, on small settings, and are kept without outputs."""

import json
import pathlib
import sys
import types

import matplotlib.pyplot as plt
import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "colab"
# In place of the cell that is tagged `parameters`.
SMALL = {
    "quick_start": "EPOCHS, STAGES, SEEDS = 4, 2, 2",
    "study": """
import pathlib
from keras_reinit.config import Config
from keras_reinit.study import Study
STUDY = Study(
    base=Config(train_size=60, epochs=2, stages=2, batch_size=30, width=2),
    methods=("standard", "shrink_perturb"), settings=({"regularization": "none"},),
    seeds=(0,), tuning_seeds=1, learning_rates=(0.1,),
)
FOLDER = pathlib.Path("results/colab")
""",
}


def cells(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def shown(monkeypatch):
    """What a notebook displays; IPython need not be installed."""
    found = []
    module = types.ModuleType("IPython.display")
    module.Image = module.Markdown = lambda value: value
    module.display = found.append
    package = types.ModuleType("IPython")
    package.get_ipython, package.version_info = lambda: None, (9, 0)  # For matplotlib.
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(plt, "show", lambda: found.append(plt.gcf()))
    return found


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in cells(name):
        tags = cell["metadata"].get("tags", [])
        source = SMALL[name] if "parameters" in tags else "".join(cell["source"])
        if "install" not in tags:
            exec(compile(source, f"{name}.ipynb", "exec"), names)
    printed = capsys.readouterr().out
    if name == "quick_start":
        assert "paired difference, with a 95% interval" in printed
        assert len(shown) == 1 and names["difference"].n == 2
        plt.close("all")
    else:
        assert "| no regularization | shrink_perturb |" in shown[0]
        assert pathlib.Path(shown[1]).stat().st_size > 10_000


def test_notebooks_are_kept_without_outputs():
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(SMALL)
    for name in SMALL:
        assert all(
            not cell["outputs"] and cell["execution_count"] is None
            for cell in cells(name)
        )
