"""The scripts, called as a user calls them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import app, flags

from benchmarks import answers, presets, search, study
from benchmarks import flags as shared
from keras_reinit.config import Config
from keras_reinit.results import read_rows
from keras_reinit.study import Study
from keras_reinit.training import online

TINY = ["--train_size=60", "--epochs=2", "--stages=2", "--width=2", "--batch_size=30"]


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        capture_output=True,
        text=True,
    )


def test_flags_without_arguments_are_the_defaults(parsed):
    parsed(lambda: shared.define("out"))
    assert shared.config() == Config()


def test_the_study_without_arguments_is_the_default_study(parsed):
    parsed(study.define_flags)
    planned, default = study.from_flags(), Study()
    assert list(planned.cells()) == list(default.cells())
    assert planned.seeds == default.seeds


@pytest.mark.parametrize("name", presets.names())
def test_each_preset_is_a_study(parsed, name):
    line = shared.expanded(["script", f"--preset={name}"])
    values = parsed(study.define_flags, *line[1:])
    planned = study.from_flags()
    assert values.output.startswith("results/")
    known = study.KINDS[values.kind].methods
    assert set(planned.methods) <= set(known) and next(planned.cells())
    digits = name.startswith("digits/") and values.kind == "training"
    least = 1 if name.endswith("/stem") else 8 if digits else 3
    assert len(planned.seeds) >= least
    committed = presets.folder(name) / "rows.jsonl"
    if committed.exists():
        methods = {row["config"]["method"] for row in presets.rows(name)}
        assert methods == set(planned.methods)


@pytest.mark.parametrize(
    "given",
    [["--preset=digits/noise"], ["-preset=digits/noise"], ["--preset", "digits/noise"]],
)
def test_flags_count_before_those_of_a_preset(parsed, given):
    line = ["script", "--seeds=2", *given, "--stages=4"]
    parsed(study.define_flags, *shared.expanded(line)[1:])
    planned = study.from_flags()
    assert planned.seeds == (0, 1) and planned.base.stages == 4
    assert [one["label_noise"] for one in planned.settings] == [0, 0.2, 0.4, 0.6]


def test_a_file_of_flags_may_name_a_preset(parsed, tmp_path):
    file = tmp_path / "mine.flags"
    file.write_text("--preset=digits/noise\n--seeds=2\n")
    parsed(study.define_flags, *shared.expanded(["script", f"--flagfile={file}"])[1:])
    assert [one["label_noise"] for one in study.from_flags().settings] == [
        0, 0.2, 0.4, 0.6,
    ]  # fmt: skip
    assert study.from_flags().seeds == (0, 1)


@pytest.mark.parametrize("failed", ["standard", "born_again"])
def test_what_failed_is_left_out_of_the_answer(failed):
    rows = {
        name: [
            {**row, "status": "failed"} if row["config"]["method"] == failed else row
            for row in presets.rows(f"digits/{name}")
        ]
        for name in ("noise", "budget")
    }
    told = answers.shorter_standard(rows)
    assert ("| born_again |" in told) == (failed != "born_again")
    assert ("helps" in told) == (failed != "standard")


@pytest.mark.parametrize("given", ["--preset=digits", "--preset"])
def test_what_is_no_preset_is_said(parsed, given):
    with pytest.raises(flags.Error, match="preset"):
        parsed(study.define_flags, *shared.expanded(["script", given])[1:])


@pytest.mark.parametrize("name", ["digits/sensitivity", "cifar100/table"])
def test_a_preset_of_a_grid_can_be_searched(parsed, name):
    parsed(search.define_flags, *shared.expanded(["script", f"--preset={name}"])[1:])
    given = presets.flags(name)
    assert shared.values("learning_rate") == list(map(float, given["learning_rate"]))
    assert search.base().model == given.get("model", [Config().model])[0]


def test_scripts_of_a_preset_need_no_flag(parsed):
    parsed(study.define_flags, *shared.expanded(["script"], "digits/online")[1:])
    assert study.from_flags().methods == online.METHODS


def test_a_method_that_a_kind_does_not_know_is_said(parsed, tmp_path):
    parsed(
        study.define_flags,
        "--kind=online",
        "--method=born_again",
        f"--output={tmp_path}",
    )
    with pytest.raises(app.UsageError, match="`method` must be of full_reinit.*born"):
        study.main(["script"])


def test_lists_of_settings_are_combined(parsed):
    parsed(
        study.define_flags,
        "--method=standard,layerwise",
        "--regularization=DC",
        "--label_noise=0,0.2",
        "--learning_rate=0.01",
        "--seeds=3",
        "--seed=5",
    )
    planned = study.from_flags()
    assert planned.settings == (
        {"regularization": "DC", "label_noise": 0.0},
        {"regularization": "DC", "label_noise": 0.2},
    )
    assert planned.methods == ("standard", "layerwise")
    assert planned.learning_rates == (0.01,) and planned.seeds == (5, 6, 7)


def test_what_makes_a_problem_is_combined_and_stages_are_compared(parsed):
    parsed(
        study.define_flags,
        "--method=standard,shrink_perturb",
        "--regularization=none",
        "--train_size=100,200",
        "--width=4",
        "--stages=5,2",
    )
    cells = [grid[0] for grid in study.from_flags().cells()]
    assert [(c.train_size, c.width, c.method, c.stages) for c in cells] == [
        (size, 4, method, stages)
        for size in (100, 200)
        for method, stages in (
            ("standard", 5),
            ("shrink_perturb", 5),
            ("shrink_perturb", 2),
        )
    ]


def test_a_listed_flag_must_be_of_its_kind(parsed):
    parsed(study.define_flags, "--epochs=10,many")
    with pytest.raises(flags.Error, match="`epochs` must be ints.*epochs=10,many"):
        study.from_flags()


def test_train_appends_one_row_a_run(tmp_path):
    arguments = [*TINY, "--method=shrink_perturb+distillation", f"--output={tmp_path}"]
    for count in (1, 2):
        run = script("train", *arguments)
        assert run.returncode == 0, run.stderr
        assert len(read_rows(tmp_path / "rows.jsonl")) == count
    printed = json.loads(run.stdout[run.stdout.index("{") :])
    assert printed["final"] == read_rows(tmp_path / "rows.jsonl")[-1]["final"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--method=magic", "should be one of <standard|"),
        ("--shrink=1.5", "`shrink` must be in [0, 1]"),
        ("--label_noise=-0.1", "`label_noise` must be in [0, 1]"),
        ("--epochs=4", "`stages` must be an integer in [1, 4]"),
        ("--train_size=20", "`batch_size` must be in [1, train_size=20]"),
    ],
)
def test_bad_flags_are_said_before_training(parsed, argument, message):
    with pytest.raises(flags.Error, match=re.escape(message)):
        parsed(lambda: shared.define("out"), argument)
        shared.config()


def test_a_script_ends_with_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    run = script("train", *TINY, f"--output={tmp_path / 'file'}")
    assert run.returncode != 0 and "Traceback" not in run.stderr
    assert "`output` must be a folder" in run.stderr + run.stdout


def test_data_are_shown(tmp_path):
    done = script(
        "show_data", "--label_noise=0.5", "--augment=crop_flip+cutout+mixup",
        "--rows=6", f"--output={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data.png").stat().st_size > 10_000


def test_wrongly_labelled_examples_are_shown_first():
    from benchmarks import show_data

    config = Config(label_noise=0.5, augment="cutmix")
    shown, titles = show_data.columns(config, None, 6)
    assert [column.shape for column in shown] == [(6, 8, 8, 1)] * 5
    assert ["\N{RIGHTWARDS ARROW}" in title for title in titles[0]] == [True] * 3 + [
        False
    ] * 3
    assert any("\n" in title for title in titles[1])
    clean, _ = show_data.columns(Config(), None, 3)
    assert len(clean[0]) == 3


@pytest.mark.parametrize("recipe", ["crop_flip", "full"])
def test_each_way_to_feed_a_network_gives_such_batches(recipe, monkeypatch):
    from benchmarks import speed_input

    monkeypatch.setattr(speed_input, "EXAMPLES", 256)
    for name, stream in speed_input.ways(16, recipe).items():
        batch = next(stream)
        if name.startswith("floor"):
            continue
        images = np.asarray(batch[0])
        assert sorted(images.shape) == [3, 16, 16, 128] and images.dtype == np.float32
        assert abs(images.mean()) < 1.5 and 0.3 < images.std() < 3, name
