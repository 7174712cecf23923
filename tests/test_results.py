import importlib.metadata
import json
import os
import subprocess

import pytest
import tensorflow as tf

import keras_reinit
from keras_reinit import provenance, results, storage
from keras_reinit.report.verdict import cells
from keras_reinit.results import Interval


def test_interval_by_hand():
    interval = Interval.of([1.0, 2.0, 3.0, 4.0])
    # t(0.975, 3) = 3.1824, standard error sqrt(5/3) / 2.
    assert interval.mean == 2.5 and interval.n == 4
    assert interval.half_width == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-5)
    assert Interval.of([1.0]).half_width == float("inf")


def test_paired_difference_takes_common_seeds_only():
    difference = results.paired_difference({0: 0.9, 1: 0.8, 2: 0.5}, {0: 0.8, 1: 0.7})
    assert difference.n == 2 and difference.mean == pytest.approx(0.1)
    assert results.paired_difference({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        (Interval(0.02, 0.01, 4), "helps"),
        (Interval(-0.02, 0.01, 4), "hurts"),
        (Interval(0.01, 0.01, 4), "no clear effect"),
        (Interval(0.5, float("inf"), 1), "no clear effect"),
        (Interval(0.5, 0.01, 2), "no clear effect"),
        (Interval(0.00125, 0.0, 3), "no clear effect"),
        (None, ""),
    ],
)
def test_verdict(interval, word):
    assert results.verdict(interval) == word


def test_rows_survive_a_line_cut_off_by_a_crash(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert results.read_rows(path) == []
    results.append_row(path, {"a": 1})
    whole = path.read_text()
    path.write_text(whole + json.dumps({"b": 2})[:-3])
    assert results.read_rows(path) == [{"a": 1}]
    results.append_row(path, {"c": 3})
    assert results.read_rows(path) == [{"a": 1}, {"c": 3}]


def test_new_rows_are_read_once_and_whole(tmp_path):
    rows = results.NewRows(tmp_path / "rows.jsonl")
    assert rows.read() == []
    results.append_row(rows.path, {"a": 1})
    results.append_row(rows.path, {"b": "ü"})
    assert rows.read() == [{"a": 1}, {"b": "ü"}] and rows.read() == []
    with open(rows.path, "a") as file:
        file.write('{"c": ')
        file.flush()
        assert rows.read() == []
        file.write("3}")
        file.flush()
        assert rows.read() == [{"c": 3}]  # The end of the line is not there yet.
    results.append_row(rows.path, {"d": 4})
    with open(rows.path, "ab") as file:
        file.write(b'{"e\xff')  # A crash in the middle of a letter.
    results.append_row(rows.path, {"f": 6})
    assert rows.read() == [{"d": 4}, {"f": 6}] and rows.read() == []


def test_an_unwritable_output_is_said(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="`output` must be a folder.*file"):
        storage.writable_folder(file / "below")
    assert os.listdir(storage.writable_folder(tmp_path / "a" / "b")) == []


def row(method, seed, accuracy, fits=(1.0, 1.0), status="ok", **config):
    config = {
        "method": method,
        "seed": seed,
        "regularization": "DCW",
        "label_noise": 0.4,
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        **config,
    }
    if status != "ok":
        return {"config": config, "status": status, "reason": "NaN"}
    metrics = {"test_accuracy": accuracy}
    stages = [{"train_accuracy": fit} for fit in fits]
    return {"config": config, "status": "ok", "final": metrics, "best": metrics,
            "stages": stages}  # fmt: skip


def test_cells():
    rows = [row("standard", s, 0.5 + s / 10) for s in range(3)]
    rows += [row("shrink_perturb", s, 0.6 + s / 10 + s / 1000, (1.0, 0.9))
             for s in range(3)]  # fmt: skip
    rows += [row("layerwise", 0, None, status="failed")]
    standard, shrink_perturb, layerwise = cells(rows)
    assert standard.setting == "DCW + 40% noise"
    assert standard.accuracy.mean == pytest.approx(0.6)
    assert (standard.difference, standard.word, standard.refits) == (None, "", None)
    # Over seeds the accuracies differ by 0.1, their paired differences hardly.
    assert shrink_perturb.difference.mean == pytest.approx(0.101)
    assert shrink_perturb.difference.half_width < 0.01 < standard.accuracy.half_width
    assert shrink_perturb.word == "helps"
    assert shrink_perturb.stage_fits == pytest.approx((1.0, 0.9))
    assert shrink_perturb.refits is False
    assert layerwise.accuracy is None and layerwise.failures == ("NaN",)


def test_versions_need_no_installed_package_of_that_name(monkeypatch):
    """TensorFlow is also installed as tensorflow-cpu, and this from its folder."""

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    versions = provenance.provenance()["versions"]
    assert versions["tensorflow"] == tf.__version__
    assert versions["keras_reinit"] == keras_reinit.__version__
    assert set(versions) == {"python", "keras_reinit", "keras", "tensorflow", "numpy"}


def test_the_commit_is_never_that_of_the_users_own_repository(tmp_path, monkeypatch):
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "mine"]):
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    installed = tmp_path / "site-packages" / "keras_reinit" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert provenance._commit() is None
