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
    with pytest.raises(ValueError, match="`folder` must have weights of generations"):
        ensemble(toy_model(), tmp_path)
    with pytest.raises(ValueError, match="`schedule` must be a `Stages`"):
        SaveGenerations(StepStages(4, 2), tmp_path)


def test_generations_of_an_earlier_training_are_not_among_them(tmp_path):
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    student.compile("sgd", "mse")
    for stages in (4, 2):
        saving = SaveGenerations(Stages(4, stages), tmp_path)
        student.fit(
            np.ones((4, 3)), np.ones((4, 2)), epochs=4, callbacks=[saving], verbose=0
        )
    assert len(list(tmp_path.glob("generation_*"))) == 2
