"""What test modules share: the table of all methods, a spy, and small helpers."""

import dataclasses
import random

import keras
import numpy as np
import pytest

from keras_reinit import (
    BornAgain,
    ContinualBackprop,
    Dash,
    DenseSparseDense,
    FullReinit,
    HareTortoise,
    KnowledgeEvolution,
    LaterLayerForgetting,
    LayerwiseReinit,
    ReDo,
    Reinitialize,
    Rifle,
    SelfNormalizedResets,
    ShrinkPerturb,
    TeacherCache,
    UnitFirings,
    UnitUtilities,
    WarmRestart,
    WeightForgetting,
    add_block_normalization,
    add_unit_statistics,
    keyed,
)


def toy_data():
    """A small classification problem: 32 examples, 4 features, 3 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 32)
    return (rng.normal(size=(32, 4)) + 2 * labels[:, None]).astype("float32"), labels


@dataclasses.dataclass(frozen=True)
class Method:
    """A method as a user sets it up: the callback, and what the model needs.

    `keeps_some` says that an event leaves whole weights as they are, `changes` at which
    of two events weights change, `goes_on` that a second `fit` goes on as one would,
    `in_fit_only` that `apply` refuses.
    """

    make: type[Reinitialize]
    wrap: object = None
    arguments: tuple = ()
    keeps_some: bool = False
    changes: tuple = (True, True)
    goes_on: bool = True
    in_fit_only: bool = False

    def __call__(self, schedule, **kwargs):
        if self.make in (WarmRestart, HareTortoise, DenseSparseDense, Dash):
            kwargs.pop("seed", None)  # They draw nothing.
        return self.make(schedule, **{**dict(self.arguments), **kwargs})


def with_average(model):
    """Asks `toy_model` for an optimizer with a moving average."""
    return model


with_average.use_ema = True
TOY = toy_data()
FRESH = ("optimizer_state", "fresh")


def with_utilities(model):
    return add_unit_statistics(model, UnitUtilities)


def with_firings(model):
    """One unit is silent, until it starts again."""
    model.get_layer("second").bias.assign([-99.0] + [0.0] * 7)
    return add_unit_statistics(model, UnitFirings)


METHODS = {
    "continual_backprop": Method(
        ContinualBackprop,
        with_utilities,
        (FRESH, ("rate", 0.5), ("maturity", 0)),
        keeps_some=True,
    ),
    "dash": Method(Dash, None, (FRESH, ("data", TOY)), keeps_some=True),
    "dense_sparse_dense": Method(
        DenseSparseDense,
        None,
        (("final_rate", 1),),
        True,
        changes=(True, False),
        in_fit_only=True,
    ),
    # What ends a fit of an optimizer with an average is the average.
    "hare_tortoise": Method(HareTortoise, with_average, (FRESH,), goes_on=False),
    "knowledge_evolution": Method(KnowledgeEvolution, keeps_some=True),
    "redo": Method(
        ReDo, add_unit_statistics, (FRESH, ("threshold", 0.9)), keeps_some=True
    ),
    "self_normalized_resets": Method(
        SelfNormalizedResets, with_firings, (FRESH, ("threshold", 1)), keeps_some=True
    ),
    "full": Method(FullReinit),
    "layerwise": Method(LayerwiseReinit, add_block_normalization, in_fit_only=True),
    "layerwise_plain": Method(
        LayerwiseReinit, None, (("normalize", False), ("rescale", False)), True
    ),
    "later_layers": Method(LaterLayerForgetting, keeps_some=True),
    "rifle": Method(Rifle, None, (FRESH,), keeps_some=True),
    "shrink_perturb": Method(ShrinkPerturb),
    "warm_restart": Method(WarmRestart, changes=(False, False)),
    "random_weights": Method(WeightForgetting, keeps_some=True),
    "born_again": Method(FullReinit, BornAgain),
    "self_distillation": Method(ShrinkPerturb, BornAgain),
}


def set_up(name, model, x):
    """The method of a name, with the model and the inputs that it is used with."""
    if name == "cached":
        x = keyed(x)
        return METHODS["born_again"], BornAgain(model, cache=TeacherCache(x)), x
    method = METHODS[name]
    return method, method.wrap(model) if method.wrap else model, x


def not_on_torch(reason):
    return pytest.mark.skipif(keras.backend.backend() == "torch", reason=reason)


one_step_an_execution = not_on_torch(
    "Keras takes no steps_per_execution > 1 on PyTorch"
)
not_compiled = not_on_torch("steps are not compiled on PyTorch")
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def mostly_slow(fast):
    """Every method; all but some are marked slow, and not tested by default."""
    return [
        pytest.param(method, id=name, marks=() if fast(name) else pytest.mark.slow)
        for name, method in METHODS.items()
    ]


class Steps(keras.callbacks.Callback):
    """Keeps the weights before and after each step."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begins.append([np.copy(weight) for weight in self.model.get_weights()])

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append([np.copy(weight) for weight in self.model.get_weights()])


class Spy(keras.callbacks.Callback):
    """Keeps weights and optimizer steps at both ends of each epoch."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends, self.steps = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begins.append(self._weights())
        self.steps.append(int(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(self._weights())

    def _weights(self):
        # Copies: what changes a variable in place would change these, too.
        return [np.copy(weight) for weight in self.model.get_weights()]


def fit(model, toy, callback, epochs, callbacks=(), **kwargs):
    spy = Spy()
    history = model.fit(
        *toy,
        epochs=epochs,
        batch_size=8,
        verbose=0,
        callbacks=[callback, spy, *callbacks],
        **kwargs,
    )
    return spy, history.history


def dense_model(**kwargs):
    dense = keras.layers.Dense
    return keras.Sequential(
        [keras.Input((64,)), dense(64, **kwargs), dense(64, **kwargs)]
    )


def next_random_numbers():
    """One number of each global generator, which moves them."""
    return random.random(), np.random.random(), float(keras.random.uniform(()))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def state(model):
    """All that a training goes on from."""
    return [v.numpy() for v in [*model.weights, *model.optimizer.variables]]
