"""Times one re-initialization event, side by side with the plain ways to do it.

    python -m benchmarks.speed

On PreAct-ResNet-18 (11.2 million parameters), Shrink & Perturb of all weights. Takes a
minute. Every way runs once in each round, so that all see the same machine; what counts
are the ratios. It also samples how far the process grows meanwhile. With PyTorch
installed (extra `backends`), its plain way takes part: build a fresh module, shrink and
add in place. Appends one row to OUTPUT/rows.jsonl.
"""

import functools
import importlib.metadata
import itertools
import json
import statistics
import threading
import time

import keras
import numpy as np
import psutil
import tensorflow as tf
from absl import app, flags

from keras_reinit import models, recipes, results, training
from keras_reinit.fresh import fresh_draws
from keras_reinit.methods.shrink_perturb import shrink_perturb
from keras_reinit.optimizers import reset_optimizer

SHRINK, PERTURB = 0.4, 0.1
EVENTS = itertools.count(1)
ROUNDS = flags.DEFINE_integer(
    "rounds", 15, "how often each way is timed", lower_bound=3
)
OUTPUT = flags.DEFINE_string("output", "results/speed", "folder for rows.jsonl")


def ways():
    """The functions to time, by name."""
    model = models.preact_resnet18((32, 32, 3), 10)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    found = recipes.find_recipes(model)
    head = [recipe for recipe in found if recipe.layer is model.layers[-1]]
    found_ways = {
        "event": functools.partial(event, found),
        "first event (recipes found)": lambda: event(recipes.find_recipes(model)),
        "event of the last layer": functools.partial(event, head),
        "fresh optimizer state": lambda: reset_optimizer(model.optimizer),
        "clone_model": lambda: keras.models.clone_model(model),
        "floor: draw": functools.partial(draw_floor, model),
        "floor: read, modify, write": functools.partial(write_floor, model),
    }
    try:
        return {**found_ways, "PyTorch": torch_way()}
    except ImportError:
        return found_ways


def event(found):
    """One event of Shrink & Perturb, as the callback does it; each a new draw."""
    for variable, draw in fresh_draws(found, seed=0, event=next(EVENTS)):
        weight = variable.numpy()
        variable.assign(shrink_perturb(weight, draw(), SHRINK, PERTURB))


def draw_floor(model):
    """As many normal numbers as there are weights, by TensorFlow's own function."""
    for i, variable in enumerate(model.weights):
        tf.random.stateless_normal(variable.shape, [0, i])


def write_floor(model):
    """One pass over the weights that reads, scales and writes them."""
    for variable in model.weights:
        variable.assign(variable * SHRINK)


def torch_way():
    """Builds a fresh module with the same initial scale, shrinks and adds in place."""
    import torch

    from benchmarks.torch_preact_resnet18 import preact_resnet18

    module = preact_resnet18()

    @torch.no_grad()
    def run():
        fresh = preact_resnet18().parameters()
        for old, new in zip(module.parameters(), fresh, strict=True):
            old.mul_(SHRINK).add_(new, alpha=PERTURB)

    return run


def measure(rounds):
    """Median seconds of each way, and ratios of the event to them."""
    found = ways()
    megabytes = {name: growth(found[name]) for name in ("event", "clone_model")}
    timed = {name: [] for name in found}
    for way in found.values():
        way()
    for _ in range(rounds):
        for name, way in found.items():
            began = time.perf_counter()
            way()
            timed[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in timed.items()}
    medians["floor"] = medians["floor: draw"] + medians["floor: read, modify, write"]
    spread = {name: np.ptp(times) / medians[name] for name, times in timed.items()}
    return {
        "seconds": {name: round(value, 5) for name, value in medians.items()},
        "range_over_median": {name: round(v, 2) for name, v in spread.items()},
        "peak_growth_megabytes": megabytes,
        "event_over": {
            name: round(medians["event"] / value, 3)
            for name, value in medians.items()
            if name != "event"
        },
    }


def growth(way):
    """Megabytes by which the process grows, at most, while a way runs again."""
    way()
    process, sizes, done = psutil.Process(), [], threading.Event()

    def sample():
        while not done.is_set():
            sizes.append(process.memory_info().rss)
            time.sleep(0.0005)

    sampler = threading.Thread(target=sample)
    sampler.start()
    time.sleep(0.05)
    way()
    done.set()
    sampler.join()
    return round((max(sizes) - sizes[0]) / 1e6, 1)


def main(argv):
    """Measures, prints and appends one row."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        folder = results.writable_folder(OUTPUT.value)
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    row = {
        "config": {"model": "preact_resnet18", "rounds": ROUNDS.value},
        **measure(ROUNDS.value),
        **training.provenance(),
    }
    if "PyTorch" in row["seconds"]:
        row["versions"]["torch"] = importlib.metadata.version("torch")
    results.append_row(folder / "rows.jsonl", row)
    print(
        json.dumps(
            {k: row[k] for k in ("seconds", "event_over", "peak_growth_megabytes")},
            indent=2,
        )
    )


if __name__ == "__main__":
    app.run(main)
