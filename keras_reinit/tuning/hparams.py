"""Trials for TensorBoard: `tensorboard --logdir` on a search's folder shows them."""

import pathlib
import shutil

import tensorflow as tf
from tensorboard.plugins.hparams import api


def write_trial(row, folder, epoch):
    """Writes a trial's hyperparameters, metrics and curves as an event file.

    Args:
        row: A row of `GridSearch`. One of a trial that failed has no metrics.
        folder: Path of the search; the file goes to `hparams/<trial>` in it.
        epoch: Integer, the epoch that the trial is judged by.
    """
    above = pathlib.Path(folder) / "hparams"
    place = above / row["trial"]
    if place.parent != above or place.name in ("", ".", "..") or place.is_symlink():
        raise ValueError(
            f"`row` must have the id of a trial. Received: trial={row['trial']!r}"
        )
    shutil.rmtree(place, ignore_errors=True)  # Of a try that failed.
    try:
        _write(row, str(place), epoch)
    except tf.errors.OpError as error:  # Such as that of a full disk.
        raise OSError(f"{place}: {error.message}") from error


def _write(row, place, epoch):
    writer = tf.summary.create_file_writer(place)
    with writer.as_default():
        api.hparams(row["hyperparameters"], trial_id=row["trial"])
        for name, value in row.get("metrics", {}).items():
            tf.summary.scalar(name, value, epoch)
        for name, curve in row.get("history", {}).items():
            for step, value in enumerate(curve):
                tf.summary.scalar(f"curves/{name}", value, step)
    writer.close()
