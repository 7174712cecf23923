"""What another host, a folder, a file or a row can do to a search: nothing."""

import dataclasses
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import keras_tuner
import pytest
import tensorflow as tf
from keras_tuner.engine import trial as trials
from searching import BASE

from keras_reinit import console, report, results, runs, storage, study, tuning
from keras_reinit.report import commands, page
from keras_reinit.tuning import heartbeat, hparams, oracle
from keras_reinit.tuning.cells import cells

SEEDS = (0, 1)


def silent(line):
    pass


def rates(hp):
    return {"learning_rate": hp.Choice("learning_rate", [0.01, 0.1])}


def chief(folder, report=silent):
    objective = keras_tuner.Objective("val_accuracy", "max")
    made = oracle.GridOracle(
        objective, folder, SEEDS, lambda: cells(rates, SEEDS), report
    )
    made.begin()
    return made


def grid(folder):
    hypermodel = tuning.HyperModel(rates, BASE)
    return tuning.GridSearch(hypermodel, directory=folder, report=silent)


@pytest.mark.parametrize("name", ["/tmp/x", "../x", "a/b", "", ".", "..", "x/../../y"])
def test_nothing_is_written_or_removed_outside_of_the_folder(name, tmp_path):
    victim = tmp_path / "x"
    victim.mkdir()
    (victim / "file").write_text("mine")
    name = name.replace("/tmp/x", str(victim))
    row = {"trial": name, "hyperparameters": {}, "config": None}
    with pytest.raises(ValueError, match="`row` must have the id of a trial"):
        hparams.write_trial(row, tmp_path / "search", 0)
    assert (victim / "file").read_text() == "mine"
    with heartbeat.Heartbeat(tmp_path / "search", f"worker/{name}") as heart:
        heart.runs("trial")
        (sign,) = (tmp_path / "search" / "workers").glob("*.json")
        assert heartbeat.Watch(tmp_path / "search").trials() == {"trial"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["search", "x"]


def foreign_trial(trial_id, values):
    hp = keras_tuner.HyperParameters()
    hp.values = values
    return trials.Trial(hp, trial_id, "RUNNING")


@pytest.mark.parametrize(
    ("trial_id", "values"),
    [
        ("/etc", {}),
        ("../x", {"learning_rate": 0.1, "seed": 0}),
        (None, {"learning_rate": 0.5, "seed": 0}),  # The id of other values.
        (None, {"learning_rate": 0.1, "seed": 0, "epochs": 9}),
    ],
)
def test_a_worker_refuses_a_trial_that_it_cannot_check(trial_id, values, tmp_path):
    tuner = grid(tmp_path)
    trial_id = trial_id or next(iter(tuner._list_cells()))
    with (
        tuner_heart(tuner, tmp_path),
        pytest.raises(
            keras_tuner.errors.FatalRuntimeError,
            match="chief must be one of this search",
        ),
    ):
        tuner.run_trial(foreign_trial(trial_id, values))
    assert not (tmp_path / "rows.jsonl").exists()


def tuner_heart(tuner, folder):
    tuner._heart = heartbeat.Heartbeat(folder, "worker0")
    return tuner._heart


ROGUE = pathlib.Path(__file__).with_name("rogue_chief.py")


def test_a_worker_of_a_rogue_chief_ends_and_wipes_nothing(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    command = [
        sys.executable, "-m", "benchmarks.search", "--model=mlp", "--width=4",
        "--train_size=64", "--epochs=1", "--stages=1", "--learning_rate=0.1",
        f"--output={tmp_path / 'search'}",
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, ROGUE, victim], stdout=subprocess.PIPE, text=True
    ) as rogue:
        try:
            port = rogue.stdout.readline().strip()
            worker = {
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": port,
                "KERASTUNER_TUNER_ID": "worker0",
            }
            done = subprocess.run(
                command, env={**os.environ, **worker}, capture_output=True, text=True,
                cwd=ROGUE.parent.parent, timeout=300,
            )  # fmt: skip
        finally:
            rogue.kill()
    assert done.returncode != 0 and "must be one of this search" in done.stderr
    assert (victim / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.end_trial(foreign_trial("nonsense", {})),
        lambda o: o.update_trial("nonsense", {"val_accuracy": 1.0}),
        lambda o: o.update_trial(o.create_trial("a").trial_id, {"val_accuracy": "x"}),
        lambda o: o.create_trial(["no", "string"]),
    ],
)
def test_a_bad_call_does_not_keep_the_chief_from_its_end(call, tmp_path):
    lines = []
    made = chief(tmp_path, lines.append)
    call(made)
    assert any("a call was refused" in line for line in lines)
    # Another thread gets the lock, which an error would have kept.
    answer = []
    thread = threading.Thread(
        target=lambda: answer.append(made.create_trial("b")), daemon=True
    )
    thread.start()
    thread.join(20)
    assert answer and answer[0].status == "RUNNING"


