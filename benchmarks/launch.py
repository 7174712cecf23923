"""Starts keras-tuner's chief and workers on this host, and looks after them.

Each is the same command with keras-tuner's environment variables. One that ends
before its time is started again; when all workers are done, or this process ends in
whatever way, nothing is left running.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from keras_reinit import storage
from keras_reinit.console import say

TUNER_ID = "KERASTUNER_TUNER_ID"
PARENT = "KERAS_REINIT_PARENT"
ONE_CORE = {
    "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}  # fmt: skip
# A worker that ends so often within seconds of its start has not lost a trial only.
FAST, SECONDS = 5, 20.0
GRACE = 10.0  # Seconds for workers to end after the chief.


def run(workers, folder):
    """Runs this program's command as a chief and workers; returns an exit code.

    Raises:
        ValueError: If another run holds the folder.
    """
    with storage.held(folder):
        pass  # The chief will hold it.
    roles = ["chief", *(f"worker{i}" for i in range(workers))]
    with tempfile.TemporaryDirectory() as private, contextlib.ExitStack() as stack:
        address = _address(private)
        team = {}
        for place, role in enumerate(roles):
            team[role] = Member(role, _environment(role, place, address), folder)
            stack.callback(team[role].end)
        return _look_after(team)


def _address(folder):
    """What KERASTUNER_ORACLE_IP and _PORT are: a socket that only this user can open.

    Args:
        folder: Path of a folder of mode 0700.
    """
    path = os.path.join(folder, "chief")
    if hasattr(socket, "AF_UNIX") and len(path) < 100:  # The limit of the system.
        return "unix", path
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1", str(free.getsockname()[1])


def _look_after(team):
    workers = [member for role, member in team.items() if role != "chief"]
    while not all(worker.is_done() for worker in workers):
        time.sleep(0.2)
        if team["chief"].is_done():
            # All it knew are told to stop. One that came back later would wait for it.
            end = time.monotonic() + GRACE
            for worker in workers:
                worker.wait(max(0.0, end - time.monotonic()))
            break
        for member in team.values():
            if not member.revive():
                say(f"{member.role} cannot run; see {member.log}", file=sys.stderr)
                return 1
    return 0


class Member:
    """A process that is started again when it fails."""

    def __init__(self, role, environment, folder):
        self.role, self._environment = role, environment
        self.log = folder / "workers" / f"{role}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._fast = 0
        self._start()

    def _start(self):
        self._began = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.search", *sys.argv[1:]]
        with open(self.log, "ab") as log:
            # The chief tells of the progress.
            out = None if self.role == "chief" else log
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=out, stderr=log
            )

    def is_done(self):
        """Whether it has come to its end."""
        return self._process.poll() == 0

    def revive(self):
        """Starts it again if it failed; false if that does not help."""
        if self._process.poll() in (None, 0):
            return True
        fast = time.monotonic() - self._began < SECONDS
        self._fast = self._fast + 1 if fast else 0
        if self._fast == FAST:
            return False
        self._start()
        return True

    def wait(self, seconds):
        """Waits for its end, but no longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self):
        """Ends it at once."""
        self._process.kill()
        self._process.wait()


def end_with_parent():
    """Lets a chief or worker end when the process that started it is gone."""
    parent = os.environ.get(PARENT)
    if parent is not None:
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _environment(role, place, address):
    own = {
        TUNER_ID: role,
        PARENT: str(os.getpid()),
        "KERASTUNER_ORACLE_IP": address[0],
        "KERASTUNER_ORACLE_PORT": address[1],
    }
    own |= ONE_CORE
    gpus = _gpus()
    own["CUDA_VISIBLE_DEVICES"] = (
        gpus[(place - 1) % len(gpus)] if gpus and role != "chief" else ""
    )
    return {**os.environ, **own}


def _gpus():
    """The names of the GPUs that processes may be given, one each."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    return known.split(",") if known and count else [str(i) for i in range(count)]
