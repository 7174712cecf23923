"""Trainings that a `Backup` continues, killed at every point of its writing."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import backing_up
import keras
import numpy as np
import pytest
from contract import same, state, toy_data
from test_contract import Interrupt

from keras_reinit import BornAgain, ShrinkPerturb, Stages
from keras_reinit.backup import Backup

TOY = toy_data()
EPOCHS = 4


def network(units=8):
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((4,)), dense(units), dense(3)])


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    model.optimizer.build(model.trainable_variables)
    return model


class Training:
    """One training, from its beginning at each call, as if by a new process."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        self.model = compiled(BornAgain(network()))
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.begin = [np.copy(variable.numpy()) for variable in self.variables]

    def __call__(self, *callbacks, epochs=EPOCHS, **kwargs):
        for variable, value in zip(self.variables, self.begin, strict=True):
            variable.assign(value)
        method = ShrinkPerturb(Stages(EPOCHS, 2), seed=0)
        self.history = self.model.fit(
            *TOY, epochs=epochs, batch_size=8, shuffle=False, verbose=0,
            callbacks=[method, *callbacks], **kwargs,
        )  # fmt: skip
        return [np.copy(value) for value in state(self.model)]


@pytest.fixture(scope="module")
def train():
    return Training()


@pytest.fixture(scope="module")
def whole(train):
    return train()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "some" / "backup"


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else None


# --- in place of Keras' own callback ---------------------------------------------


def epochs_and_state(make, folder, save_freq, hook, moment):
    """Of a plain training that is interrupted once; and whether its backup is gone."""
    kwargs = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": EPOCHS}
    keras.utils.set_random_seed(0)
    with pytest.raises(KeyboardInterrupt):
        compiled(network()).fit(
            *TOY, callbacks=[make(folder, save_freq), Interrupt(hook, moment)], **kwargs
        )
    model = compiled(network())
    history = model.fit(*TOY, callbacks=[make(folder, save_freq)], **kwargs)
    return history.epoch, state(model), folder.exists()


@pytest.mark.parametrize(
    ("save_freq", "hook", "moment"),
    [
        ("epoch", "on_train_batch_end", (2, 1)),
        ("epoch", "on_train_batch_end", (0, 1)),
        ("epoch", "on_epoch_end", EPOCHS - 1),
        (3, "on_train_batch_end", (2, 2)),
    ],
)
def test_a_plain_training_goes_on_as_with_keras_own(save_freq, hook, moment, folder):
    keras_own = keras.callbacks.BackupAndRestore
    one, two = (
        epochs_and_state(make, folder / make.__name__, save_freq, hook, moment)
        for make in (Backup, keras_own)
    )
    assert one[0] == two[0] and same(one[1], two[1]) and not one[2] and not two[2]


def test_a_training_of_stages_ends_as_one_that_never_was_interrupted(
    train, whole, folder
):
    for moment in ((1, 1), (2, 0), (3, 2)):
        with pytest.raises(KeyboardInterrupt):
            train(Backup(folder), Interrupt("on_train_batch_end", moment))
    assert names(folder) == ["state_00000002", "state_00000003"]
    assert same(train(Backup(folder)), whole)
    assert train.history.epoch == [3] and not folder.exists()


def test_states_can_stay_and_files_of_others_do(train, whole, folder):
    assert same(train(Backup(folder, delete_checkpoint=False)), whole)
    assert names(folder) == ["state_00000003", "state_00000004"]
    (folder / "of_others").write_text("")
    assert same(train(Backup(folder, save_freq=False)), whole)
    assert train.history.epoch == [] and names(folder) == ["of_others"]
    train()
    assert train.history.epoch == [*range(EPOCHS)]


def test_a_training_that_was_continued_in_its_first_epoch_is_where_it_is(folder):
    for _ in range(2):  # Keras' own says epoch 0 the second time.
        with pytest.raises(KeyboardInterrupt):
            compiled(network()).fit(
                *TOY, batch_size=8, epochs=EPOCHS, verbose=0, initial_epoch=2,
                callbacks=[Backup(folder, 1), Interrupt("on_train_batch_end", (2, 2))],
            )  # fmt: skip
        last = json.loads((folder / names(folder)[-1] / "state.json").read_text())
        assert (last["epoch"], last["batch"]) == (2, 3)


