"""Backs a training up so that a kill at any moment spoils nothing.

    backup_dir/state_00000011/{model.weights.h5, state.json}    the state before
    backup_dir/state_00000012/{model.weights.h5, state.json}    the last state

A state is written aside, as `state_00000013.tmp`, synced to the disk, and then renamed:
it is there as a whole or not at all. A SHA-256 of its weights, and of all else that
`state.json` says, tells whether it still is what was written.
"""

import collections
import contextlib
import errno
import hashlib
import json
import numbers
import os
import pathlib
import re
import shutil
import warnings

import keras

from keras_reinit.keras_internals import set_initial_epoch
from keras_reinit.neighbors import callbacks_of_the_same_fit, is_backup
from keras_reinit.optimizers.levels import optimizers_of

WEIGHTS = "model.weights.h5"
METADATA = "state.json"


class Backup(keras.callbacks.Callback):
    """Continues an interrupted training, at whatever moment it was killed.

    Takes the place of `keras.callbacks.BackupAndRestore`, which overwrites its only
    file: killed meanwhile, a training is lost. Here weights, optimizer, epoch and the
    state of other callbacks (of those with `get_state` and `set_state`) become visible
    together, in one rename, and the state before is kept as well. A state that has
    been damaged since is found out: you are warned, and the one before it is used.

    Place it after re-initialization callbacks. As with Keras' callback, the model must
    be built, and what was saved in the middle of an epoch starts that epoch again.

    Args:
        backup_dir: Path of a local folder, for this training alone.
        save_freq: `"epoch"` saves at the end of each epoch, an integer every so many
            batches, `False` never: what is there is restored.
        double_checkpoint: Changes nothing, since two states are always kept; it is
            there for calls written for Keras' callback.
        delete_checkpoint: Whether the states are removed when training has ended.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a model
            that is not built or does not fit the state, or if all states are damaged.
        OSError: If a state cannot be written; those before it stay.

    Example:

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y = np.ones((8, 3)), np.ones((8, 1))
    >>> backup = Backup(tempfile.mkdtemp(), delete_checkpoint=False)
    >>> _ = model.fit(x, y, epochs=2, callbacks=[backup], verbose=0)
    >>> model.fit(x, y, epochs=5, callbacks=[backup], verbose=0).epoch
    [2, 3, 4]
    """

    def __init__(
        self,
        backup_dir,
        save_freq="epoch",
        double_checkpoint=False,
        delete_checkpoint=True,
    ):
        super().__init__()
        is_path = isinstance(backup_dir, (str, os.PathLike)) and os.fspath(backup_dir)
        if not is_path or "://" in str(backup_dir):
            raise ValueError(
                "`backup_dir` must be the path of a local folder. "
                f"Received: backup_dir={backup_dir!r}"
            )
        if not (save_freq == "epoch" or save_freq is False or _is_count(save_freq)):
            raise ValueError(
                "`save_freq` must be 'epoch', an integer >= 1 or False. "
                f"Received: save_freq={save_freq!r}"
            )
        self.backup_dir = pathlib.Path(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._last = None
        self._epoch = 0
        self._batches = 0
        self._unsaved_batches = 0

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                "`model` must be built before `fit`, for a state to be restored: give "
                f"it a `keras.Input`. Received: model={self.model.name!r}"
            )
        self._check_neighbors_and_optimizers()
        self._last, metadata = self._last_undamaged()
        for path in _states(self.backup_dir, ".tmp"):
            shutil.rmtree(path)  # A kill left it.
        # Callbacks have no public way to tell `fit` where to go on. It reads this, as
        # set by Keras' own callback, right after `on_train_begin`.
        set_initial_epoch(self.model, None)
        if self._last is not None:
            self._restore(metadata)

    def _check_neighbors_and_optimizers(self):
        backups = [one for one in callbacks_of_the_same_fit() if is_backup(one)]
        if len(backups) > 1:
            raise ValueError(
                "`callbacks` must have only one backup in a `fit`. "
                f"Received: {[type(one).__name__ for one in backups]}"
            )
        for optimizer in optimizers_of(self.model):
            if optimizer is not self.model.optimizer and not optimizer.built:
                raise ValueError(
                    "`model` must have its optimizers built before `fit`, for their "
                    "state to be restored: call `optimizer.build(variables)` with the "
                    f"variables that each trains. Received: {optimizer}, built=False"
                )
        if not _states(self.backup_dir) and any(self.backup_dir.glob("*.weights.h5")):
            warnings.warn(
                f"{self.backup_dir} has files of another backup, such as Keras' own, "
                "which `Backup` does not read: the training starts at its beginning.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        set_initial_epoch(self.model, None)  # A later `fit` begins where it is told to.
        self._epoch, self._batches = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch" or not self.save_freq:
            return
        # Several batches may be one execution.
        self._unsaved_batches += batch + 1 - self._batches
        self._batches = batch + 1
        if self._unsaved_batches >= self.save_freq:
            self._unsaved_batches = 0
            self._save(self._epoch)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch + 1)

    def on_train_end(self, logs=None):
        set_initial_epoch(self.model, None)  # There may have been no epoch left.
        if self.delete_checkpoint:
            for path in _states(self.backup_dir):  # The last one as the last.
                _remove(path)
            with contextlib.suppress(OSError):  # Files of others stay.
                self.backup_dir.rmdir()

    def _save(self, epoch):
        """Adds a state, then removes all but it and the last that was readable."""
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        states = _states(self.backup_dir)
        path = self.backup_dir / f"state_{max(map(_number, states), default=0) + 1:08d}"
        if self._last in states:
            _check_room(self.backup_dir, (self._last / WEIGHTS).stat().st_size)
        try:
            self._write(_aside(path), epoch)
            _aside(path).rename(path)
        except BaseException:
            shutil.rmtree(_aside(path), ignore_errors=True)
            raise
        _sync(self.backup_dir)
        for old in states:
            if old != self._last:
                _remove(old)
        self._last = path

    def _write(self, folder, epoch):
        folder.mkdir()
        self.model.save_weights(folder / WEIGHTS)
        states = {key: _plain(key, one) for key, one in _with_a_state().items()}
        metadata = {"epoch": epoch, "batch": self._batches, "callbacks": states}
        metadata["sha256"] = _digest(folder, metadata)
        (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
        for path in (folder / WEIGHTS, folder / METADATA, folder):
            _sync(path)

    def _last_undamaged(self):
        """Returns the path of a state and its metadata, or Nones if there is none."""
        states = _states(self.backup_dir)
        for path in reversed(states):
            try:
                return path, _read(path)
            except (OSError, ValueError) as error:
                text = f"{path} is damaged and is not used: {error}"
                warnings.warn(text, stacklevel=2)
        if states:
            raise ValueError(
                "`backup_dir` must have an undamaged state, or none at all to start "
                f"from the beginning. Received: backup_dir={str(self.backup_dir)!r}"
            )
        return None, None

    def _restore(self, metadata):
        model = self.model
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)  # To be loaded into.
        before = model.get_weights()
        try:
            model.load_weights(self._last / WEIGHTS)
        except Exception as error:
            model.set_weights(before)
            raise ValueError(
                f"`model` must be the one that {self._last} was saved of; the state is "
                f"not damaged. Received: model={model.name!r} ({error})"
            ) from error
        saved, callbacks = metadata["callbacks"], _with_a_state()
        if saved.keys() != callbacks.keys():
            warnings.warn(
                f"Of the callbacks {[*saved]} that {self._last} has a state of, "
                f"{[*callbacks]} are here: only what is in both goes on with it.",
                stacklevel=2,
            )
        for key in saved.keys() & callbacks.keys():
            callbacks[key].set_state(saved[key])
        set_initial_epoch(model, metadata["epoch"])


