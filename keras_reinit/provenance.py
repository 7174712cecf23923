"""Where a result row comes from: versions, commit and device."""

import importlib.metadata
import pathlib
import platform
import subprocess

import tensorflow as tf


def provenance():
    """Versions, commit and device, for a result row."""
    packages = ("keras_reinit", "keras", "tensorflow", "numpy")
    devices = tf.config.list_logical_devices()
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "commit": COMMIT,
        "device": sorted({device.device_type for device in devices}),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    }


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=pathlib.Path(__file__).parent,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# Taken at the import: the code that runs is the code of then.
COMMIT = _commit()
