"""A training that kills itself, or goes on from its backup, as a program.

    python interrupted.py METHOD FOLDER {batch number to be killed at, or -1}

Prints, as JSON, a fingerprint of all state and the events.
"""

import hashlib
import json
import os
import signal
import sys

import keras
import numpy as np
from contract import set_up, state

from keras_reinit import Stages


class Kill(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def main(name, folder, kill_at):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)).astype("float32"), rng.integers(0, 3, 32)
    layers = [
        keras.layers.Dense(8),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.ReLU(),
        keras.layers.Dense(8),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    method, model, x = set_up(name, model, x)
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callback = method(Stages(6, 3), seed=3)
    backup = keras.callbacks.BackupAndRestore(folder)
    model.fit(
        x, y, epochs=6, batch_size=8, shuffle=False, verbose=0,
        callbacks=[callback, Kill(int(kill_at)), backup],
    )  # fmt: skip
    everything = hashlib.sha256(b"".join(v.tobytes() for v in state(model)))
    print(json.dumps({"state": everything.hexdigest(), "events": callback.events}))


if __name__ == "__main__":
    main(*sys.argv[1:])
