"""A finished result is found again only by all that decided it."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from PIL import Image

from keras_reinit import data, pool, results, runs, study, training, tuning
from keras_reinit.config import Config
from keras_reinit.training import memorization, online
from keras_reinit.tuning.code import code_digest

BASE = Config(model="mlp", width=8, train_size=64, batch_size=32, epochs=2, stages=2)


def silent(line):
    pass


class Untrained(tuning.HyperModel):
    """Returns rows without training: what is trained is all that is asked here."""

    def run(self, hp, *args, **kwargs):
        part = {"train_accuracy": 0.5, "train_cross_entropy": 1.0}
        part |= {"validation_accuracy": 0.5, "validation_cross_entropy": 1.0}
        part |= {"test_accuracy": 0.5}
        config = dataclasses.asdict(self.config(hp))
        row = {"config": config, "status": "ok", "final": part, "best": part}
        return {**row, "hyperparameters": dict(hp.values), "history": {}}


def rate(hp):
    return {"learning_rate": hp.Choice("learning_rate", [0.01, 0.1])}


def searched(folder, base=BASE, objective="val_accuracy", **kwargs):
    """How many cells a search trained, and how many it found again."""
    kwargs = {"space": rate, **kwargs}
    hypermodel = Untrained(kwargs.pop("space"), base, **kwargs)
    tuner = tuning.GridSearch(hypermodel, objective, directory=folder, report=silent)
    missing = len(tuner.missing())
    tuner.search()
    assert not tuner.missing()
    return missing


def narrow(hp):
    return network(4)


def wide(hp):
    return network(5)


def network(width):
    layers = [keras.layers.Flatten(), keras.layers.Dense(width), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def test_a_search_is_found_again_only_by_all_that_decided_it(tmp_path):
    assert searched(tmp_path) == 2
    assert searched(tmp_path) == 0
    same = dataclasses.replace(BASE, steps_per_execution=2)  # Of speed only.
    assert searched(tmp_path, same) == 0
    others = (
        {"base": dataclasses.replace(BASE, epochs=4)},
        {"base": dataclasses.replace(BASE, model="small_cnn")},
        {"base": dataclasses.replace(BASE, train_size=65)},
        {"base": dataclasses.replace(BASE, method="born_again", temperature=2.0)},
        {"objective": keras_tuner.Objective("val_cross_entropy", "min")},
        {"objective": keras_tuner.Objective("val_accuracy", "min")},
        {"epoch": "best"},
        {"build": narrow},
        {"build": wide},
        {"build": lambda hp: network(6)},
        {"space": lambda hp: {**rate(hp), "momentum": 0.5}},
    )
    for changes in others:
        assert searched(tmp_path, **changes) == 2, changes
        assert searched(tmp_path, **changes) == 0, changes
    assert len(results.read_rows(tmp_path / "rows.jsonl")) == 2 * (1 + len(others))


def images(folder, seed):
    rng = np.random.default_rng(seed)
    for label in "ab":
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return f"{folder}/"


def test_a_search_knows_its_data_by_their_contents_not_by_their_folder(tmp_path):
    first = images(tmp_path / "first", seed=0)
    base = dataclasses.replace(BASE, dataset=first, train_size=20, batch_size=10)
    assert searched(tmp_path / "rows", base) == 2
    assert searched(tmp_path / "rows", base) == 0
    images(tmp_path / "first", seed=1)
    assert searched(tmp_path / "rows", base) == 2


def test_a_study_runs_again_on_other_data_of_the_same_name(tmp_path):
    folder, path = tmp_path / "images", tmp_path / "rows.jsonl"
    config = Config(dataset=images(folder, 0), epochs=1, stages=1, batch_size=10,
                    model="mlp", width=4)  # fmt: skip
    lines = []
    for expected in ("1 runs to do", "0 runs to do"):
        runs.run_all([config], path, processes=1, report=lines.append)
        assert expected in lines[-2 if "1" in expected else -1]
    images(folder, 1)
    runs.run_all([config], path, processes=1, report=lines.append)
    first, second = results.read_rows(path)
    assert first["data"] != second["data"] == data.fingerprint(config.dataset)
    assert runs.Runs(path).rows([config]) == [second]


def fake(config=BASE, **changes):
    part = {"test_accuracy": 0.5, "validation_accuracy": 0.5}
    row = {"config": dataclasses.asdict(config), "status": "ok", "final": part}
    return {**row, "best": part, **changes}


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (fake(), True),  # Older than these fields.
        (fake(kind="training", strategy="none", data=data.fingerprint("digits")), True),
        (fake(kind="online"), False),
        (fake(curves={}), False),
        (fake(strategy="mirrored"), False),
        (fake(data="0" * 32), False),
        (fake(given=["network"]), False),
        (fake(dataclasses.replace(BASE, width=9)), False),
        (fake(dataclasses.replace(BASE, steps_per_execution=1)), True),
        ({"config": None, "status": "failed", "reason": "WorkerDied"}, False),
    ],
)
def test_a_study_takes_a_row_only_of_the_same_run(row, counts, tmp_path):
    results.append_row(tmp_path / "rows.jsonl", row)
    found = runs.Runs(tmp_path / "rows.jsonl").rows([BASE])
    assert [one["config"] for one in found] == ([row["config"]] if counts else [])


def test_rows_say_what_they_are():
    plain = training.run(BASE)
    assert plain["kind"] == "training" and plain["data"] == data.fingerprint("digits")
    noisy = dataclasses.replace(BASE, label_noise=0.5)
    row = memorization.run(noisy)
    assert row["kind"] == "memorization" and row["given"] == []
    chunks = dataclasses.replace(BASE, method="full_reinit", batch_size=8)
    assert online.run(chunks)["kind"] == "online"


CONSTANT = 4


def of_constant(hp):
    return CONSTANT


def of_network(hp):
    return network(3)


class Builder:
    def __init__(self, width):
        self.width = width

    def __call__(self, hp):
        return network(self.width)

    def build(self, hp):
        return network(2 * self.width)


def widths(width):
    return lambda hp: network(width)


def test_code_is_known_by_what_it_does(monkeypatch):
    different = [
        narrow, wide, of_constant, of_network, widths(4), widths(5),
        Builder(4), Builder(5), Builder(4).build, functools.partial(network, 4),
        functools.partial(network, 5), lambda hp: network(hp), lambda hp: [network(4)],
        lambda hp: network(6),
        lambda hp, width=4: network(width), lambda hp, width=5: network(width),
        lambda hp: "x" in {"a", "b"}, lambda hp: "x" in {"a", "c"},
        np.zeros(3).__add__, np.sum,
    ]  # fmt: skip
    digests = [code_digest(one) for one in different]
    assert len(set(digests)) == len(digests)
    assert code_digest(widths(4)) == code_digest(widths(4))
    assert code_digest(Builder(4)) == code_digest(Builder(4))
    before = code_digest(of_constant), code_digest(of_network)
    monkeypatch.setitem(globals(), "CONSTANT", 5)
    monkeypatch.setitem(globals(), "network", lambda width: None)
    assert code_digest(of_constant) != before[0]
    assert code_digest(of_network) != before[1]


def test_code_is_the_same_in_any_process():
    program = (
        "import sys; sys.path.insert(0, 'tests'); import test_identity as t;"
        "from keras_reinit.tuning.code import code_digest;"
        "print([code_digest(f) for f in (t.narrow, t.Builder(3), t.images)])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1


def test_a_row_that_json_cannot_hold_is_a_failure_that_says_where(tmp_path):
    row = pool.attempt(BASE, None, lambda config, folder: {"a": [1, {"b": np.nan}]})
    assert row["status"] == "failed" and "nan at a.1.b" in row["reason"]
    with pytest.raises(ValueError, match="Received: inf at final.loss"):
        results.append_row(tmp_path / "rows", {"final": {"loss": float("inf")}})
    assert not (tmp_path / "rows").exists()


def test_reading_rows_builds_no_config(monkeypatch):
    rows = [fake(dataclasses.replace(BASE, seed=seed)) for seed in range(3)]

    def refuse(self):
        raise AssertionError("a `Config` was built")

    monkeypatch.setattr(Config, "__post_init__", refuse)
    assert len(runs.by_key(rows)) == 3
    assert study.compared(rows) == rows


HELPER = """
WIDTH = {width}

