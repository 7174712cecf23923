import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from keras_reinit import pool, report, runs, study
from keras_reinit.config import Config
from keras_reinit.naming import setting_name
from keras_reinit.results import read_rows
from keras_reinit.study import Study

BASE = Config(train_size=60, epochs=2, stages=2, batch_size=30, width=2)
SMALL = Study(
    base=BASE,
    methods=("standard", "shrink_perturb"),
    settings=({"regularization": "W", "label_noise": 0.4},),
    seeds=(0, 1),
    tuning_seeds=1,
    learning_rates=(0.05, 0.1),
    weight_decays=(1e-3,),
)


def silent(line):
    pass


def test_the_default_is_the_papers_first_figure():
    default = Study()
    assert len(default.methods) == 5 and "born_again" in default.methods
    assert [tuple(setting.values()) for setting in default.settings] == [
        ("none", 0.0),
        ("DCW", 0.0),
        ("DCW", 0.4),
    ]
    assert len(default.seeds) >= 4
    assert len(list(default.cells())) == 15


def test_the_grid_varies_weight_decay_only_where_it_acts():
    settings = ({"regularization": "none"}, {"regularization": "W"})
    study_ = dataclasses.replace(SMALL, settings=settings, weight_decays=(1e-3, 1e-2))
    assert [len(cell) for cell in study_.cells()] == [2, 2, 4, 4]


def fake_row(config, validation, test=0.0):
    return {
        "config": dataclasses.asdict(config),
        "status": "ok",
        "final": {"validation_accuracy": validation, "test_accuracy": test},
    }


def test_the_choice_is_by_mean_validation_accuracy_never_by_test():
    cell = [dataclasses.replace(BASE, learning_rate=rate) for rate in (0.1, 0.2, 0.3)]
    scores = {0.1: (0.9, 0.5), 0.2: (0.8, 0.8), 0.3: (0.99,)}
    rows = runs.by_key(
        fake_row(
            dataclasses.replace(config, seed=seed), score, test=config.learning_rate
        )
        for config in cell
        for seed, score in enumerate(scores[config.learning_rate])
    )
    assert study.choose(cell, rows, seeds=(0, 1)).learning_rate == 0.2
    assert study.choose(cell, rows, seeds=(0, 1, 2)) is None


def test_a_study_runs_and_a_second_one_repeats_nothing(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = study.run_study(SMALL, path, processes=1, report=silent)
    assert len(rows) == 2 * 2
    count = len(read_rows(path))
    assert count == 4 + 2  # Four to choose from, the other seed of two cells.
    lines = []
    again = study.run_study(SMALL, path, processes=1, report=lines.append)
    assert again == rows and len(read_rows(path)) == count
    assert sum("0 runs to do" in line for line in lines) == 2

    by_key = {runs.key_of(row["config"]) for row in rows}
    all_rows = read_rows(path)
    assert {runs.key_of(r["config"]) for r in study.compared(all_rows)} == by_key
    twice = [*SMALL.search_configs(), *SMALL.final_configs(all_rows)]
    assert len(study.select(twice, all_rows)) == count
    for made in report.write(rows, tmp_path):
        assert made.stat().st_size > 500
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and "<script" not in page and 'src="' not in page
    text = (tmp_path / "report.md").read_text()
    assert text.count("| W + 40% noise | shrink_perturb |") == 2  # And its command.
    assert "early stopping" in text


def test_steps_per_execution_do_not_make_another_run():
    config, faster = Config(), Config(steps_per_execution=3)
    assert config == faster and runs.key_of(config) == runs.key_of(faster)
    assert runs.key_of(config) != runs.key_of(Config(dtype_policy="mixed_bfloat16"))
    rows = [fake_row(faster, 0.5), fake_row(config, 0.6)]
    assert study.compared(rows) == rows[1:]


def test_a_failed_run_is_a_row_and_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    monkeypatch.setattr(
        pool, "outcomes", lambda configs, *_: ((c, pool.attempt(c)) for c in configs)
    )
    config = dataclasses.replace(BASE, train_size=None, batch_size=601)
    runs.run_all([config], path, processes=1, report=silent)
    runs.run_all([config], path, processes=1, report=silent)
    rows = read_rows(path)
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "`batch_size` must be in [1, n=600]" in rows[0]["reason"]


def test_other_processes_of_the_caller_live_on(tmp_path):
    mine = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    mine.start()
    config = dataclasses.replace(BASE, train_size=None, batch_size=601)
    runs.run_all([config], tmp_path / "new" / "rows.jsonl", processes=1, report=silent)
    assert mine.is_alive() and len(read_rows(tmp_path / "new" / "rows.jsonl")) == 1
    mine.kill()


def test_a_diverged_run_is_a_failure_with_its_reason():
    config = dataclasses.replace(BASE, learning_rate=1e20, epochs=4)
    row = pool.attempt(config)
    assert row["status"] == "failed" and "not finite" in row["reason"]
    json.dumps(row, allow_nan=False)


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_study_loses_only_what_was_in_flight(tmp_path):
    command = [
        sys.executable, "-m", "benchmarks.study", "--train_size=60", "--epochs=2",
        "--stages=2", "--width=2", "--seeds=2", "--tuning_seeds=1", "--processes=1",
        "--method=standard", "--regularization=W", "--learning_rate=0.01,0.1",
        "--batch_size=30", f"--output={tmp_path}",
    ]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.time() + 120
    while not read_rows(path) and time.time() < deadline:
        time.sleep(0.2)
    process.kill()
    process.wait()
    while group_is_alive(process.pid) and time.time() < deadline:
        time.sleep(0.2)
    assert not group_is_alive(process.pid), "a run outlived its study"
    before = read_rows(path)
    assert before
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = read_rows(path)
    assert rows[: len(before)] == before
    keys = [runs.key_of(row["config"]) for row in rows]
    assert len(keys) == len(set(keys)) == 4 + 1
    assert "report.md" in done.stdout and "report.html" in done.stdout
    text = (tmp_path / "report.md").read_text()
    assert "## Sensitivity to learning rate and weight decay" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 4}, "`seeds` must be a tuple"),
        ({"seeds": ()}, "`seeds` must have at least one"),
        ({"methods": "standard"}, "`methods` must be a tuple"),
        ({"settings": {"label_noise": 0.1}}, "`settings` must be a tuple"),
    ],
)
def test_what_is_no_tuple_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        Study(**change)


