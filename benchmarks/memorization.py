"""Why does it work under label noise? What is memorized, and how the units fare.

    python -m benchmarks.memorization

Six methods at 40% label noise, without regularization and with all of it (DCW), at one
learning rate and weight decay, six seeds: what share of the wrong labels is learned,
how dormant units, ranks and norms go, and what of it goes with the test accuracy. Takes
about 15 minutes on two cores. Stop it at any moment; the same command goes on.
"""

from absl import app, flags

from benchmarks import study
from keras_reinit import memorization, memorization_report

DEFAULTS = {
    "output": "results/memorization",
    "method": [
        "standard",
        "warm_restart",
        "full_reinit",
        "shrink_perturb",
        "later_layers",
        "born_again",
    ],
    "regularization": ["none", "DCW"],
    "label_noise": ["0.4"],
    "noisy_validation": False,
    "learning_rate": ["0.1"],
    "weight_decay": ["0.0005"],
    "seeds": 6,
}


def define_flags():
    """The flags of a study, with defaults of this one."""
    study.define_flags()
    for name, value in DEFAULTS.items():
        flags.FLAGS.set_default(name, value)


def main(argv):
    """Runs what is missing, then writes and prints tables and figure."""
    rows, folder = study.trained(argv, memorization.run)
    study.show(memorization_report, rows, folder)


if __name__ == "__main__":
    define_flags()
    app.run(main)
