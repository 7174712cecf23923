"""The ways to re-initialize that `benchmarks.speed --part=event` times.

On PreAct-ResNet-18 (11.2 million parameters), Shrink & Perturb of all weights. It also
samples how far the process grows meanwhile. With PyTorch installed (extra `backends`),
its plain way takes part: build a fresh module, shrink and add in place.
"""

import functools
import itertools
import threading
import time

import keras
import psutil
import tensorflow as tf

from keras_reinit import models
from keras_reinit.fresh import recipes
from keras_reinit.fresh.weights import fresh_draws
from keras_reinit.methods.shrink_perturb import shrink_perturb
from keras_reinit.optimizers import reset_optimizer

SHRINK, PERTURB = 0.4, 0.1
EVENTS = itertools.count(1)


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