def test_calls_under_a_made_up_name_leave_no_row(tmp_path):
    made = chief(tmp_path)
    ids = {made.create_trial("made_up").trial_id for _ in range(24)}
    assert len(ids) == 1 and not (tmp_path / "rows.jsonl").exists()


def test_a_chief_ends_though_a_name_was_made_up(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "LEASE", 0.2)
    monkeypatch.setattr(oracle, "WATCH_SECONDS", 0.05)
    made = chief(tmp_path)
    made.create_trial("made_up")
    assert made.tuner_ids and made.ongoing_trials
    with made.watching():
        end = time.monotonic() + 20
        while (made.tuner_ids or made.ongoing_trials) and time.monotonic() < end:
            time.sleep(0.05)
    assert not made.tuner_ids and not made.ongoing_trials
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_port_in_use_is_said(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(other.getsockname()[1]))
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        with pytest.raises(
            keras_tuner.errors.FatalRuntimeError, match="no other program uses"
        ):
            grid(tmp_path).search()


FOREIGN = (
    {"config": None, "status": "failed", "reason": "WorkerDied"},
    {"config": {"method": "later"}, "status": "failed", "reason": "?"},
    {"config": {"a_later_field": 1}, "status": "ok"},
    {"config": {}, "status": "ok", "final": None},
    {"config": {}},
    {"config": [], "status": "ok"},
    {"status": "failed", "reason": 3, "config": None},
    {"trial": {}, "config": {}, "status": "ok", "final": {"test_accuracy": 0.5}},
    {},
)


def test_rows_of_other_hands_are_left_out_and_counted_everywhere(tmp_path):
    path = tmp_path / "rows.jsonl"
    text = "".join(f"{json.dumps(row)}\n" for row in FOREIGN)
    deep = "[" * 5000 + "]" * 5000
    path.write_text(f"{text}{deep}\n" + '{"a": ' * 5000 + "1" + "}" * 5000 + "\n[3]\n")
    rows = results.read_rows(path)
    assert len(rows) == len(FOREIGN) and len(runs.known_rows(rows)) == 1
    plan = study.Study(
        BASE, methods=("standard",), settings=({"regularization": "none"},), seeds=(0,),
        tuning_seeds=1, learning_rates=(0.1,),
    )  # fmt: skip
    lines = []
    (row,) = study.run_study(plan, path, processes=1, report=lines.append)
    assert row["status"] == "ok"
    left_out = f"{len(FOREIGN) - 1} rows of another version are left out"
    assert sum(left_out in line for line in lines) == 2
    tuner = grid(tmp_path)
    tuner.search()
    assert len(tuner.results()) == 2
    done = run_script("report", str(tmp_path))
    assert left_out in done.stdout and done.returncode == 0


def run_script(name, *arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROGUE.parent.parent, capture_output=True, text=True, **kwargs,
    )  # fmt: skip


