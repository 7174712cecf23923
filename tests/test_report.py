"""Reports of rows: naming, effects, the page, and the committed findings."""

import dataclasses
import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from absl import app

from benchmarks import report as script
from keras_reinit import naming, report, study
from keras_reinit.config import Config
from keras_reinit.keras_internals import rate_of
from keras_reinit.plots import canvas
from keras_reinit.report import commands, effects, page, verdict
from keras_reinit.report import report as report_module
from keras_reinit.results import append_row
from keras_reinit.training.compiled import optimizer

ROOT = pathlib.Path(__file__).parent.parent


def row(method, accuracy, seed=0, **config):
    """A row like those of a training of four epochs in two stages."""
    config = Config(
        **{"method": method, "epochs": 4, "stages": 2, "seed": seed, **config}
    )
    ends = {f"{name}_accuracy": accuracy for name in ("train", "validation", "test")}
    return {
        "config": dataclasses.asdict(config),
        "status": "ok",
        "final": ends,
        "best": ends,
        "stages": [ends] * config.stages,
        "history": {"validation_accuracy": [accuracy] * 4},
        "steps_per_epoch": 3,
        "train_examples": config.train_size or 600,
    }


def noisy_rows():
    """Standard training falls with noise, Shrink & Perturb by half of it."""
    return [
        row(method, 0.9 - noise * fall + 0.001 * seed * fall, seed, label_noise=noise)
        for noise in (0.0, 0.2, 0.4)
        for seed in range(3)
        for method, fall in (("standard", 1.0), ("shrink_perturb", 0.5))
    ]


def test_only_what_differs_is_named():
    rows = [row("standard", 0.5, width=4), row("rifle", 0.5, width=8)]
    assert naming.names(rows) == [
        ("no regularization, width 4", "standard"),
        ("no regularization, width 8", "rifle"),
    ]
    assert naming.names(rows, without=("width",))[0][0] == "no regularization"
    default = [row("standard", 0.5), row("standard", 0.5, width=8)]
    assert naming.names(default)[0][0] == "no regularization, width default"


def test_numbers_of_stages_are_methods_beside_one_standard_training():
    rows = [row("standard", 0.5), row("rifle", 0.6), row("rifle", 0.7, stages=4)]
    assert [name for _, name in naming.names(rows)] == [
        "standard",
        "rifle, 2 stages",
        "rifle, 4 stages",
    ]
    found = effects.effects(rows)
    assert [one.by_seed[0] for one in found] == pytest.approx([0.1, 0.2])
    assert [one.steps_per_stage for one in found] == [6, 3]


def test_effects_change_along_an_axis():
    rows = noisy_rows()
    assert effects.axes(rows) == ["label_noise"]
    found = effects.effects(rows, without=("label_noise",))
    ((key, ends, change),) = effects.change(found, "label_noise")
    assert key == ("no regularization", "shrink_perturb") and ends == (0.0, 0.4)
    assert change.mean == pytest.approx(0.2) and change.n == 3


def test_a_matrix_has_standard_training_and_differences():
    header, lines = verdict.matrix(verdict.cells(noisy_rows()))
    assert header[1:] == [
        "no regularization",
        "no regularization + 20% noise",
        "no regularization + 40% noise",
    ]
    assert lines[0][0] == "standard" and "±" in lines[0][1]
    assert lines[1][3].startswith("**+0.19") or lines[1][3].startswith("**+0.2")


def test_the_report_has_all_that_rows_tell(tmp_path):
    failed = {**row("rifle", 0.5), "status": "failed", "reason": "FloatingPointError"}
    rows = [*noisy_rows(), failed]
    paths = report.write(rows, tmp_path)
    assert [path.name for path in paths] == ["report.md", "verdict.png", "report.html"]
    text, html = (paths[i].read_text() for i in (0, 2))
    for title in ("At a glance", "Verdict", "Effects along label noise rate",
                  "Validation accuracy over epochs", "Failed runs", "Each row again",
                  "Configuration and versions"):  # fmt: skip
        assert f"## {title}" in text and f"<h2>{title}</h2>" in html, title
    assert "FloatingPointError" in html and "--method=rifle" in html
    assert "currentColor" in html and canvas.TEXT not in html
    figures = re.findall(r'<figure role="img" aria-label="([^"]+)"', html)
    assert len(figures) == html.count("<svg") and min(map(len, figures)) > 20


def test_drawing_leaves_the_settings_of_a_notebook_alone():
    rows = [row("standard", 0.9), row("rifle", 0.8)]
    with plt.rc_context({"text.color": "red"}):
        before = dict(plt.rcParams), plt.get_fignums()
        mine = report.figure_png(rows)
        assert (dict(plt.rcParams), plt.get_fignums()) == before
    assert mine == report.figure_png(rows)


