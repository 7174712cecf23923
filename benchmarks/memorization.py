"""Why does it work under label noise? What is memorized, and how the units fare.

    python -m benchmarks.memorization

Six methods at 40% label noise, without regularization and with all of it (DCW), at one
learning rate and weight decay, six seeds: what share of the wrong labels is learned,
how dormant units, ranks and norms go, and what of it goes with the test accuracy. It is
`benchmarks.study --preset=digits/memorization`, and takes about 15 minutes on two
cores. Stop it at any moment; the same command goes on.
"""

from benchmarks import flags, study

if __name__ == "__main__":
    study.define_flags()
    flags.run(study.main, preset="digits/memorization")
