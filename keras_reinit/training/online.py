"""Data that arrive in chunks: one run of a method that goes on with what it has.

The setting in which Shrink & Perturb was proposed (Ash & Adams 2020, arXiv 1910.08475):
each stage trains on all data so far. Going on with the trained weights (a warm start,
`warm_restart`) is cheap and generalizes worse than starting anew (`full_reinit`).
"""

import dataclasses
import datetime
import time

import keras

from keras_reinit import data
from keras_reinit.fresh import reinitialize
from keras_reinit.provenance import provenance
from keras_reinit.training.compiled import (
    augmentation,
    compile_for,
    network_for,
    num_steps,
    one_hot,
    standardization,
    wrapped,
)
from keras_reinit.training.evaluation import Evaluations, evaluator, parts
from keras_reinit.training.training import Finite, config_of_row, load

# As in the public code of Ash & Adams 2020: what counts as fitted.
FITTED = 0.99
METHODS = (
    "full_reinit",
    "warm_restart",
    "shrink_perturb",
    "dash",
    "later_layers",
    "random_weights",
)


def run(config, folder=None):
    """Trains one model on growing data and returns its result row.

    Args:
        config: A `Config`. Each of its `stages` trains for an equal part of `epochs` on
            the first 1/stages, 2/stages, ... of the training data, with a new optimizer
            and schedule; the method acts where a chunk arrives. `batch_size` examples
            must be in the first.
        folder: See `keras_reinit.data.load`.

    Returns:
        Dict as `training.run` returns, of which `stages` has for each chunk the metrics
        at its end, and `examples`, `steps` and `steps_to_fit`: after how many steps the
        epoch's training accuracy was 0.99, or None.

    Raises:
        ValueError: For a method that does not go on with one network (`METHODS` lists
            those that do), and as `training.run`.
        FloatingPointError: If the training diverges.
    """
    if config.method not in METHODS:
        raise ValueError(
            f"`method` must be one of {', '.join(METHODS)}, where data arrive in "
            f"chunks. Received: method={config.method!r}"
        )
    began = time.time()
    splits = load(config, folder)
    keras.utils.set_random_seed(config.seed)
    network = network_for(config, splits)
    reinitialize(network, seed=config.seed)
    model = wrapped(config, network)
    arrived = [_so_far(splits, stage, config.stages) for stage in range(config.stages)]
    # The inputs of a network must mean the same in all stages.
    standardize = standardization(config, arrived[0])
    rows = [
        _train(config, stage, part, model, standardize)
        for stage, part in enumerate(arrived)
    ]
    return {
        "kind": "online",
        "config": config_of_row(config),
        "data": splits.fingerprint,
        "status": "ok",
        "final": rows[-1],
        "stages": rows,
        "parameters": int(network.count_params()),
        "seconds": round(time.time() - began, 2),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **provenance(),
    }


def _so_far(splits, stage, stages):
    """The splits with the training data that have arrived."""
    count = len(splits.train[1]) * (stage + 1) // stages
    clean = splits.clean_labels
    return dataclasses.replace(
        splits,
        train=tuple(array[:count] for array in splits.train),
        train_index=splits.train_index[:count],
        clean_labels=None if clean is None else clean[:count],
    )


def _train(config, stage, splits, model, standardize):
    """One stage: what the method does, then a training of its own."""
    classes = one_hot(config, splits)
    datasets = {
        name: data.eval_dataset(*part, standardize=standardize, num_classes=classes)
        for name, part in parts(splits).items()
    }
    if stage > 0:
        method = config.callback()
        if config.method == "dash":
            method.data = datasets["train"]
        method.apply(model, stage)
    starts = (*config.schedule.starts, config.schedule.total)
    epochs = starts[stage + 1] - starts[stage]
    own = dataclasses.replace(config, epochs=epochs, stages=1)
    compile_for(own, splits, model)
    stream = data.train_dataset(
        *splits.train,
        config.batch_size,
        seed=config.seed + 1000 * stage,  # Other batches in each stage.
        standardize=standardize,
        augment=augmentation(config, splits),
        num_classes=classes,
    )
    steps = num_steps(config, splits)
    history = model.fit(
        stream,
        epochs=own.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[Finite()],
        verbose=0,
    ).history
    fitted = [i for i, value in enumerate(history["accuracy"], 1) if value >= FITTED]
    return {
        "examples": len(splits.train[1]),
        "steps": steps * own.epochs,
        "steps_to_fit": steps * fitted[0] if fitted else None,
        **Evaluations(evaluator(model), datasets)(),
    }
