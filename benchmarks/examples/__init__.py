"""Other data than images, and other tasks than one class: an example each.

Everything in keras_reinit works on weights, whatever a model takes and returns. Each
example trains on real data that need no download, with and without a method:

    python -m benchmarks.examples.tabular_regression --seeds=5
"""
