import keras
import numpy as np
import pytest
from contract import softmax

from keras_reinit import (
    BornAgain,
    FullReinit,
    SaveGenerations,
    Stages,
    StepStages,
    ensemble,
)


@pytest.mark.parametrize("wrap", [None, BornAgain])
def test_the_ensemble_is_the_mean_of_all_generations(wrap, toy, toy_model, tmp_path):
    model, schedule, ends = toy_model(wrap=wrap), Stages(6, 3), []
    network = getattr(model, "student", model)
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(network.get_weights())
    )
    model.fit(
        *toy, epochs=6, batch_size=8, verbose=0,
        callbacks=[
            FullReinit(schedule, seed=0), SaveGenerations(schedule, tmp_path), spy
        ],
    )  # fmt: skip
    last = network.get_weights()
    whole = ensemble(network, tmp_path)
    expected = []
    for weights in (ends[1], ends[3], ends[5]):
        network.set_weights(weights)
        expected.append(softmax(network.predict(toy[0], verbose=0)))
    network.set_weights(last)
    got = whole.predict(toy[0], verbose=0)
    np.testing.assert_allclose(got, np.mean(expected, axis=0), rtol=1e-4, atol=1e-6)
    whole.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded.predict(toy[0], verbose=0), got, rtol=1e-5)


def test_bad_requests(toy_model, tmp_path):
    with pytest.raises(ValueError, match="`folder` must have the weights of all gen"):
        ensemble(toy_model(), tmp_path)
    with pytest.raises(ValueError, match="`schedule` must be a `Stages`"):
        SaveGenerations(StepStages(4, 2), tmp_path)


def trained(folder, stages=3, initial_epoch=0):
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    student.compile("sgd", "mse")
    student.fit(
        np.ones((4, 3)), np.ones((4, 2)), epochs=6, initial_epoch=initial_epoch,
        callbacks=[SaveGenerations(Stages(6, stages), folder)], verbose=0,
    )  # fmt: skip
    return student


def test_generations_of_another_training_are_kept(tmp_path):
    trained(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3 + 1
    with pytest.raises(ValueError, match="`folder` must have no generations of anothe"):
        trained(tmp_path, stages=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    trained(tmp_path, initial_epoch=2)  # A training that goes on.
    assert sorted(tmp_path.iterdir()) == sorted(before)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_or_torn_generation_is_named(number, tmp_path):
    student = trained(tmp_path)
    path = tmp_path / f"generation_{number}.weights.h5"
    whole = path.read_bytes()
    for content in (whole[:100], whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"Received: .*{path.name}, which cannot"):
            ensemble(student, tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"without {path.name}"):
        ensemble(student, tmp_path)


def test_a_generation_that_could_not_be_written_leaves_none(tmp_path, monkeypatch):
    def fill_disk(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        trained(tmp_path)
    assert not list(tmp_path.glob("generation_*"))
