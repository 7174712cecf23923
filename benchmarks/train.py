"""Trains one model and appends one row to OUTPUT/rows.jsonl.

    python -m benchmarks.train --method=shrink_perturb --regularization=DCW

On the default data set (600 digits, 100 epochs) it takes 10 to 20 seconds on one
core. It always trains; `benchmarks.study` leaves out what is finished.
"""

import json

from absl import app, flags

from benchmarks import flags as shared
from keras_reinit import results, storage, training
from keras_reinit.console import say

STRATEGY = flags.DEFINE_enum(
    "strategy",
    "none",
    training.STRATEGIES,
    "none: one device; mirrored: all GPUs of this machine; tpu: a TPU (this path "
    "follows TensorFlow's guide and has not been run)",
)


def main(argv):
    """Flags in, one row out."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        config = shared.config()
        folder = storage.writable_folder(flags.FLAGS.output)
        row = training.run(config, flags.FLAGS.folder, STRATEGY.value)
        results.append_row(folder / "rows.jsonl", row)
    except (ValueError, FloatingPointError, flags.Error) as error:
        raise app.UsageError(str(error)) from error
    short = {key: row[key] for key in ("final", "best", "stages", "seconds")}
    say(json.dumps(short, indent=2))


if __name__ == "__main__":
    shared.define("results/train")
    app.run(main)
