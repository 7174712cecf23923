"""What is not meant is refused at once, by a sentence that names the argument."""

import inspect

import keras
import numpy as np
import pytest

import keras_reinit
from keras_reinit import Stages, StepStages

NUMBERS = ("0.4", None, True, float("nan"), -1, [1], np.ones(2), object())
# Of arguments that are `None` or choices by default.
OPTIONAL = {"num_blocks", "batch_size", "seed"}
CALLBACKS = (
    "ShrinkPerturb", "FullReinit", "LayerwiseReinit", "LaterLayerForgetting", "Rifle",
    "WeightForgetting", "KnowledgeEvolution", "DenseSparseDense", "Dash", "ReDo",
    "ContinualBackprop", "SelfNormalizedResets", "HareTortoise", "WarmRestart",
)  # fmt: skip
SWITCHES = ("biases", "normalization", "rescale", "normalize")


def numeric(cls):
    """The names of arguments that take a number, and of those that take a boolean."""
    arguments = inspect.signature(cls).parameters.values()
    for one in arguments:
        if one.name in SWITCHES:
            yield one.name, ("yes", None, 1, 0.5, [True])
        elif isinstance(one.default, (int, float)) or one.name in OPTIONAL:
            kept = {None} if one.name in OPTIONAL else set()
            yield one.name, [bad for bad in NUMBERS if not (bad is None and kept)]


CASES = [
    (name, argument, bad)
    for name in CALLBACKS
    for argument, values in numeric(getattr(keras_reinit, name))
    for bad in values
]


@pytest.mark.parametrize(("name", "argument", "bad"), CASES)
def test_a_callback_names_the_argument_that_is_wrong(name, argument, bad):
    with pytest.raises(ValueError, match=rf"`{argument}` must be .*Received: "):
        getattr(keras_reinit, name)(StepStages(4, 2), **{argument: bad})


def test_the_cases_are_many():
    assert len(CASES) > 150 and {argument for _, argument, _ in CASES} >= {
        "shrink", "perturb", "num_blocks", "forget", "share", "keep", "sparsity",
        "threshold", "rate", "batch_size", "period", "percentile", "seed", "rescale",
    }  # fmt: skip


def network(compiled=True):
    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(4)]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    if compiled:
        model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("bad", [3, "dense", [3], {}])
def test_ends_are_names_of_layers(bad):
    with pytest.raises(ValueError, match="`ends` must be names of layers"):
        keras_reinit.blocks(network(), ends=bad)


def test_a_seed_of_reinitialize_is_drawn_where_none_is_given():
    model = network()
    first = model.get_weights()[0]
    keras.utils.set_random_seed(1)
    keras_reinit.reinitialize(model)
    second = model.get_weights()[0]
    keras.utils.set_random_seed(1)
    keras_reinit.reinitialize(model)
    assert (second != first).all()
    np.testing.assert_array_equal(model.get_weights()[0], second)


def test_a_configuration_of_born_again_has_its_seed():
    logits = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    for seed in (7, None):
        model = keras_reinit.BornAgain(logits, knowledge="permuted", seed=seed)
        again = keras_reinit.BornAgain.from_config(model.get_config())
        assert again.seed == model.seed and seed in (model.seed, None)
        states = [m.seed_generator.state.numpy().tolist() for m in (model, again)]
        assert states[0] == states[1]
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        keras_reinit.BornAgain(logits, seed="7")


def test_a_plan_refuses_what_fit_refuses():
    model = network()
    with pytest.raises(ValueError, match="`data` must be the training data"):
        keras_reinit.plan(model, keras_reinit.Dash(Stages(4, 2)))
    with pytest.raises(ValueError, match="`optimizer` must keep a moving average"):
        keras_reinit.plan(model, keras_reinit.HareTortoise(Stages(4, 2)))
    partial = keras_reinit.ReDo(Stages(4, 2), optimizer_state="reinitialized")
    model = keras_reinit.add_unit_statistics(network())
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="`optimizer` must "):
        keras_reinit.plan(model, partial)
    uncompiled = network(compiled=False)
    with pytest.raises(ValueError, match="`model` must be compiled"):
        keras_reinit.plan(uncompiled, keras_reinit.Dash(Stages(4, 2), data=[]))
    with pytest.raises(ValueError, match="`model` must be compiled with an optimizer"):
        keras_reinit.plan(uncompiled, keras_reinit.HareTortoise(Stages(4, 2)))
    lines = []
    keras_reinit.plan(uncompiled, keras_reinit.FullReinit(Stages(4, 2)), lines.append)
    assert len(lines) == 2
