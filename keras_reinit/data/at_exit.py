"""Lets threads of TensorFlow that call Python come to rest before Python ends."""

import atexit
import contextlib
import functools
import threading
import time

# Seconds without a call after which no more are expected, and the longest wait.
REST_S = 0.1
LONGEST_WAIT_S = 5.0


class Calls:
    """Counts the calls that run, and knows whether Python is about to end.

    A tf.data iterator that is destroyed while Python ends waits for its threads, which
    wait for Python: the process would hang. So at the end nothing is computed any
    more, buffers fill at once, and Python ends when they are full.
    """

    def __init__(self):
        self.ended = False
        self._lock = threading.Lock()
        self._running = 0
        self._latest = 0.0

    @contextlib.contextmanager
    def one(self):
        """A call from a thread of TensorFlow."""
        self._begin()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._latest = time.monotonic()

    def _begin(self):
        _register()
        with self._lock:
            self._running += 1

    def finish(self):
        """Waits until no call runs and no more are expected."""
        self.ended = True
        limit = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < limit and not self._is_at_rest():
            time.sleep(REST_S / 5)

    def _is_at_rest(self):
        with self._lock:
            return not self._running and time.monotonic() - self._latest > REST_S


CALLS = Calls()


@functools.cache
def _register():
    atexit.register(CALLS.finish)