def test_a_later_fit_begins_where_it_is_told_to(train, folder):
    with pytest.raises(KeyboardInterrupt):
        train(Backup(folder), Interrupt("on_epoch_begin", 2))
    with pytest.raises(KeyboardInterrupt):
        train(Backup(folder), Interrupt("on_epoch_end", 2))
    train(initial_epoch=1)
    assert train.history.epoch == [1, 2, 3]


@pytest.mark.parametrize("backup_dir", ["", None, 3, "gs://bucket/folder"])
def test_a_folder_must_be_a_local_path(backup_dir):
    with pytest.raises(ValueError, match="`backup_dir` must be the path of a local"):
        Backup(backup_dir)


@pytest.mark.parametrize("save_freq", ["batch", 0, -1, 2.0, None, True])
def test_a_frequency_must_be_one(save_freq, folder):
    with pytest.raises(ValueError, match="`save_freq` must be 'epoch', an integer"):
        Backup(folder, save_freq)


def test_a_model_must_be_built_and_the_one_that_was_saved(train, folder):
    model = keras.Sequential([keras.layers.Dense(1)])
    backup = Backup(folder)
    backup.set_model(model)
    with pytest.raises(ValueError, match="`model` must be built before `fit`"):
        backup.on_train_begin()
    with pytest.raises(KeyboardInterrupt):
        train(Backup(folder), Interrupt("on_epoch_begin", 2))
    before = names(folder)
    with pytest.raises(ValueError, match="`model` must be the one .*state_00000002"):
        compiled(network(9)).fit(*TOY, callbacks=[Backup(folder)], verbose=0)
    assert names(folder) == before


# --- the state of callbacks ------------------------------------------------------


class Count(keras.callbacks.Callback):
    """Counts batches, over interruptions."""

    def __init__(self, count=0):
        super().__init__()
        self.count = count

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


class OtherCount(Count):
    pass


def test_callbacks_go_on_with_their_state(train, folder):
    with pytest.raises(KeyboardInterrupt):
        train(
            Count(), Backup(folder), Count(100), Interrupt("on_train_batch_end", (2, 2))
        )
    one, two, other = Count(), Count(), OtherCount()
    with pytest.warns(UserWarning, match="only what is in both goes on"):
        train(other, one, Backup(folder), two)
    # What Backup saved, 8 batches, and 8 more.
    assert (one.count, two.count, other.count) == (16, 116, 8)


def test_a_state_that_is_none_in_json_is_an_error(train, folder):
    callback = Count()
    callback.get_state = lambda: {1}
    with pytest.raises(ValueError, match="`get_state` of the callback Count:0"):
        train(Backup(folder), callback)
    assert names(folder) == []


# --- states that cannot be written -----------------------------------------------


@pytest.mark.parametrize("fault", ["half a file", "no room"])
def test_an_error_in_writing_leaves_the_states_before(
    fault, train, whole, folder, monkeypatch
):
    def save_weights(model, path):
        path.write_bytes(b"half")
        raise OSError("The disk is full")

    def fail(epoch, logs):
        if epoch == 2 and fault == "no room":
            monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1))
        elif epoch == 2:
            monkeypatch.setattr(keras.Model, "save_weights", save_weights)

    class Usage:
        def __init__(self, free):
            self.total, self.free = 10**9, free

    fault_at_2 = keras.callbacks.LambdaCallback(on_epoch_begin=fail)
    with pytest.raises(OSError, match="The disk is full|bytes does not fit"):
        train(Backup(folder), fault_at_2)
    monkeypatch.undo()
    assert names(folder) == ["state_00000001", "state_00000002"]
    assert same(train(Backup(folder)), whole) and train.history.epoch == [2, 3]