def test_a_page_escapes_what_rows_say():
    section = page.Section("<b>", ("a & b",), header=("n",), lines=(("<i>",),))
    html = page.html("Title", [section])
    assert "&lt;b&gt;" in html and "<i>" not in html and "a &amp; b" in html


def test_a_command_makes_the_row_again():
    config = Config(method="rifle", stages=4, label_noise=0.2, seed=3)
    line = commands.command({"config": dataclasses.asdict(config)})
    given = dict(flag[2:].split("=") for flag in line.split()[3:])
    kinds = {name: type(getattr(config, name)) for name in given}
    assert Config(**{name: kinds[name](one) for name, one in given.items()}) == config
    online = {"config": dataclasses.asdict(Config()), "final": {"examples": 9}}
    assert "--kind=online" in commands.command(online)


def test_an_effect_without_a_pair_is_none():
    rows = [row("standard", 0.5, seed=0), row("rifle", 0.6, seed=1)]
    (one,) = effects.effects(rows)
    assert one.interval is None and np.isfinite(one.stage_fit)


def test_any_folder_of_rows_has_a_report(tmp_path, capsys):

    for name, files in (
        ("warm_start_digits", ["warm_start.md", "warm_start.png"]),
        ("memorization", ["memorization.md", "memorization.png"]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rows = ROOT / "benchmarks" / "results" / name / "rows.jsonl"
        (folder / "rows.jsonl").symlink_to(rows)
        script.main(["report", str(folder)])
        assert all((folder / file).stat().st_size > 500 for file in files)
    with pytest.raises(app.UsageError, match="has no row of a training"):
        script.main(["report", str(tmp_path)])
    with pytest.raises(app.UsageError, match="name at least one folder"):
        script.main(["report"])


def test_what_a_method_was_given_is_named_where_it_varies():
    rows = [
        row(method, accuracy, seed, shrink=shrink)
        for shrink, accuracy in ((0.1, 0.1), (0.9, 0.2))
        for method in ("standard", "shrink_perturb")
        for seed in range(2)
    ]
    methods = [(cell.method, cell.accuracy.n) for cell in verdict.cells(rows[2:])]
    assert methods == [
        ("shrink_perturb, shrink 0.1", 2),
        ("standard", 2),
        ("shrink_perturb, shrink 0.9", 2),
    ]


def test_standard_training_is_the_same_for_any_number_of_stages():
    rows = [row("standard", 0.5, 0), row("standard", 0.5, 1, stages=4)]
    rows += [row("standard", 0.6, 0, stages=4)]
    one, last = study.compared(rows)
    assert (one, last) == (rows[2], rows[1])
    assert verdict.cells([rows[0], rows[1]])[0].stage_fits == (0.5,)


def test_a_run_on_own_data_is_told_as_a_call():
    given = {**row("rifle", 0.5), "given": ["splits", "network"]}
    told = commands.command(given, without=("seed",))
    assert told == (
        "training.run(Config(method='rifle', epochs=4, stages=2), splits=..., "
        "network=...)"
    )
    other = row("rifle", 0.5)
    assert naming.names([given, other])[0][0] == "no regularization, own network"


def test_failures_without_a_config_are_in_the_report(tmp_path):
    lost = {"config": None, "status": "failed", "reason": "WorkerDied"}
    for one in (*noisy_rows(), lost):
        append_row(tmp_path / "rows.jsonl", one)
    script.main(["script", str(tmp_path)])
    assert "WorkerDied" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rows_of_other_versions_are_left_out_and_counted(tmp_path, capsys):
    good = row("rifle", 0.9)
    foreign = [
        {**good, "config": {**good["config"], "method": "of_a_later_version"}},
        {**good, "config": {**good["config"], "unknown_field": 1}},
        {**good, "config": {"method": "rifle", "regularization": "Q"}},
        {**good, "config": 3},
        {**good, "final": {"test_accuracy": "high"}},
        {k: v for k, v in good.items() if k != "final"},
        {k: v for k, v in good.items() if k != "status"},
        {"seed": 0},
    ]
    old = row("standard", 0.8)
    for name in ("width", "dtype_policy", "noise", "temperature", "train_size"):
        del old["config"][name]
    for one in (*foreign, old, good):
        append_row(tmp_path / "rows.jsonl", one)
    script.main(["script", str(tmp_path)])
    assert "8 rows of another version are left out" in capsys.readouterr().out
    text = (tmp_path / "report.md").read_text()
    assert "| no regularization | rifle | 0.900 ± inf | 1 | +0.100" in text


def test_each_kind_of_row_in_a_folder_has_its_report(tmp_path):
    for name in ("warm_start_digits", "memorization"):
        rows = ROOT / "benchmarks" / "results" / name / "rows.jsonl"
        lines = rows.read_text().splitlines(keepends=True)
        with open(tmp_path / "rows.jsonl", "a") as file:
            file.writelines(lines)
    append_row(tmp_path / "rows.jsonl", row("rifle", 0.9))
    script.main(["script", str(tmp_path)])
    for name in ("report.html", "warm_start.md", "memorization.md"):
        assert (tmp_path / name).stat().st_size > 500


def test_a_full_budget_has_longer_stages():
    rows = [
        row(method, accuracy, full_budget=True)
        for method, accuracy in (("standard", 0.5), ("rifle", 0.6))
    ]
    (effect,) = effects.effects(rows)
    assert effect.steps_per_stage == 3 * 4  # Steps an epoch, epochs of each stage.
    assert report_module._starts(rows) == (0, 4)
    long = Config(**rows[1]["config"] | {"regularization": "C"})
    # One cosine over all stages: Rifle's optimizer runs on.
    assert rate_of(optimizer(long, 3)).first_decay_steps == 2 * 4 * 3
    short = dataclasses.replace(long, full_budget=False)
    assert rate_of(optimizer(short, 3)).first_decay_steps == 4 * 3


def test_early_stopping_can_be_what_is_reported(tmp_path):
    rows = [
        {**row(method, final, seed), "best": {**row(method, best)["best"]}}
        for method, final, best in (("standard", 0.5, 0.8), ("rifle", 0.7, 0.75))
        for seed in range(3)
    ]
    cell = verdict.cells(rows)[1], verdict.cells(rows, "best")[1]
    assert [c.difference.mean for c in cell] == pytest.approx([0.2, -0.05])
    assert [c.other_difference.mean for c in cell] == pytest.approx([-0.05, 0.2])
    assert effects.effects(rows, when="best")[0].by_seed[0] == pytest.approx(-0.05)
    text = report.markdown(rows, "best")
    assert "Test accuracy is with early stopping" in text
    assert "| After the last epoch |" in text and "| -0.050 [" in text
    first, *_ = report.write(rows, tmp_path, when="best")
    assert "standard training with early stopping" in first.read_text()


def test_other_code_is_said():
    rows = [{**row("standard", 0.5), "commit": "1a2b"}]
    assert "versions of the code" not in report.markdown(rows)
    rows += [{**row("rifle", 0.6), "commit": "3c4d-dirty"}]
    text = report.markdown(rows)
    assert "2 versions of the code are compared: 1a2b (1 row), 3c4d-dirty (1 row)" in (
        text
    )
    assert "changes that were not committed" in text
    assert "changes that were not committed" in report.markdown(rows[1:])


def test_data_of_one_name_and_other_contents_are_not_paired():
    rows = [
        {**row(method, 0.5), "data": digest}
        for digest in ("a" * 32, "b" * 32)
        for method in ("standard", "rifle")
    ]
    settings = [setting for setting, _ in naming.names(rows)]
    assert settings[0] == settings[1] == "no regularization, data aaaaaaaa"
    assert settings[2] == settings[3] == "no regularization, data bbbbbbbb"
    assert naming.names(rows[:2])[0][0] == "no regularization"
    older = {k: v for k, v in rows[0].items() if k != "data"}
    assert naming.names([rows[0], older])[1][0] == "no regularization"


@pytest.mark.parametrize(
    "context",
    [
        {"data": "b" * 32},
        {"strategy": "mirrored"},
        {"given": ["splits"]},
        {"given": ["network"], "hyperparameters": {"units": 8, "seed": 0}},
    ],
)
def test_rows_of_one_config_and_other_runs_stay_apart(context):
    first = [
        {**row(method, 0.5, seed), "data": "a" * 32}
        for method in ("standard", "rifle")
        for seed in range(3)
    ]
    second = [{**one, **context} for one in first]
    found = study.compared([*first, *second])
    assert len(found) == len(first) + len(second)
    assert all(one in found for one in (*first, *second))


def test_two_networks_of_ones_own_are_two_settings():
    rows = [
        {**row("standard", 0.5), "given": ["network"], "hyperparameters": {"units": n}}
        for n in (8, 16)
    ]
    names = [setting for setting, _ in naming.names(study.compared(rows))]
    assert sorted(names) == [
        "no regularization, own network, units 16",
        "no regularization, own network, units 8",
    ]


def test_a_command_has_the_strategy_and_is_quoted():
    config = dataclasses.asdict(Config(dataset="./my images"))
    line = commands.command({"config": config, "strategy": "mirrored"})
    assert "'--dataset=./my images'" in line and "--strategy=mirrored" in line


def test_no_rows_are_said(tmp_path):
    with pytest.raises(ValueError, match="`rows` must have at least one row"):
        report.write([], tmp_path)
