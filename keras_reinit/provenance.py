"""Where a result row comes from: versions, commit and device."""

import pathlib
import platform
import subprocess

import keras
import numpy as np
import tensorflow as tf

import keras_reinit


def provenance():
    """Versions, commit and device, for a result row."""
    # Not by the names of installed packages: TensorFlow has several.
    packages = (keras_reinit, keras, tf, np)
    devices = tf.config.list_logical_devices()
    return {
        "versions": {
            "python": platform.python_version(),
            **{package.__name__: package.__version__ for package in packages},
        },
        "commit": COMMIT,
        "device": sorted({device.device_type for device in devices}),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    }


def _commit():
    try:
        # An installed package may lie in the repository of somebody's own project.
        _git("ls-files", "--error-unmatch", pathlib.Path(__file__).name)
        return _git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments):
    return subprocess.run(
        ["git", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parent,
    ).stdout.strip()


# Taken at the import: the code that runs is the code of then.
COMMIT = _commit()
