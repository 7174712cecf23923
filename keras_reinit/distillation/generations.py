"""All generations of a training as one ensemble (BANE, Furlanello et al. 2018)."""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np

from keras_reinit.copying import copy_model, example_outputs
from keras_reinit.distillation.born_again import check_student
from keras_reinit.distillation.outputs import (
    Output,
    check_outputs,
    output_names,
    read_outputs,
)
from keras_reinit.network import inputs_of, network_of
from keras_reinit.storage import write_whole

# What the outputs mean, in the folder of the generations.
OUTPUTS = "outputs.json"


class SaveGenerations(keras.callbacks.Callback):
    """Saves the network's weights at the end of each stage, on disk.

    What the outputs mean is saved with them, as the compiled loss tells it.

    Args:
        schedule: The `Stages` of the training.
        folder: Where `generation_0.weights.h5` and so on are written, each whole or
            not at all. It belongs to one training.

    Raises:
        ValueError: When a training begins in a folder that has generations of another.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> student.compile(
    ...     "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> schedule = Stages(epochs=4, stages=2)
    >>> _ = student.fit(
    ...     np.ones((8, 3)), np.ones(8), epochs=4, verbose=0,
    ...     callbacks=[FullReinit(schedule), SaveGenerations(schedule, folder)])
    >>> ensemble(student, folder).predict(np.ones((1, 3)), verbose=0).shape
    (1, 2)
    """

    def __init__(self, schedule, folder):
        super().__init__()
        if getattr(schedule, "unit", None) != "epochs":
            raise ValueError(
                f"`schedule` must be a `Stages`. Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.folder = pathlib.Path(folder)

    def on_epoch_begin(self, epoch, logs=None):
        # A training that a backup continues finds its own generations.
        if epoch == 0 and _paths(self.folder):
            raise ValueError(
                "`folder` must have no generations of another training: move them, or "
                f"name another folder. Received: folder={str(self.folder)!r}, with "
                f"{len(_paths(self.folder))} generations"
            )

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self.schedule.ends:
            self.folder.mkdir(parents=True, exist_ok=True)
            outputs = [dataclasses.asdict(o) for o in _compiled_outputs(self.model)]
            saved = {"outputs": outputs, "generations": self.schedule.stages}
            write_whole(self.folder / OUTPUTS, json.dumps(saved))
            name = f"generation_{self.schedule.stage(epoch)}.weights.h5"
            aside = self.folder / f".{name}"
            network_of(self.model).save_weights(aside)
            os.replace(aside, self.folder / name)


def _paths(folder):
    """Dict from the numbers of the generations in a folder to their paths."""
    found = {}
    for path in pathlib.Path(folder).glob("generation_*.weights.h5"):
        number = path.name.split("_", 1)[1].removesuffix(".weights.h5")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


def _compiled_outputs(model):
    """List of `Output` of a compiled model; empty where its loss does not tell."""
    network = network_of(model)
    outputs = example_outputs(network)
    if outputs is None or getattr(model, "loss", None) is None:
        return []
    names, values = output_names(network, outputs), keras.tree.flatten(outputs)
    divergence, from_logits = (
        getattr(model, name, None) for name in ("divergence", "from_logits")
    )
    try:
        return read_outputs(
            names,
            model.loss,
            divergence=divergence,
            from_logits=from_logits,
            sizes=[value.shape[-1] for value in values],
        )
    except ValueError:
        return []


def ensemble(student, folder, *, from_logits=None, divergence=None):
    """Builds a model of all saved generations; it predicts the mean of theirs.

    The mean is that of the probabilities of classes (softmax) or of independent labels
    (sigmoid), and of numbers as they are.

    Args:
        student: The `keras.Model` that was trained; it is not changed.
        folder: That of `SaveGenerations`.
        from_logits: Whether the student returns logits; else probabilities. `None`
            takes what the compiled loss tells.
        divergence: What the outputs mean: `"kl"` (classes), `"bernoulli"` (independent
            labels) or `"squared_error"` (numbers), or one for each output. `None` takes
            what the compiled loss tells, as `SaveGenerations` has saved it.

    Returns:
        An ordinary `keras.Model` with the student's inputs and outputs.

    Raises:
        ValueError: If there are no generations, the student does not fit them or has
            no symbolic inputs, or nothing tells what its outputs mean.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> for i in range(2):
    ...     reinitialize(student, seed=i)
    ...     student.save_weights(f"{folder}/generation_{i}.weights.h5")
    >>> whole = ensemble(student, folder, divergence="kl")
    >>> chances = whole.predict(np.ones((1, 3)), verbose=0)
    >>> round(float(chances.sum()), 4)
    1.0
    """
    check_student(student)
    if inputs_of(student) is None:
        raise ValueError(
            "`student` must be a Functional or Sequential model, or have been called "
            f"on a `keras.Input`. Received: student={student!r}"
        )
    paths, saved = _paths(folder), _saved(folder)
    wanted = max([saved["generations"], *(number + 1 for number in paths)])
    missing = sorted(set(range(wanted)) - paths.keys())
    if missing:
        raise ValueError(
            "`folder` must have the weights of all generations, written by "
            f"`SaveGenerations`. Received: folder={str(folder)!r}, without "
            f"generation_{missing[0]}.weights.h5"
        )
    found = [Output(**one) for one in saved["outputs"]]
    meanings = _meanings(student, found, from_logits, divergence)
    inputs = keras.tree.map_structure(
        lambda one: keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name),
        inputs_of(student),
    )
    predicted = []
    for i, path in paths.items():
        member = copy_model(student, "student")
        _load(member, path)
        member.name = f"generation_{i}"
        predicted.append(_predicted(member(inputs), meanings))
    mean = predicted[0]
    if len(predicted) > 1:
        mean = keras.tree.map_structure(
            lambda *outputs: keras.layers.Average()(outputs), *predicted
        )
    return keras.Model(inputs, mean, name=f"ensemble_of_{student.name}")


