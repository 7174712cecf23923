"""What a method is going to do to a model, before it is trained."""

import copy

import keras
import numpy as np

from keras_reinit.arguments import check_model

COLUMNS = ("fresh", "mixed", "scaled", "kept")


def plan(model, method, print_fn=print):
    """Prints, for each event, how many parameters a method re-initializes and keeps.

    The method's own rule is asked for every weight; nothing changes.

    Args:
        model: The built `keras.Model` to be trained, as it is at that moment.
        method: A re-initialization callback, such as `ShrinkPerturb(...)`.
        print_fn: Function that takes the lines of the table.

    Returns:
        List of dicts, one for each event: `stage`, `epochs` or `steps` (when), and
        numbers of parameters: `fresh` (drawn anew), `mixed` (of old and fresh),
        `scaled` (changed, nothing drawn) and `kept`.

    Raises:
        ValueError: As when training begins: for a model that cannot be re-drawn or
            that lacks what the method needs, such as a loss or training data.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> events = plan(model, ShrinkPerturb(Stages(epochs=6, stages=3)))
    stage       epochs        fresh        mixed       scaled         kept
    1            2            0            8            0            0
    2            4            0            8            0            0
    """
    check_model(model)
    if not hasattr(method, "outcomes"):
        raise ValueError(
            "`method` must be a re-initialization callback, such as "
            f"`ShrinkPerturb(...)`. Received: method={method!r}"
        )
    method = copy.copy(method)
    method.set_model(model)
    method.prepare()
    if model.compiled:
        method.check()
    unit, starts = method.schedule.unit, method.schedule.starts
    rows = [
        {"stage": stage, unit: start, **_counts(method, stage)}
        for stage, start in enumerate(starts)
        if stage > 0
    ]
    names = ("stage", unit, *COLUMNS)
    for line in (dict(zip(names, names, strict=True)), *rows):
        cells = (line[name] for name in names)
        print_fn(" ".join(f"{cell:>12{_comma(cell)}}" for cell in cells).strip())
    return rows


def _comma(cell):
    return "," if isinstance(cell, int) else ""


def _counts(method, stage):
    counts = dict.fromkeys(COLUMNS, 0)
    sizes = {id(v): int(keras.ops.size(v)) for v in method.network.weights}
    for variable, value, fresh in method.outcomes(stage) if method.changes else ():
        if value is not None:
            how = "scaled" if fresh is None else "fresh" if value is fresh else "mixed"
            touched = int(np.ma.count(value))  # All but masked entries.
            counts[how] += touched
            sizes[id(variable)] -= touched
    counts["kept"] = sum(sizes.values())
    return counts
