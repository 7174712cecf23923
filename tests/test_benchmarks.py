"""The scripts, called as a user calls them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import app, flags

from benchmarks import flags as shared
from benchmarks import memorization, study, warm_start
from keras_reinit import online
from keras_reinit.config import Config
from keras_reinit.results import read_rows
from keras_reinit.study import Study

TINY = ["--train_size=60", "--epochs=2", "--stages=2", "--width=2", "--batch_size=30"]


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def parsed(monkeypatch):
    """Parses flags of a script into flag values of their own."""

    def parse(define, *arguments):
        values = flags.FlagValues()
        for name in ("DEFINE_string", "DEFINE_integer", "DEFINE_float", "DEFINE_bool",
                     "DEFINE_enum", "DEFINE_list", "DEFINE_alias"):  # fmt: skip
            plain = getattr(flags, name)
            monkeypatch.setattr(
                flags,
                name,
                lambda *a, plain=plain, **kw: plain(*a, flag_values=values, **kw),
            )
        monkeypatch.setattr(flags, "FLAGS", values)
        define()
        values(["script", *arguments])
        return values

    return parse


def test_flags_without_arguments_are_the_defaults(parsed):
    parsed(lambda: shared.define("out"))
    assert shared.config() == Config()


def test_the_study_without_arguments_is_the_default_study(parsed):
    parsed(study.define_flags)
    planned, default = study.from_flags(), Study()
    assert list(planned.cells()) == list(default.cells())
    assert planned.seeds == default.seeds


def test_chunks_of_data_have_their_own_defaults(parsed):
    parsed(warm_start.define_flags)
    planned = study.from_flags()
    assert planned.methods == online.METHODS
    assert planned.settings == (("none", 0.0), ("DCW", 0.0))


def test_memorization_has_its_own_defaults(parsed):
    parsed(memorization.define_flags)
    planned = study.from_flags()
    assert planned.settings == (("none", 0.4), ("DCW", 0.4))
    assert planned.methods[0] == "standard" and len(planned.seeds) == 6
    assert not planned.base.noisy_validation


def test_a_method_that_a_script_does_not_know_is_said(parsed, tmp_path):
    parsed(warm_start.define_flags, "--method=born_again", f"--output={tmp_path}")
    with pytest.raises(app.UsageError, match="`method` must be of full_reinit.*born"):
        warm_start.main(["script"])


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
    assert planned.settings == (("DC", 0.0), ("DC", 0.2))
    assert planned.methods == ("standard", "layerwise")
    assert planned.learning_rates == (0.01,) and planned.seeds == (5, 6, 7)


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
        ("--label_noise=-0.1", "`noise_rate` must be in [0, 1]"),
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
