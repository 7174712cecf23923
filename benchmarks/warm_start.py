"""Compares ways to go on with a network when more data arrive, in accuracy and cost.

    python -m benchmarks.warm_start

Five chunks: each stage trains on all data so far, anew, from the trained weights (a
warm start), or from what a method makes of them; without regularization and with all of
it (DCW), learning rate and weight decay chosen on validation data. It is
`benchmarks.study --preset=digits/online`, and takes about 10 minutes on two cores; on
real images, `--preset=fashion_mnist/online`. Stop it at any moment; the same command
goes on.
"""

from benchmarks import flags, study

if __name__ == "__main__":
    study.define_flags()
    flags.run(study.main, preset="digits/online")
