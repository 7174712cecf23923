"""A training with a `Backup`, as a program that is killed while it writes.

    python backing_up.py METHOD FOLDER {slow, fast}

Says when a state is about to be saved; at the end it prints, as JSON, a fingerprint of
all state and the events. A slow disk takes about 0.4 seconds to save one.
"""

import hashlib
import json
import os
import pathlib
import sys
import tempfile
import time

import keras
import numpy as np
from contract import set_up, state

from keras_reinit import Stages
from keras_reinit.backup import Backup

SAVING = "saving"
PAUSE = 0.02


def slow_down_the_disk():
    """A pause in each operation of a `Backup`, and ten within a file of weights."""
    for name in ("fsync", "rename", "unlink", "rmdir"):
        setattr(os, name, paused(getattr(os, name)))
    fast = keras.Model.save_weights

    def save_weights(model, path):
        with tempfile.TemporaryDirectory() as folder:
            fast(model, f"{folder}/all.weights.h5")
            content = pathlib.Path(folder, "all.weights.h5").read_bytes()
        with open(path, "wb", buffering=0) as file:
            for part in np.array_split(np.frombuffer(content, "uint8"), 10):
                file.write(part.tobytes())
                time.sleep(PAUSE)

    keras.Model.save_weights = save_weights


def paused(function):
    def slow(*args, **kwargs):
        time.sleep(PAUSE / 2)
        result = function(*args, **kwargs)
        time.sleep(PAUSE / 2)
        return result

    return slow


def main(name, folder, disk):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)).astype("float32"), rng.integers(0, 3, 32)
    layers = [
        keras.layers.Dense(64),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.ReLU(),
        keras.layers.Dense(64),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    method, model, x = set_up(name, model, x)
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callback = method(Stages(24, 4), seed=3)
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(SAVING, flush=True)
    )
    if disk == "slow":
        slow_down_the_disk()
    model.fit(
        x, y, epochs=24, batch_size=8, shuffle=False, verbose=0,
        callbacks=[callback, tell, Backup(folder)],
    )  # fmt: skip
    everything = hashlib.sha256(b"".join(v.tobytes() for v in state(model)))
    print(json.dumps({"state": everything.hexdigest(), "events": callback.events}))


if __name__ == "__main__":
    main(*sys.argv[1:])