def _load(member, path):
    try:
        member.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"`folder` must have whole weights of the student. Received: {path}, which "
            f"cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def _saved(folder):
    """What a training has saved of its generations besides weights, a dict."""
    path = pathlib.Path(folder) / OUTPUTS
    if not path.exists():
        return {"outputs": [], "generations": 1}
    return json.loads(path.read_text())


def _meanings(student, found, from_logits, divergence):
    """List of `Output` of a student, of which some may be known."""
    returned = example_outputs(student)
    returned = student.outputs if returned is None else returned
    values = keras.tree.flatten(returned)
    found = found or _compiled_outputs(student)
    if divergence is not None:
        names = output_names(student, returned)
        found = read_outputs(
            names, None, divergence=divergence, from_logits=from_logits
        )
    elif from_logits is not None:
        found = [dataclasses.replace(one, from_logits=from_logits) for one in found]
    if len(found) != len(values) or any(one.divergence is None for one in found):
        raise ValueError(
            "`divergence` must say what each output means, since no compiled loss of "
            "this student tells: 'kl' (classes), 'bernoulli' (independent labels) or "
            f"'squared_error' (numbers). Received: divergence={divergence!r}, "
            f"{len(values)} outputs"
        )
    known = all(isinstance(value, np.ndarray) for value in values)
    check_outputs(student, found, values if known else None)
    return found


def _predicted(outputs, meanings):
    """Outputs of one generation as what can be averaged: probabilities or numbers."""
    flat = []
    for output, meaning in zip(keras.tree.flatten(outputs), meanings, strict=True):
        if meaning.from_logits and meaning.divergence == "kl":
            output = keras.layers.Softmax(meaning.axis, dtype="float32")(output)
        elif meaning.from_logits and meaning.divergence == "bernoulli":
            output = keras.layers.Activation("sigmoid", dtype="float32")(output)
        flat.append(output)
    return keras.tree.pack_sequence_as(outputs, flat)