class Disk:
    """Notes the operations that write, and dies in one of them, half done."""

    def __init__(self, monkeypatch, dies_at=None):
        self.dies_at, self.is_dead, self.done = dies_at, False, []
        for name in ("fsync", "mkdir", "rename", "rmdir", "unlink"):
            monkeypatch.setattr(os, name, self.mortal(getattr(os, name)))
        for kind, name in ((keras.Model, "save_weights"), (pathlib.Path, "write_text")):
            monkeypatch.setattr(kind, name, self.half_done(getattr(kind, name)))

    def mortal(self, function):
        def call(*args, **kwargs):
            self.step(function.__name__)
            return function(*args, **kwargs)

        return call

    def half_done(self, function):
        def call(target, *args, **kwargs):
            self.step("open")  # Nothing is written.
            function(target, *args, **kwargs)
            path = target if isinstance(target, pathlib.Path) else args[0]
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            self.step("write")
            path.write_bytes(content)

        return call

    def step(self, name):
        """Once dead, nothing is done anymore."""
        self.is_dead = len(self.done) == self.dies_at
        if self.is_dead:
            raise KeyboardInterrupt
        self.done.append(name)


@pytest.mark.parametrize("before", [0, 2])
def test_no_moment_of_writing_is_the_wrong_one(before, train, tmp_path, monkeypatch):
    """Of the first state, and of one that takes the place of another."""
    epochs = before + 1
    whole, moment, died = train(epochs=epochs), 0, True
    if before:
        train(Backup(tmp_path / "before", delete_checkpoint=False), epochs=before)
    while died:
        folder = tmp_path / str(moment)
        if before:
            shutil.copytree(tmp_path / "before", folder)
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            disk = Disk(patch, dies_at=moment)
            train(Backup(folder), epochs=epochs)
        assert same(train(Backup(folder), epochs=epochs), whole), disk.done
        assert not folder.exists()
        moment, died = moment + 1, disk.is_dead
    assert moment == len(disk.done) + 1 > 15


@pytest.mark.skipif(os.name == "nt", reason="it does not sync folders")
def test_all_is_on_the_disk_before_a_name_and_the_name_before_a_removal(
    train, tmp_path, monkeypatch
):
    disk = Disk(monkeypatch)
    train(Backup(tmp_path, delete_checkpoint=False), epochs=3)
    writing = ["mkdir", "mkdir", *["open", "write"] * 2, *["fsync"] * 3]
    naming = ["rename", "fsync"]
    removing = ["rename", "unlink", "unlink", "rmdir"]
    assert disk.done == [*(writing + naming) * 3, *removing]


def test_what_a_kill_left_is_removed(train, whole, folder):
    (folder / "state_00000007.tmp").mkdir(parents=True)
    (folder / "state_00000007.tmp" / "model.weights.h5").write_bytes(b"half")
    assert same(train(Backup(folder, delete_checkpoint=False)), whole)
    assert train.history.epoch == [*range(EPOCHS)]
    assert names(folder) == ["state_00000003", "state_00000004"]


# --- states that are damaged -----------------------------------------------------


def truncate(path):
    os.truncate(path / "model.weights.h5", 5000)


