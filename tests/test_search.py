"""`benchmarks.search`: a chief and workers that are killed, and lose nothing."""

import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras_tuner
import psutil
import pytest

from benchmarks import launch
from keras_reinit import results
from keras_reinit.tuning import heartbeat, oracle
from keras_reinit.tuning.cells import cells

ROOT = pathlib.Path(__file__).parent.parent
COMMAND = [
    sys.executable, "-m", "benchmarks.search", "--model=mlp", "--width=8",
    "--train_size=64", "--epochs=2", "--stages=2", "--learning_rate=0.1",
    "--regularization=none,CW", "--weight_decay=0.0005,0.005", "--seeds=2",
]  # fmt: skip
CELLS = 2 + 2 * 2


class Search:
    """The program, with the processes that it started."""

    def __init__(self, folder, *arguments, environment=None):
        self.folder = folder
        self.process = psutil.Popen(
            [*COMMAND, f"--output={folder}", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        )  # fmt: skip

    def role(self, name):
        """The process that plays a part."""
        for child in self.process.children():
            if child.environ().get("KERASTUNER_TUNER_ID") == name:
                return child
        raise LookupError(name)

    def wait_for_rows(self, count):
        """Waits until so many trials have finished."""
        end = time.monotonic() + 300
        while len(self.rows()) < count and self.process.poll() is None:
            assert time.monotonic() < end, "no progress"
            time.sleep(0.05)

    def wait_until_it_trains(self, name):
        """Waits until a worker is in the middle of a trial; returns which."""
        while True:
            for path in (self.folder / "workers").glob(f"{name}@*.json"):
                trial = json.loads(path.read_text())["trial"]
                if trial:
                    return trial
            time.sleep(0.01)

    def rows(self):
        return results.read_rows(self.folder / "rows.jsonl")

    def end(self):
        """Waits for its end; returns its exit code and what it printed."""
        out, err = self.process.communicate(timeout=400)
        return self.process.returncode, out, err


def assert_each_cell_once(rows):
    assert [row["status"] for row in rows] == ["ok"] * CELLS
    counts = collections.Counter(row["trial"] for row in rows)
    assert len(counts) == CELLS


def test_killed_workers_and_a_killed_chief_lose_nothing(tmp_path):
    search = Search(tmp_path, "--workers=2")
    search.wait_for_rows(1)
    trial = search.wait_until_it_trains("worker1")
    search.role("worker1").kill()
    search.wait_for_rows(3)
    search.role("chief").kill()
    code, out, err = search.end()
    assert code == 0, err[-2000:]
    rows = search.rows()
    assert_each_cell_once(rows)
    assert trial in {row["trial"] for row in rows}  # It was run again.
    assert f"[{CELLS}/{CELLS}] 0 failed" in out
    seeds = [row["config"]["seed"] for row in rows]
    decays = {row["config"]["regularization"] for row in rows}
    assert sorted(seeds) == [0] * 3 + [1] * 3 and decays == {"none", "CW"}


def test_a_search_that_is_killed_leaves_nothing_running_and_goes_on(tmp_path):
    search = Search(tmp_path, "--workers=2")
    search.wait_for_rows(2)
    children = search.process.children()
    search.process.kill()
    search.end()
    assert len(children) == 3
    assert psutil.wait_procs(children, timeout=20)[1] == []
    before = search.rows()
    assert 2 <= len(before) < CELLS
    search = Search(tmp_path, "--workers=1")
    code, out, err = search.end()
    assert code == 0, err[-2000:]
    assert_each_cell_once(search.rows())
    assert search.rows()[: len(before)] == before
    assert f"{CELLS} cells, {len(before)} done before" in out


def test_a_search_that_is_stopped_says_how_to_go_on(tmp_path):
    search = Search(tmp_path, "--workers=2")
    search.wait_for_rows(1)
    children = search.process.children()
    search.process.send_signal(signal.SIGTERM)
    code, out, _ = search.end()
    assert code == 130 and "The same command continues" in out
    assert psutil.wait_procs(children, timeout=10)[1] == []


class Member:
    """A process of a search, done or not."""

    def __init__(self, done):
        self.done, self.waited = done, []

    def is_done(self):
        return self.done

    def wait(self, seconds):
        self.waited.append(seconds)


def test_a_worker_that_comes_back_after_the_chiefs_end_is_not_waited_for():
    chief, worker, late = Member(True), Member(True), Member(False)
    team = {"chief": chief, "worker0": worker, "worker1": late}
    assert launch._look_after(team) == 0
    assert 0 < late.waited[0] <= launch.GRACE


def grid(folder, **kwargs):
    objective, seeds = keras_tuner.Objective("val_accuracy", "max"), (0, 1)
    one = oracle.GridOracle(
        objective,
        folder,
        seeds,
        lambda: cells(lambda hp: hp.Choice("learning_rate", [0.1]), seeds),
        lambda line: None,
    )
    one.begin()
    return one


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(heartbeat, "LEASE", 0.2)


def test_the_trial_of_a_dead_worker_is_run_again(tmp_path, short_lease):
    chief = grid(tmp_path)
    first, second = chief.create_trial("a"), chief.create_trial("b")
    assert first.trial_id != second.trial_id
    assert chief.create_trial("c").status == "IDLE"
    with heartbeat.Heartbeat(tmp_path, "b") as heart:
        heart.runs(second.trial_id)
        time.sleep(0.4)
        heart.runs(second.trial_id)
        again = chief.create_trial("c")
    assert again.trial_id == first.trial_id and "a" not in chief.tuner_ids
    for worker, trial in (("b", second), ("c", again)):
        chief.update_trial(trial.trial_id, {"val_accuracy": 0.5})
        trial.status = "COMPLETED"
        chief.end_trial(trial)
        assert trial.trial_id in chief.end_order and worker not in chief.ongoing_trials
    assert {chief.create_trial(worker).status for worker in "bc"} == {"STOPPED"}
    assert not chief.tuner_ids and not chief.ongoing_trials


def test_signs_of_life_are_whole_though_two_threads_write_them(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 1e-4)
    with heartbeat.Heartbeat(tmp_path, "a") as heart:
        for i in range(500):
            heart.runs(f"{i}" * (i % 20 + 1))
            (path,) = (tmp_path / "workers").glob("a@*.json")
            json.loads(path.read_text())


def test_a_trial_that_ends_its_workers_is_given_up(tmp_path):
    chief, ids = grid(tmp_path), []
    with heartbeat.Heartbeat(tmp_path, "a") as heart:
        for _ in range(oracle.DEATHS):
            ids.append(chief.create_trial("a").trial_id)
            heart.runs(ids[-1])
        assert len(set(ids)) == 1
        other = chief.create_trial("a")
    assert other.trial_id not in ids
    (row,) = results.read_rows(tmp_path / "rows.jsonl")
    assert row["trial"] == ids[0] and "3 workers ended" in row["reason"]
    assert grid(tmp_path).create_trial("a").trial_id == ids[0]  # The next search tries.


def test_a_new_chief_leaves_living_workers_their_trials(tmp_path):
    trial = grid(tmp_path).create_trial("a")
    with heartbeat.Heartbeat(tmp_path, "a") as heart:
        heart.runs(trial.trial_id)
        chief = grid(tmp_path)
        assert chief.create_trial("b").trial_id != trial.trial_id
        assert chief.create_trial("c").status == "IDLE"
        # A worker that came back begins its trial anew.
        assert chief.get_trial(trial.trial_id).hyperparameters.get("seed") == 0
        chief.update_trial(trial.trial_id, {"val_accuracy": 0.5})
        trial.status = "COMPLETED"
        chief.end_trial(trial)
    assert chief.trials[trial.trial_id].score == 0.5


def test_workers_of_two_hosts_join_one_chief(tmp_path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    chief = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    hosts = [
        Search(tmp_path, environment={"KERASTUNER_TUNER_ID": role, **chief})
        for role in ("chief", "worker_of_one_host", "worker_of_another")
    ]
    for host in hosts:
        code, _, err = host.end()
        assert code == 0, err[-2000:]
    assert_each_cell_once(hosts[0].rows())


def test_stages_are_searched_over_where_there_are_any(tmp_path):
    search = Search(
        tmp_path, "--workers=1", "--stages=1,2", "--method=standard,shrink_perturb",
        "--regularization=none", "--seeds=1",
    )  # fmt: skip
    code, _, err = search.end()
    assert code == 0, err[-2000:]
    kinds = [(r["config"]["method"], r["config"]["stages"]) for r in search.rows()]
    expected = [("standard", 1), ("shrink_perturb", 1), ("shrink_perturb", 2)]
    assert sorted(kinds) == sorted(expected * 2)  # Decays.


def test_a_dry_run_says_what_is_missing_and_trains_nothing(tmp_path):
    search = Search(tmp_path, "--dry_run", "--dataset=cifar100", "--workers=3")
    code, out, err = search.end()
    assert code == 0, err[-2000:]
    assert f"{CELLS} trainings left" in out and "3 at a time" in out
    assert f"{2 * CELLS} epochs, {2 * CELLS} steps" in out
    (row,) = results.read_rows(tmp_path / "plan.jsonl")
    assert row["estimate"]["trials"] == CELLS and row["hours"]["this machine"] > 0
    assert not search.rows()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train_size=5000", "--batch_size=1"], "`train_size` must be in"),
        (["--learning_rate=0.1,fast"], "`learning_rate` must be floats"),
        (["--stages=two"], "`stages` must be ints"),
    ],
)
def test_what_cannot_be_searched_is_said_at_once(tmp_path, arguments, message):
    code, _, err = Search(tmp_path, "--workers=2", *arguments).end()
    assert code == 1 and message in err
