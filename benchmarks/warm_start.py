"""Compares ways to go on with a network when more data arrive, in accuracy and cost.

    python -m benchmarks.warm_start

Five chunks: each stage trains on all data so far, anew, from the trained weights (a
warm start), or from what a method makes of them; without regularization and with all of
it (DCW), learning rate and weight decay chosen on validation data. The default, on
digits, takes about 10 minutes on two cores. Stop it at any moment; the same command
goes on.
"""

from absl import app, flags

from benchmarks import study
from keras_reinit import online, online_report


def define_flags():
    """The flags of a study, with defaults of this one."""
    study.define_flags()
    flags.FLAGS.set_default("output", "results/warm_start")
    flags.FLAGS.set_default("method", list(online.METHODS))
    flags.FLAGS.set_default("regularization", ["none", "DCW"])


def main(argv):
    """Runs what is missing, then writes and prints table and figure."""
    rows, folder = study.trained(argv, online.run, online.METHODS)
    study.show(online_report, rows, folder)


if __name__ == "__main__":
    define_flags()
    app.run(main)
