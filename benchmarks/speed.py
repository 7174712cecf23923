"""Times ours and the plain ways side by side: an event, input, a teacher, a search.

    python -m benchmarks.speed --part=event
    python -m benchmarks.speed --part=input --cores=1
    python -m benchmarks.speed --part=distillation
    python -m benchmarks.speed --part=diagnostics
    python -m benchmarks.speed --part=search --rounds=3

Takes a minute or two, a search half an hour. Every way runs once in each round, so
that all see the same machine; what counts are the ratios. With the extra `speed`
installed, PyTorch and torchvision take part. Appends one row to OUTPUT/rows.jsonl.
"""

import functools
import importlib.metadata
import json
import math
import os
import statistics
import time

import numpy as np
from absl import app, flags

from benchmarks import (
    speed_diagnostics,
    speed_distillation,
    speed_event,
    speed_input,
    speed_search,
)
from keras_reinit import results
from keras_reinit.provenance import provenance

PART = flags.DEFINE_enum(
    "part",
    "event",
    ("event", "input", "distillation", "diagnostics", "search"),
    "what is timed",
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 15, "how often each way is timed", lower_bound=3
)
CORES = flags.DEFINE_integer(
    "cores", None, "cores to use; by default all", lower_bound=1
)
OUTPUT = flags.DEFINE_string(
    "output", None, "folder for rows.jsonl; by default results/speed_<part>"
)
# Seconds in which batches are counted, after those that waited in a buffer are gone.
DRAIN, COUNT = 0.5, 1.5


def event(rounds):
    """Median seconds of each way, and ratios of the event to them."""
    found = speed_event.ways()
    grown = {name: speed_event.growth(found[name]) for name in ("event", "clone_model")}
    seconds, spread = timed(found, rounds)
    floor = seconds["floor: draw"] + seconds["floor: read, modify, write"]
    seconds["floor"] = floor
    ratios = {name: seconds["event"] / value for name, value in seconds.items()}
    return {
        "seconds": rounded(seconds, 5),
        "range_over_median": rounded(spread, 2),
        "peak_growth_megabytes": grown,
        "event_over": rounded({k: v for k, v in ratios.items() if k != "event"}, 3),
    }


def images(rounds):
    """Median images per second of each way, for each size and recipe."""
    cells = []
    for side in (32, 64):
        for recipe in ("crop_flip", "full"):
            streams = speed_input.ways(side, recipe)
            counts = {name: [] for name in streams}
            for _ in range(rounds):
                for name, stream in streams.items():
                    counts[name].append(images_per_second(stream))
            rates = {name: statistics.median(some) for name, some in counts.items()}
            spread = {name: np.ptp(some) / rates[name] for name, some in counts.items()}
            own = rates["keras_reinit"]
            ratios = {name: own / rate for name, rate in rates.items()}
            del ratios["keras_reinit"]
            cells.append(
                {
                    "side": side,
                    "recipe": recipe,
                    "images_per_second": rounded(rates, 0),
                    "range_over_median": rounded(spread, 2),
                    "ours_over": rounded(ratios, 3),
                }
            )
    ours = cells[0]["images_per_second"]["keras_reinit"]
    steps, _ = timed(speed_input.steps(), rounds=3)
    share = {name: speed_input.BATCH / ours / value for name, value in steps.items()}
    return {
        "cells": cells,
        "step_seconds": rounded(steps, 4),
        # What making a batch takes (32x32x3, crop and flip), of a step's time.
        "input_over_step": rounded(share, 4),
    }


def compared(part, rounds):
    """Median seconds of each way of a part, and its ratios within a round."""
    times = interleaved(part.ways(), rounds)
    seconds, spread = summarized(times)
    found = part.ratios(times)
    return {
        "seconds": rounded(seconds, 5),
        "range_over_median": rounded(spread, 2),
        "ratios": rounded({k: np.median(v) for k, v in found.items()}, 3),
        "ratios_95": {k: interval_of_median(v) for k, v in found.items()},
    }


def searches(rounds):
    """Median seconds of whole searches, and ratios within a round."""
    cells = []
    for model in speed_search.MODELS:
        times = interleaved(speed_search.ways(model), rounds, warm=False)
        seconds, spread = summarized(times)
        stock = times["keras_tuner.GridSearch"]
        hourly = {name: 3600 * speed_search.TRIALS / s for name, s in seconds.items()}
        cells.append(
            {
                "model": model,
                "trials": speed_search.TRIALS,
                "epochs": speed_search.BASE.epochs,
                "seconds": rounded(seconds, 1),
                "range_over_median": rounded(spread, 2),
                "trials_per_hour": rounded(hourly, 0),
                "over_stock": rounded(
                    {name: np.median(stock / some) for name, some in times.items()}, 2
                ),
            }
        )
    return {"cells": cells}


def images_per_second(stream):
    """Takes batches for a while, and counts."""
    for seconds in (DRAIN, COUNT):
        batches, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            next(stream)
            batches += 1
    return speed_input.BATCH * batches / (time.perf_counter() - began)


def timed(ways, rounds):
    """Median seconds of each way in interleaved rounds, and range over median."""
    return summarized(interleaved(ways, rounds))


def interleaved(ways, rounds, warm=True):
    """Seconds of each way, one a round; the order changes from round to round."""
    times = {name: np.zeros(rounds) for name in ways}
    order, rng = list(ways), np.random.default_rng(0)
    for way in ways.values() if warm else ():
        way()
    for i in range(rounds):
        rng.shuffle(order)
        for name in order:
            began = time.perf_counter()
            ways[name]()
            times[name][i] = time.perf_counter() - began
    return times


def summarized(times):
    """Medians, and range over median."""
    medians = {name: float(np.median(some)) for name, some in times.items()}
    return medians, {name: np.ptp(some) / medians[name] for name, some in times.items()}


def interval_of_median(values):
    """A 95% interval, between two of the values: nothing is assumed of them."""
    n = len(values)
    half = 0.98 * math.sqrt(n)
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    return [
        round(float(np.sort(values)[max(low - 1, 0)]), 3),
        round(float(np.sort(values)[min(high, n - 1)]), 3),
    ]


def rounded(values, digits):
    """A dict with rounded values."""
    return {name: round(float(value), digits) for name, value in values.items()}


def main(argv):
    """Measures, prints and appends one row."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        folder = OUTPUT.value or f"results/speed_{PART.value}"
        folder = results.writable_folder(folder)
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    # Before TensorFlow counts them.
    allowed = sorted(os.sched_getaffinity(0))[: CORES.value]
    os.sched_setaffinity(0, allowed)
    measure = {
        "event": event,
        "input": images,
        "distillation": functools.partial(compared, speed_distillation),
        "diagnostics": functools.partial(compared, speed_diagnostics),
        "search": searches,
    }
    config = {"part": PART.value, "rounds": ROUNDS.value, "cores": len(allowed)}
    row = {
        "config": config,
        **measure[PART.value](ROUNDS.value),
        **provenance(),
    }
    for package in ("torch", "torchvision"):
        try:
            row["versions"][package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    results.append_row(folder / "rows.jsonl", row)
    print(json.dumps({k: row[k] for k in row if k not in ("versions",)}, indent=2))


if __name__ == "__main__":
    app.run(main)