def test_bad_studies():
    with pytest.raises(ValueError, match="`tuning_seeds` must be an integer in .1, 2."):
        dataclasses.replace(SMALL, tuning_seeds=3)
    with pytest.raises(ValueError, match="`tuning_seeds` must be an integer"):
        dataclasses.replace(SMALL, tuning_seeds="1")
    with pytest.raises(ValueError, match="`method` must be one of"):
        dataclasses.replace(SMALL, methods=("magic",))
    with pytest.raises(ValueError, match="`processes` must be an integer >= 1"):
        runs.run_all([BASE], "rows.jsonl", processes="2")


def test_settings_are_told_apart_by_name():
    names = [
        setting_name(dataclasses.asdict(Config(**fields)))
        for fields in (
            {},
            {"regularization": "DCW", "label_noise": 0.4},
            {"label_noise": 0.2, "noise": "pair_flip"},
            {"regularization": "D", "augment": "crop_flip+mixup"},
            {"label_smoothing": 0.1},
            {"full_budget": True},
        )
    ]
    assert names == [
        "no regularization",
        "DCW + 40% noise",
        "no regularization + 20% pair_flip noise",
        "D (crop_flip+mixup)",
        "no regularization + smoothing 0.1",
        "no regularization, full budget in each stage",
    ]
    assert setting_name({"regularization": "none", "label_noise": 0.0}) == names[0]


def test_hyperparameters_of_standard_training_may_be_taken_for_all():
    plan = dataclasses.replace(
        SMALL, tune="standard", stages=(2, 1), learning_rates=(0.1, 0.2, 0.3)
    )
    search = plan.search_configs()
    assert {config.method for config in search} == {"standard"} and len(search) == 3
    scores = {0.1: 0.5, 0.2: 0.9, 0.3: 0.6}
    rows = [fake_row(config, scores[config.learning_rate]) for config in search]
    other = dataclasses.replace(search[0], method="shrink_perturb")
    final = plan.final_configs([*rows, fake_row(other, 0.99)])
    assert {config.learning_rate for config in final} == {0.2}
    kinds = {(config.method, config.stages) for config in final}
    assert kinds == {("standard", 2), ("shrink_perturb", 2), ("shrink_perturb", 1)}
    with pytest.raises(ValueError, match="`methods` must have 'standard'"):
        dataclasses.replace(plan, methods=("rifle",))
    with pytest.raises(ValueError, match="`tune` must be one of"):
        dataclasses.replace(plan, tune="none")


def test_the_choice_is_at_the_reported_epoch():
    plan = dataclasses.replace(SMALL, report_epoch="best")
    rows = [
        {
            **fake_row(c, 1 - c.learning_rate),
            "best": fake_row(c, c.learning_rate)["final"],
        }
        for c in plan.search_configs()
    ]
    assert {c.learning_rate for c in plan.final_configs(rows)} == {0.1}
    assert {c.learning_rate for c in SMALL.final_configs(rows)} == {0.05}
    assert len(study.compared(rows, "best")) == 2
    with pytest.raises(ValueError, match="`report_epoch` must be one of"):
        dataclasses.replace(plan, report_epoch="last")


def test_a_run_with_a_nan_in_its_row_is_a_failure(tmp_path):
    config = dataclasses.replace(BASE, seed=3)
    lines = []
    runs.run_all(
        [BASE, config], tmp_path / "rows.jsonl", processes=1, report=lines.append,
        run=nan_of_seed_3,
    )  # fmt: skip
    failed, ok = sorted(read_rows(tmp_path / "rows.jsonl"), key=lambda r: r["status"])
    assert "Received: nan at final.loss" in failed["reason"] and ok["status"] == "ok"


def nan_of_seed_3(config, folder):
    loss = float("nan") if config.seed == 3 else 0.5
    row = fake_row(config, 0.5)
    return {**row, "final": {**row["final"], "loss": loss}}


def test_a_strategy_is_for_one_process(tmp_path):
    tiny = [
        sys.executable, "-m", "benchmarks.study", "--train_size=60", "--epochs=2",
        "--stages=2", "--width=2", "--seeds=1", "--tuning_seeds=1", "--batch_size=30",
        "--method=shrink_perturb", "--regularization=none", "--learning_rate=0.1",
        f"--output={tmp_path}", "--strategy=mirrored",
    ]  # fmt: skip
    done = subprocess.run([*tiny, "--processes=2"], capture_output=True, text=True)
    assert (
        done.returncode and "`strategy` must be none but" in done.stdout + done.stderr
    )
    done = subprocess.run([*tiny, "--processes=1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row["strategy"] == "mirrored" and row["status"] == "ok"
