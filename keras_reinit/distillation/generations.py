"""All generations of a training as one ensemble (BANE, Furlanello et al. 2018)."""

import pathlib

import keras

from keras_reinit.distillation.student import check_student, network_of


class SaveGenerations(keras.callbacks.Callback):
    """Saves the network's weights at the end of each stage, on disk.

    Args:
        schedule: The `Stages` of the training.
        folder: Where `generation_0.weights.h5` and so on are written.

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
        """Removes what an earlier training left of generations yet to come."""
        if epoch in self.schedule.starts:
            for path in _paths(self.folder):
                if _number(path) >= self.schedule.stage(epoch):
                    path.unlink()

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self.schedule.ends:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"generation_{self.schedule.stage(epoch)}.weights.h5"
            network_of(self.model).save_weights(path)


def _number(path):
    return int(path.name.split("_")[1].split(".")[0])


def _paths(folder):
    return sorted(pathlib.Path(folder).glob("generation_*.weights.h5"), key=_number)


def ensemble(student, folder, *, from_logits=True):
    """Builds a model of all saved generations; it predicts their mean probabilities.

    Args:
        student: The `keras.Model` that was trained; it is not changed.
        folder: That of `SaveGenerations`.
        from_logits: Whether the student returns logits; else probabilities.

    Returns:
        An ordinary `keras.Model` with the student's inputs.

    Raises:
        ValueError: If there are no generations, or the student does not fit.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> for i in range(2):
    ...     reinitialize(student, seed=i)
    ...     student.save_weights(f"{folder}/generation_{i}.weights.h5")
    >>> chances = ensemble(student, folder).predict(np.ones((1, 3)), verbose=0)
    >>> round(float(chances.sum()), 4)
    1.0
    """
    check_student(student, from_logits)
    paths = _paths(folder)
    if not paths:
        raise ValueError(
            "`folder` must have weights of generations, written by `SaveGenerations`. "
            f"Received: folder={str(folder)!r}"
        )
    inputs = [keras.Input(one.shape[1:], dtype=one.dtype) for one in student.inputs]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    outputs = []
    for i, path in enumerate(paths):
        member = keras.models.clone_model(student)
        member.load_weights(path)
        member.name = f"generation_{i}"
        chances = member(inputs)
        if from_logits:
            chances = keras.layers.Softmax(dtype="float32")(chances)
        outputs.append(chances)
    mean = outputs[0] if len(outputs) == 1 else keras.layers.Average()(outputs)
    return keras.Model(inputs, mean, name=f"ensemble_of_{student.name}")
