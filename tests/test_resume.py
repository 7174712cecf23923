"""Trainings that are killed, by signal, and continued by another process."""

import json
import pathlib
import signal
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).with_name("interrupted.py")


def run(*args):
    return subprocess.run(
        [sys.executable, PROGRAM, *map(str, args)], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "method",
    [
        "self_distillation",
        pytest.param("layerwise", marks=pytest.mark.slow),
        pytest.param("cached", marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_ends_as_one_that_never_was(method, tmp_path):
    whole = run(method, tmp_path / "whole", -1)
    assert whole.returncode == 0, whole.stderr[-2000:]
    for kill_at in (5, 6, 10):  # In each of the three stages.
        killed = run(method, tmp_path / "backup", kill_at)
        assert killed.returncode == -signal.SIGKILL
    resumed = run(method, tmp_path / "backup", -1)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    one, two = (json.loads(p.stdout.splitlines()[-1]) for p in (whole, resumed))
    assert one == two and len(one["events"]) == 2
