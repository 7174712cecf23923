"""Runs in processes of their own, several at once."""

import concurrent.futures
import functools
import multiprocessing
import os
import signal
import threading

from keras_reinit import training
from keras_reinit.results import json_line
from keras_reinit.training.compiled import CompiledModels


@functools.cache
def _models():
    """The compiled models of this process, which its runs train one after another."""
    return CompiledModels()


def train(config, folder=None, strategy="none"):
    """One run of `training`, on a compiled model that an earlier one may have left."""
    # A model belongs to the strategy it was made under, and each run makes its own.
    models = _models() if strategy == "none" else None
    return training.run(config, folder, strategy, models=models)


def outcomes(configs, processes, folder, run):
    """Yields a config and its row for each run, in the order in which they end.

    Args:
        configs: List of `Config`.
        processes: Integer >= 1, runs at once; with more than one, each has one thread.
        folder: Where the data set lies, see `keras_reinit.data.load`.
        run: Function of a module that takes a config and a folder and returns a row.
    """
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, context, _prepare, (1 if processes > 1 else 0,)
    )
    others = set(multiprocessing.active_children())
    futures = {pool.submit(attempt, c, folder, run): c for c in configs}
    try:
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # An interruption does not wait for the runs in flight.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()


def _prepare(threads):
    import tensorflow as tf

    # Ctrl-C is for the process that writes; it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _end_with_parent():
    """A killed study leaves no run behind that would compete with the next one."""
    multiprocessing.parent_process().join()
    os._exit(1)


def attempt(config, folder=None, run=train):
    """A run, with a failure turned into a row that says why."""
    try:
        row = run(config, folder)
        json_line(row)  # One that cannot be written has failed.
        return row
    except Exception as error:
        return training.failure(config, error)


def default_processes():
    """One process a core: on small models that beats one process on all of them."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
               else os.cpu_count() or 1)  # fmt: skip