def _is_count(value):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and value >= 1


def _plain(name, callback):
    """The state of a callback; a `ValueError` unless JSON gives it back as it is."""
    state = callback.get_state()
    try:
        same = json.loads(json.dumps(state)) == state
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"`get_state` of the callback {name} must return plain numbers, strings, "
            f"lists, and dicts with strings as keys. Received: {state!r}"
        )
    return state


def _with_a_state():
    """The callbacks of this `fit` that have one, by class and place in that class."""
    found, count = {}, collections.Counter()
    for callback in callbacks_of_the_same_fit():
        if hasattr(callback, "get_state") and hasattr(callback, "set_state"):
            name = type(callback).__name__
            found[f"{name}:{count[name]}"] = callback
            count[name] += 1
    return found


def _states(folder, suffix=""):
    """Paths of all states, oldest first."""
    name = re.compile(r"state_\d{8,}" + re.escape(suffix))
    found = [path for path in folder.glob("state_*") if name.fullmatch(path.name)]
    return sorted(found, key=_number)


def _number(path):
    return int(path.stem.split("_")[1])


def _aside(path):
    return path.with_name(path.name + ".tmp")


def _remove(path):
    """Removes a state; killed meanwhile, it is no damaged one."""
    shutil.rmtree(path.rename(_aside(path)))


def _read(path):
    """Returns the metadata of a state, or raises."""
    metadata = json.loads((path / METADATA).read_text(encoding="utf-8"))
    told = isinstance(metadata, dict) and metadata.pop("sha256", None)
    if not told or told != _digest(path, metadata):
        raise ValueError("its SHA-256 is not the one that was written")
    return metadata


def _digest(folder, metadata):
    with open(folder / WEIGHTS, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(metadata).encode())
    return digest.hexdigest()


def _sync(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    if os.name == "nt":
        return  # It cannot for folders, nor for what is open for reading.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_room(folder, needed):
    """An `OSError` for a full disk, on which HDF5 may crash instead of raising one."""
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < needed:
        text = f"A state of {needed} bytes does not fit"
        raise OSError(errno.ENOSPC, text, str(folder))
