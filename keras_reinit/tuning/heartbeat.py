"""Signs of life of the workers of a search, as files in its folder."""

import json
import os
import pathlib
import threading
import time

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
        self._path = _folder(folder) / f"{tuner_id}.json"
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
        self._path.unlink(missing_ok=True)

    def _write(self):
        new = self._path.with_suffix(f".{os.getpid()}")
        with self._lock:  # The thread writes, too.
            new.write_text(json.dumps({"trial": self.trial, "time": time.time()}))
            new.replace(self._path)  # Never half a file.


class Watch:
    """Tells which workers live, by its own clock alone: those of hosts may differ."""

    def __init__(self, folder):
        self._folder = _folder(folder)
        self._seen = {}

    def trials(self):
        """The trials that living workers run."""
        return {sign["trial"] for sign in self._living().values()} - {None}

    def trial_of(self, tuner_id):
        """The trial that a living worker runs, or `None`."""
        return self._living().get(tuner_id, {}).get("trial")

    def dead(self, tuner_ids):
        """Those of the workers that have not given a sign for long."""
        living = self._living()
        now = time.monotonic()
        for tuner_id in tuner_ids:  # Not yet a sign: it is given time, too.
            self._seen.setdefault(tuner_id, (None, now))
        return {
            tuner_id
            for tuner_id in tuner_ids - living.keys()
            if now - self._seen[tuner_id][1] > LEASE
        }

    def _living(self):
        now, living = time.monotonic(), {}
        for path in self._folder.glob("*.json"):
            try:
                text = path.read_text()
            except OSError:
                continue
            if self._seen.get(path.stem, (None, 0))[0] != text:
                self._seen[path.stem] = text, now
            if now - self._seen[path.stem][1] <= LEASE:
                living[path.stem] = json.loads(text)
        return living


def _folder(folder):
    return pathlib.Path(folder) / "workers"
