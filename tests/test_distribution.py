"""Two replicas, two workers: the same training, and the same weights everywhere."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = pathlib.Path(__file__).with_name("distributed.py")


def start(kind, method, loss="object", **environment):
    return subprocess.Popen(
        [sys.executable, PROGRAM, kind, method, loss],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


def assert_close(one, other):
    for a, b in zip(one["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        one["after_event"], other["after_event"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "method",
    [
        "shrink_perturb",
        "cached",
        "warm_restart",
        pytest.param("born_again", marks=pytest.mark.slow),
    ],
)
def test_two_replicas_hold_the_same_weights_and_train_as_one_device(method):
    """`warm_restart` changes no weight: it shows the tolerance of training itself."""
    one, two = result(start("single", method)), result(start("mirrored", method))
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert two["identical"]
    assert_close(one, two)
    np.testing.assert_allclose(one["losses"], two["losses"], rtol=1e-4)


@pytest.mark.parametrize("loss", ["function", "string"])
def test_a_teachers_loss_is_that_of_one_device_however_it_is_named(loss):
    one, two = (
        result(start(kind, "born_again", loss)) for kind in ("single", "mirrored")
    )
    assert_close(one, two)
    np.testing.assert_allclose(one["losses"], two["losses"], rtol=1e-4)


def test_two_workers_hold_the_same_weights_and_train_as_one_device():
    with socket.socket() as a, socket.socket() as b:
        for one in (a, b):
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
    workers = [
        start(
            "worker",
            "shrink_perturb",
            TF_CONFIG=json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            ),
        )
        for index in (0, 1)
    ]
    first, second = (result(worker) for worker in workers)
    assert first["replicas"] == 2
    assert first["weights"] == second["weights"]
    assert first["after_event"] == second["after_event"]
    assert_close(first, result(start("single", "shrink_perturb")))