def test_a_full_disk_ends_a_search_and_marks_no_trial(tmp_path, monkeypatch):
    """TensorFlow's error of a full disk is no `OSError`."""

    def full(*args):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(hparams, "_write", full)
    with pytest.raises(
        keras_tuner.errors.FatalError, match="cannot be written.*No spa"
    ):
        grid(tmp_path).search()
    monkeypatch.undo()
    rows = results.read_rows(tmp_path / "rows.jsonl")
    assert [row["status"] for row in rows] == ["ok"]
    tuner = grid(tmp_path)
    assert len(tuner.missing()) == 1
    tuner.search()
    rows = results.read_rows(tmp_path / "rows.jsonl")
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_a_heartbeat_survives_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    write, full = pathlib.Path.write_text, [True]

    def no_space(self, *args):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *args)

    monkeypatch.setattr(pathlib.Path, "write_text", no_space)
    with heartbeat.Heartbeat(tmp_path, "a") as heart:
        heart.runs("trial")
        time.sleep(0.1)
        full.clear()
        end = time.monotonic() + 20
        while not heartbeat.Watch(tmp_path).trials() and time.monotonic() < end:
            time.sleep(0.02)
        assert heartbeat.Watch(tmp_path).trials() == {"trial"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"trial": 3}', '{"worker": "a", "trial": {}}', "é"]
)
def test_a_damaged_sign_of_life_is_ignored(text, tmp_path):
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "a@host-1.json").write_bytes(text.encode("latin-1"))
    made = chief(tmp_path)
    assert made.create_trial("b").status == "RUNNING"


def test_a_file_is_written_whole_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "report.md"
    storage.write_whole(path, "old")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        storage.write_whole(path, "new, and longer")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.md"]


def test_the_probe_of_a_folder_touches_no_file(tmp_path):
    mine = tmp_path / ".writable"
    mine.write_text("mine")
    storage.writable_folder(tmp_path)
    assert mine.read_text() == "mine" and os.listdir(tmp_path) == [".writable"]
    for url in ("gs://bucket/rows", "s3://bucket", "hdfs://host/x"):
        with pytest.raises(ValueError, match="`output` must be a local folder"):
            storage.writable_folder(url)


HOLD = "import sys, time; from keras_reinit import storage\n"
HOLD += "with storage.held(sys.argv[1]): print('held', flush=True); time.sleep(600)"


def test_a_second_run_in_a_folder_is_refused(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            ValueError, match="`directory` must be a folder in which no"
        ):
            grid(tmp_path).search()
        with pytest.raises(
            ValueError, match="`output` must be a folder in which no oth"
        ):
            study.run_study(study.Study(), tmp_path / "rows.jsonl", report=silent)
        with pytest.raises(
            ValueError, match="`output` must be a folder in which no oth"
        ):
            runs.run_all([BASE], tmp_path / "rows.jsonl", report=silent)
        done = run_script("study", f"--output={tmp_path}", "--train_size=64")
        assert done.returncode and "no other search or study" in done.stderr
        done = run_script(
            "search", f"--output={tmp_path}", "--workers=2", "--learning_rate=0.1"
        )
        assert done.returncode and "no other search or study" in done.stderr
        other.kill()
    # The operating system let go of it.
    with storage.held(tmp_path), storage.held(tmp_path):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(tried(tmp_path)))
        thread.start()
        thread.join()
        assert answers == ["refused"]
    assert tried(tmp_path) == "held"
    assert not (tmp_path / "rows.jsonl").exists()


def tried(folder):
    try:
        with storage.held(folder):
            return "held"
    except ValueError:
        return "refused"


