"""Signs of life of the workers of a search, as files in its folder."""

import collections
import contextlib
import json
import os
import pathlib
import platform
import threading
import time
import urllib.parse

BEAT = 2.0  # Seconds between two signs.
LEASE = 30.0  # A worker that has not given one for so long is taken for dead.


class Heartbeat:
    """Writes, every few seconds, which trial this process runs.

    Args:
        folder: Path of the search.
        tuner_id: String, the name of the worker.
    """

    def __init__(self, folder, tuner_id):
        self.trial = None
        self._tuner_id = tuner_id
        # Other hosts, and other processes of this one, have files of their own.
        process = f"{platform.node()}-{os.getpid()}"
        self._name = urllib.parse.quote(f"{tuner_id}@{process}", safe="@")
        self._path = _folder(folder) / f"{self._name}.json"
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._ended.set()

    def runs(self, trial_id):
        """Says which trial runs now; `None` for none."""
        self.trial = trial_id
        self._write()

    def _beat(self):
        while not self._ended.wait(BEAT):
            self._write()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self):
        sign = {"worker": self._tuner_id, "trial": self.trial, "time": time.time()}
        new = self._path.with_suffix(".new")
        # The thread writes, too. A full disk may have room again for the next sign.
        with self._lock, contextlib.suppress(OSError):
            new.write_text(json.dumps(sign))
            new.replace(self._path)  # Never half a file.


class Watch:
    """Tells which workers live, by its own clock alone: those of hosts may differ."""

    def __init__(self, folder):
        self._folder = _folder(folder)
        self._seen = {}  # Of each file, its text and when that was new.
        self._first_asked = {}  # Of workers without a sign.
        self._ran = collections.defaultdict(set)

    def trials(self, without=None):
        """The trials that living workers run, but for one worker's."""
        living = self._living()
        return {trial for worker, trial in living if worker != without} - {None}

    def has_run(self, tuner_id, trial_id):
        """Whether a worker has ever given a sign that it runs a trial."""
        self._living()
        return trial_id in self._ran[tuner_id]

    def dead(self, tuner_ids):
        """Those of the workers that have not given a sign for long."""
        living = {worker for worker, _ in self._living()}
        now = time.monotonic()
        for tuner_id in tuner_ids:  # Not yet a sign: it is given time, too.
            self._first_asked.setdefault(tuner_id, now)
        dead = {
            tuner_id
            for tuner_id in tuner_ids - living
            if now - self._first_asked[tuner_id] > LEASE
        }
        for tuner_id in dead:  # One that comes back is given time again.
            del self._first_asked[tuner_id]
        return dead

    def _living(self):
        """The workers that live and their trials, as a list of pairs."""
        now, living = time.monotonic(), []
        for path in self._folder.glob("*.json"):
            sign = _read(path)
            if sign is None:
                continue
            if self._seen.get(path.name, (None, 0))[0] != sign:
                self._seen[path.name] = sign, now
            worker, trial, _ = sign
            self._ran[worker].add(trial)
            if now - self._seen[path.name][1] <= LEASE:
                living.append((worker, trial))
        return living


def _read(path):
    """Worker, trial and time of a sign; `None` for a file that is gone or damaged."""
    try:
        sign = json.loads(path.read_text())
        worker, trial, at = (sign[name] for name in ("worker", "trial", "time"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    known = isinstance(worker, str) and isinstance(trial, str | None)
    return (worker, trial, at) if known and isinstance(at, int | float) else None


def _folder(folder):
    return pathlib.Path(folder) / "workers"