def make(width=None):
    return {body}
"""
BUILD = """
import functools
import json
import types

import keras
import own_helper
import own_helper as helper
from keras_reinit.tuning.code import code_digest, network_digest

WIDTH = {width}
SIZES = {sizes}
NAMES = types.SimpleNamespace(width={width})

class Own(keras.layers.Layer):
    def call(self, x):
        return x {operator} 2.0

@functools.lru_cache
def cached():
    return {width}

def network(units):
    layers = [keras.Input((3,)), *map(keras.layers.Dense, units), Own()]
    return keras.Sequential(layers)

BUILDS = {{
    "global": lambda hp: network([own_helper.make(WIDTH)]),
    "helper": lambda hp: network([own_helper.make()]),
    "inside": lambda hp: network([__import__("own_helper").WIDTH]),
    "namespace": lambda hp: network([NAMES.width]),
    "order": lambda hp: network(SIZES.values()),
    "cached": lambda hp: network([cached()]),
    "layer": lambda hp: network([2]),
}}

def digests():
    return {{
        name: (code_digest(build), network_digest(build(None)))
        for name, build in BUILDS.items()
    }}
"""


def digests(folder, width=4, body="width or WIDTH", sizes=(2, 3), operator="*"):
    """Of the builds of a program, in a process of its own, and built twice."""
    sizes = {f"size_{size}": size for size in sizes}
    helper = HELPER.format(width=width, body=body)
    program = BUILD.format(width=width, sizes=sizes, operator=operator)
    (folder / "own_helper.py").write_text(helper)
    (folder / "own_build.py").write_text(program)
    code = "import json, own_build as b; b.digests(); print(json.dumps(b.digests()))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=folder, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_network_is_known_by_its_code_and_by_what_was_built(tmp_path):
    first = digests(tmp_path)
    assert digests(tmp_path) == first
    for changes, expected in (
        ({"width": 5}, {"global", "helper", "inside", "namespace", "cached"}),
        ({"body": "(width or WIDTH) + 1"}, {"global", "helper"}),
        ({"sizes": (3, 2)}, {"order"}),
        ({"operator": "+"}, set(first)),  # The layer is in all of them.
    ):
        changed = digests(tmp_path, **changes)
        found = {name for name in first if changed[name] != first[name]}
        assert found >= expected, changes
        assert changes.keys() == {"operator"} or "layer" not in found


@pytest.mark.parametrize(
    "value", [range(3), np.zeros(3, object), keras.layers.Dense(2), max, "a".join, 3j]
)
def test_code_of_anything_has_a_digest(value):
    class Slots:
        __slots__ = ("width",)

    slots = Slots()
    slots.width = 3
    nested = []
    for _ in range(3000):
        nested = [nested]
    for one in (value, slots, nested):
        assert len(code_digest(lambda hp, one=one: one)) == 32
    assert code_digest(lambda hp: max(hp)) != code_digest(lambda hp: min(hp))
    assert code_digest("a".join) != code_digest("b".join)
    a, b = (lambda: 1), (lambda: 2)
    assert code_digest(lambda hp: [a, b, a]) != code_digest(lambda hp: [a, b, b])
