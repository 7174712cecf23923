"""What a search would cost: printed, and kept as a row, before anything is trained."""

import dataclasses
import sys

from keras_reinit import provenance, results
from keras_reinit.training.training import without_folders
from keras_reinit.tuning.estimate import estimate

# On paper: assumed floating-point operations a second of such small networks, with one
# training on each chip. No such device was measured; of its peak (312e12 for an A100,
# 275e12 for a chip of a TPU v4, both in bfloat16) this is about one thirtieth.
HERE = "this machine"
ASSUMED = {"one GPU": 10e12, "a TPU slice of 16 chips": 16 * 10e12}
LIMITS = (
    "Measured: short trainings on this machine, one at a time (workers that share its "
    "memory may be slower). Assumed: ten TFLOP/s on a GPU and each chip of a TPU. Not "
    "counted: augmentation and optimizer in the operations, data sets in the storage."
)


def run(search, workers, folder):
    """Estimates what is missing of a search, prints it, and appends a row.

    Args:
        search: A `keras_reinit.tuning.GridSearch`.
        workers: Integer, how many train at a time.
        folder: Path for `plan.jsonl`.
    """
    configs = search.missing()
    if not configs:
        print("Nothing is left to train.")
        return
    found = estimate(configs, search.hypermodel.folder)
    hours = {HERE: found.hours(workers)}
    hours |= {name: found.flops / rate / 3600 for name, rate in ASSUMED.items()}
    row = {
        "config": {
            "arguments": [*map(without_folders, sys.argv[1:])],
            "name": folder.name,
            "workers": workers,
            "seeds": len({config.seed for config in configs}),
        },
        "estimate": dataclasses.asdict(found),
        "hours": hours,
        **provenance.provenance(),
    }
    print("\n".join([*lines(row), "", LIMITS]))
    results.append_row(folder / "plan.jsonl", row)


def lines(row):
    """A row in words."""
    found = row["estimate"]
    yield f"{found['trials']:,} trainings left, with {row['config']['seeds']} seeds"
    yield f"{found['epochs']:,} epochs, {found['steps']:,} steps"
    yield f"{found['flops']:.2e} floating-point operations, counted from the networks:"
    for kind in found["measured"]:
        yield (
            f"  {kind['kind']}: {kind['training_flops_per_example']:,} an example of "
            f"training, {kind['seconds_per_epoch']:.3g} seconds an epoch here, "
            f"about {kind['bytes_of_a_step'] / 1e9:.2g} GB for a step"
        )
    for name in (HERE, *ASSUMED):
        how = f"{row['config']['workers']} at a time" if name == HERE else "on paper"
        yield f"{row['hours'][name]:,.2f} hours on {name}, {how}"
    yield f"{found['bytes'] / 1e6:,.1f} MB of rows and TensorBoard files"