def test_commands_and_tables_are_inert():
    name = "./my $(touch x) | <script>alert(1)</script>\n`id`/"
    config = {"dataset": name, "method": "rifle"}
    line = commands.command({"config": config})
    told = subprocess.run(
        ["sh", "-c", line.replace("python -m benchmarks.train", "printf '%s\\n'", 1)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told == f"--dataset={name}\n--method=rifle\n"
    table = results.markdown_table(["Name"], [[name]])
    assert len(table.splitlines()) == 3 and "<script>" not in table
    assert table.splitlines()[2].replace("\\|", "").count("|") == 2
    section = page.Section(name, (name,), (), (name,), ((name,),), (name,))
    text, html = page.markdown("Title", [section]), page.html("Title", [section])
    assert "<script" not in text and "<script" not in html
    assert "Content-Security-Policy" in html and "default-src 'none'" in html


def test_a_figure_draws_names_as_they_are(tmp_path):
    import test_report

    rows = [
        {**row, "config": {**row["config"], "dataset": name}}
        for name in (r"./a$\frac{b$/", "./b_c^d/")
        for row in test_report.noisy_rows()[:4]
    ]
    paths = report.write(rows, tmp_path)
    assert all(path.stat().st_size > 500 for path in paths)
    assert r"a$\frac{b$" in paths[2].read_text()


def test_a_name_that_is_no_utf8_is_escaped(tmp_path):
    storage.write_page(tmp_path / "report.md", "name \udce9")
    assert "name \\udce9" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_page_of_ones_own_is_not_overwritten(name, tmp_path):
    import test_report

    rows = test_report.noisy_rows()
    report.write(rows, tmp_path)
    report.write(rows, tmp_path)  # Its own pages are.
    (tmp_path / name).write_text("# My own report\n")
    with pytest.raises(ValueError, match="`output` must be a folder without a page of"):
        report.write(rows, tmp_path)
    assert (tmp_path / name).read_text() == "# My own report\n"
    done = run_script("study", f"--output={tmp_path}")
    assert done.returncode and "a page of your own" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_closed_or_narrow_output_stops_nothing(encoding, tmp_path):
    code = (
        "import os, sys; from keras_reinit.console import say\n"
        "for i in range(2000): say('Größe ± 1 ' * 20)\n"
        "open(sys.argv[1], 'w').write('done')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", code, str(tmp_path / "end")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.wait(120)
    assert process.returncode == 0 and b"Error" not in err
    assert (tmp_path / "end").read_text() == "done"
    assert (b"\\xb1" in first) == (encoding == "ascii")
    with open(tmp_path / "closed", "w") as file:
        pass
    console.say("nobody reads it", file)


def test_all_that_is_installed_is_pinned():
    import importlib.metadata
    import re

    lines = (ROGUE.parent.parent / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): at for name, at in pins.items()}
    wanted, seen = ["keras-reinit", "pip", "setuptools", "wheel"], set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # Of an extra, or another system.
        if name not in seen:
            seen.add(name)
            for one in found.requires or ():
                wanted.append(re.match(r"[\w.-]+", one)[0])
    missing = seen - pins.keys() - {"keras-reinit"}
    assert len(seen) > 50 and not missing


def test_rows_have_no_absolute_path(tmp_path):
    from test_identity import images

    dataset = images(tmp_path / "pictures", seed=0)
    config = dataclasses.replace(
        BASE, dataset=dataset, train_size=None, batch_size=10, epochs=1, stages=1
    )
    path = tmp_path / "rows" / "rows.jsonl"
    runs.run_all([config], path, processes=1, report=silent)
    (tmp_path / "pictures" / "a" / "0.png").write_bytes(b"no image")
    other = dataclasses.replace(config, seed=1)
    runs.run_all([other], path, processes=1, report=silent)
    ok, failed = results.read_rows(path)
    assert ok["config"]["dataset"] == failed["config"]["dataset"] == "./pictures"
    assert ok["status"] == "ok" and "0.png must be a whole image" in failed["reason"]
    assert str(tmp_path) not in path.read_text()
    assert socket.gethostname() not in path.read_text()
    with pytest.raises(ValueError, match="must be a whole image"):
        runs.Runs(path).rows([config])  # Other data now, and not whole.
    images(tmp_path / "pictures", seed=0)
    assert runs.Runs(path).rows([config]) == [ok]
