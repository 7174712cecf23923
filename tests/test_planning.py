import keras
import pytest

from keras_reinit import (
    FullReinit,
    LayerwiseReinit,
    ShrinkPerturb,
    Stages,
    StepStages,
    WarmRestart,
    add_block_normalization,
    plan,
)


def quiet(line):
    pass


def test_layerwise_keeps_ever_more(toy_model):
    model = toy_model(wrap=add_block_normalization)
    before = model.get_weights()
    rows = plan(model, LayerwiseReinit(Stages(6, 3)), print_fn=quiet)
    # Blocks: 40 + 32 (norm) and 72; head 27; two block normalizations, 17 each.
    assert [(row["stage"], row["epochs"]) for row in rows] == [(1, 2), (2, 4)]
    trained = 40 + 16
    assert rows[0] == {
        "stage": 1, "epochs": 2,
        "fresh": 72 + 17 + 27, "mixed": 0, "scaled": trained, "kept": 16 + 17,
    }  # fmt: skip
    assert rows[1]["scaled"] == trained + 72 and rows[1]["fresh"] == 27
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("make", "column"),
    [(FullReinit, "fresh"), (ShrinkPerturb, "mixed"), (WarmRestart, "kept")],
)
def test_what_is_counted_where(make, column):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    method = make(StepStages(9, 3))
    rows = plan(model, method, print_fn=quiet)
    assert [row["steps"] for row in rows] == [3, 6]
    assert all(row[column] == 8 for row in rows)
    assert method.model is None


def test_frozen_layers_are_kept_and_large_numbers_readable(capsys):
    frozen = keras.layers.Dense(1000, trainable=False)
    model = keras.Sequential([keras.Input((3,)), frozen, keras.layers.Dense(2)])
    rows = plan(model, FullReinit(Stages(2, 2)))
    assert rows[0]["kept"] == 4000 and rows[0]["fresh"] == 2002
    header, line = capsys.readouterr().out.splitlines()
    assert "4,000" in line and header.split() == [
        "stage", "epochs", "fresh", "mixed", "scaled", "kept"
    ]  # fmt: skip


def test_what_would_fail_in_training_fails_here(toy_model):
    with pytest.raises(ValueError, match="BlockNormalization"):
        plan(toy_model(), LayerwiseReinit(Stages(4, 2)))


def test_what_is_no_method_is_an_error():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="`method` must be.*Received: method='shrink'"):
        plan(model, "shrink")