def flip_a_bit(path):
    content = bytearray((path / "model.weights.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "model.weights.h5").write_bytes(content)


def lose_the_weights(path):
    (path / "model.weights.h5").unlink()


def cut_the_metadata(path):
    os.truncate(path / "state.json", 20)


def empty_the_metadata(path):
    (path / "state.json").write_text("[]")


def change_the_epoch(path):
    text = (path / "state.json").read_text()
    (path / "state.json").write_text(text.replace('"epoch": 3', '"epoch": 2'))


DAMAGES = {
    truncate: "SHA-256",
    flip_a_bit: "SHA-256",
    lose_the_weights: "No such file",
    cut_the_metadata: "Unterminated|Expecting",
    empty_the_metadata: "SHA-256",
    change_the_epoch: "SHA-256",
}


def interrupted(train, folder):
    """Leaves the states after two and three epochs."""
    with pytest.raises(KeyboardInterrupt):
        train(Backup(folder), Interrupt("on_epoch_begin", 3))
    return [folder / name for name in names(folder)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_said_and_the_one_before_goes_on(
    damage, train, whole, folder
):
    before, last = interrupted(train, folder)
    damage(last)
    with pytest.warns(UserWarning, match=f"{last.name} is damaged .*{DAMAGES[damage]}"):
        ends = train(Backup(folder, delete_checkpoint=False))
    assert same(ends, whole) and train.history.epoch == [2, 3]
    assert names(folder) == ["state_00000004", "state_00000005"]


def test_a_damaged_state_does_not_take_the_place_of_a_readable_one(
    train, whole, folder
):
    before, last = interrupted(train, folder)
    flip_a_bit(last)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning):
        train(Backup(folder), Interrupt("on_train_batch_end", (3, 0)))
    assert names(folder) == [before.name, "state_00000004"]
    flip_a_bit(folder / "state_00000004")
    with pytest.warns(UserWarning, match="state_00000004 is damaged"):
        assert same(train(Backup(folder)), whole)


def test_nothing_starts_again_and_nothing_is_lost_where_all_is_damaged(train, folder):
    states = interrupted(train, folder)
    (folder / "state_00000004.tmp").mkdir()
    for path in states:
        flip_a_bit(path)
    before = names(folder)
    with (
        pytest.warns(UserWarning) as warned,
        pytest.raises(ValueError, match=f"undamaged state, or none.*{folder}"),
    ):
        train(Backup(folder))
    damaged = [one for one in warned if "is damaged" in str(one.message)]
    assert len(damaged) == 2 and names(folder) == before


# --- processes that are killed ---------------------------------------------------

PROGRAM = pathlib.Path(backing_up.__file__)


def run(method, folder, disk, moments=None):
    """What a process ends with; `None` if it was killed, at one of the moments."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, method, folder, disk],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    states, lines = moments.randint(1, 4) if moments else -1, []
    while states and (line := process.stdout.readline()):
        lines.append(line)
        states -= line == f"{backing_up.SAVING}\n"
    if moments:  # While it saves, or within 150 ms after an epoch, if it still lives.
        time.sleep(moments.uniform(0, {"slow": 0.4, "fast": 0.15}[disk]))
        process.kill()
    lines += process.communicate()[0].splitlines()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, "".join(lines)[-2000:]
    return json.loads(lines[-1])


def killed(method, disk, kills, folder):
    """Returns what trainings end with that are killed so often in all, and a report.

    Of a slow disk, only kills that left half a state count.
    """
    moments, ends, done, amid = random.Random(f"{method} {disk}"), [], 0, 0
    while kills > 0:
        here, ended = folder / str(len(ends)), None
        while ended is None:
            more = (disk, moments) if kills > 0 else ("fast",)
            ended = run(method, here, *more)
            half = any(here.glob("*.tmp"))
            done, amid = done + (ended is None), amid + half
            kills -= half if disk == "slow" else ended is None
        ends.append(ended)
        assert len(ends) < 20, f"only {amid} of {done} kills left half a state"
    return ends, f"{done} kills, {amid} left half a state, in {len(ends)} trainings"


@pytest.mark.parametrize(
    ("method", "disk", "kills"),
    [
        ("self_distillation", "slow", 3),
        pytest.param("self_distillation", "slow", 10, marks=pytest.mark.slow),
        pytest.param("self_distillation", "fast", 10, marks=pytest.mark.slow),
        pytest.param("layerwise", "slow", 10, marks=pytest.mark.slow),
        pytest.param("layerwise", "fast", 10, marks=pytest.mark.slow),
    ],
)
def test_killed_processes_end_as_one_that_never_was(method, disk, kills, tmp_path):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        whole = pool.submit(run, method, tmp_path / "whole", "fast")
        ends, report = killed(method, disk, kills, tmp_path)
    print(report)
    assert ends == [whole.result()] * len(ends), report
    assert len(ends[0]["events"]) == 3
