"""Other callbacks of the same `fit`, and other optimizers of the same model."""

import warnings

import keras
import numpy as np
import pytest
from contract import every_method, fit, toy_data
from keras import layers

import keras_reinit
from keras_reinit import (
    BornAgain,
    FullReinit,
    Rifle,
    ShrinkPerturb,
    Stages,
    StepStages,
    WarmRestart,
    add_unit_statistics,
    fresh_weights,
    per_entry_steps,
    per_variable_steps,
    reset_optimizer,
)

X, Y = toy_data()
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(optimizer=None, units=3):
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(units)]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.1), LOSS)
    return model


def train(model, callbacks, epochs=6, **kwargs):
    kwargs = {"batch_size": 8, "verbose": 0, **kwargs}
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **kwargs).history


# --- the learning rate --------------------------------------------------------------


class Lowers(keras.callbacks.Callback):
    """Halves a plain rate after each epoch, as `ReduceLROnPlateau` may."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rates[-1] / 2


def rates_of(method, optimizer=None, epochs=6, **kwargs):
    lowers = Lowers()
    train(network(optimizer), [method, lowers], epochs, **kwargs)
    return lowers.rates


@pytest.mark.parametrize("schedule", [Stages(6, 2), StepStages(24, 2)])
def test_a_plain_rate_starts_again_with_a_fresh_stage(schedule):
    rates = rates_of(FullReinit(schedule, seed=0))
    np.testing.assert_allclose(rates, 2 * [0.1, 0.05, 0.025], rtol=1e-6)


@pytest.mark.parametrize("optimizer_state", ["keep", "reinitialized"])
def test_it_runs_on_where_schedules_do(optimizer_state):
    method = FullReinit(Stages(6, 2), seed=0, optimizer_state=optimizer_state)
    expected = 0.1 / 2.0 ** np.arange(6)
    np.testing.assert_allclose(rates_of(method), expected, rtol=1e-6)


def test_it_is_the_compiled_one_in_a_second_fit_too():
    method, lowers, model = FullReinit(Stages(6, 2), seed=0), Lowers(), network()
    train(model, [method, lowers], 2)
    train(model, [method, lowers], 6, initial_epoch=2)
    np.testing.assert_allclose(lowers.rates, 2 * [0.1, 0.05, 0.025], rtol=1e-6)


@pytest.mark.parametrize("ours", [False, True])
def test_it_is_the_compiled_one_after_a_backup(ours, tmp_path):
    make = keras_reinit.Backup if ours else keras.callbacks.BackupAndRestore

    def stop(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    for interrupt in (True, False):
        lowers = Lowers()
        callbacks = [FullReinit(Stages(6, 2), seed=0), lowers]
        if interrupt:
            callbacks.append(keras.callbacks.LambdaCallback(on_epoch_begin=stop))
        callbacks.append(make(tmp_path / "backup"))
        if interrupt:
            with pytest.raises(KeyboardInterrupt):
                train(network(), callbacks)
        else:
            train(network(), callbacks)
    np.testing.assert_allclose(lowers.rates, [0.025, 0.1, 0.05, 0.025], rtol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_a_rate_that_a_scheduler_sets_wins(first):
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 1 / (2 + epoch))
    rates = []
    see = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(
            float(model.optimizer.learning_rate)
        )
    )
    model, method = network(), FullReinit(Stages(6, 2), seed=0)
    callbacks = [scheduler, method] if first else [method, scheduler]
    train(model, [*callbacks, see], batch_size=32)
    np.testing.assert_allclose(rates, 1 / (2 + np.arange(6)), rtol=1e-6)


# --- callbacks that compare epochs --------------------------------------------------


def warned(other, method=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(network(), [method or FullReinit(Stages(6, 3), seed=0), other])
    return [str(w.message) for w in caught if "different stages" in str(w.message)]


def stopping(**kwargs):
    return keras.callbacks.EarlyStopping("loss", **kwargs)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda d: stopping(patience=2), "`start_from_epoch=4`"),
        (lambda d: stopping(patience=1, start_from_epoch=2), "`start_from_epoch=4`"),
        (lambda d: stopping(patience=2, baseline=0.1), "`start_from_epoch=4`"),
        (lambda d: stopping(patience=9, restore_best_weights=True), "epoch=4"),
        (lambda d: keras.callbacks.ReduceLROnPlateau("loss"), "CosineDecay.rate, 8."),
        (
            lambda d: keras.callbacks.ModelCheckpoint(
                d / "model.keras", "loss", save_best_only=True
            ),
            "`save_best_only=False`",
        ),
    ],
)
def test_what_compares_stages_is_said_once_with_what_to_write(make, advice, tmp_path):
    (text,) = warned(make(tmp_path))
    assert advice.replace(".rate", "(rate").replace("8.", "8)") in text


def test_the_epoch_is_that_of_the_last_event_by_steps_too():
    method = FullReinit(StepStages(24, 3), seed=0)
    (text,) = warned(stopping(patience=0), method)
    assert "`start_from_epoch=4`" in text


@pytest.mark.parametrize(
    "make",
    [
        lambda d: stopping(patience=1, start_from_epoch=4, restore_best_weights=True),
        lambda d: stopping(patience=4),  # It cannot stop before the last event.
        lambda d: keras.callbacks.ModelCheckpoint(d / "model.keras"),
        lambda d: keras.callbacks.TerminateOnNaN(),
        lambda d: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    ],
)
def test_nothing_is_said_of_others(make, tmp_path):
    assert warned(make(tmp_path)) == []


def test_nothing_is_said_where_there_is_one_stage():
    assert warned(stopping(patience=0), FullReinit(Stages(6, 1))) == []


def test_what_the_advice_says_keeps_all_stages():
    """With `start_from_epoch` the last stage alone is compared with itself."""
    model = network(keras.optimizers.SGD(0.0))
    stop = stopping(patience=1, start_from_epoch=4)
    history = train(model, [FullReinit(Stages(6, 3), seed=0), stop])
    assert history["stage"] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("wrap", [lambda model: model, BornAgain])
def test_two_re_initializations_in_one_fit_are_refused(wrap):
    model = wrap(network())
    model.compile("sgd", LOSS)
    schedule, before = Stages(2, 2), model.get_weights()
    callbacks = [ShrinkPerturb(schedule, seed=0), Rifle(schedule, seed=1)]
    with pytest.raises(ValueError, match="only one re-initialization"):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_backup_of_ours_has_its_place_too(tmp_path):
    backup = keras_reinit.Backup
    pair = [FullReinit(Stages(2, 2), seed=0), backup(tmp_path)]
    with pytest.raises(ValueError, match="Backup after FullReinit"):
        train(network(), pair[::-1], 2)
    pair[1] = backup(tmp_path, save_freq=2)
    with pytest.raises(ValueError, match="save_freq='epoch'"):
        train(network(), pair, 2)


def test_a_loop_of_ones_own_may_call_the_callbacks():
    model, method = network(), FullReinit(Stages(2, 2), seed=0)
    loop = keras.callbacks.CallbackList([method], model=model)
    loop.on_train_begin()
    for epoch in range(2):
        loop.on_epoch_begin(epoch)
        model.train_on_batch(X, Y)
        loop.on_epoch_end(epoch, {})
    assert method.events == [{"stage": 1, "epochs": 1}]


def test_a_model_that_is_not_compiled_is_said():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="`model` must be compiled"):
        FullReinit(Stages(2, 2), seed=0).apply(model, 1)


# --- other optimizers ---------------------------------------------------------------


def gan_step(model, data):
    """A training step with an optimizer for each of two networks, on any backend."""
    x = data[0] if isinstance(data, tuple) else data
    for network, optimizer in model.pairs():
        variables = network.trainable_variables
        gradients = [keras.ops.ones_like(v) * keras.ops.mean(x) for v in variables]
        optimizer.apply(gradients, variables)
    return {"loss": keras.ops.mean(x)}


class Pair(keras.Model):
    """The pattern of keras.io's GANs."""

    def __init__(self):
        super().__init__()
        self.first = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        self.second = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
        self.built = True

    def compile(self, first, second):
        super().compile()
        self.optimizers_by_name = {"first": first}
        self.second_optimizer = second

    def pairs(self):
        first = self.optimizers_by_name["first"]
        return (self.first, first), (self.second, self.second_optimizer)

    def call(self, x):
        return self.second(self.first(x))

    def train_step(self, data):
        return gan_step(self, data)


on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="a training step, wrapper or stateful layer that Keras runs there alone",
)


@on_tensorflow
@pytest.mark.parametrize("method", [FullReinit, ShrinkPerturb])
def test_every_optimizer_of_a_model_starts_again(method):
    model = Pair()
    first, second = keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.2)
    model.compile(first, second)
    seen = []
    see = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(
            [
                (int(o.iterations), *map(float, [o.learning_rate]))
                for o in (first, second)
            ]
        ),
        on_epoch_end=lambda epoch, logs: setattr(second, "learning_rate", 0.05),
    )
    train(model, [method(Stages(4, 2), seed=0), see], 4, batch_size=8)
    steps = [[count for count, _ in epoch] for epoch in seen]
    assert steps == [[0, 0], [4, 4], [0, 0], [4, 4]]
    assert [round(rate, 6) for _, rate in seen[2]] == [0.1, 0.2]


@on_tensorflow
def test_an_optimizer_that_cannot_be_found_is_said_at_the_first_event():
    class Closed(Pair):
        def compile(self, first, second):
            super().compile(first, second)
            self.optimizers_by_name, self.second_optimizer = {}, None
            pairs = ((self.first, first), (self.second, second))
            self.pairs = lambda: pairs

    model = Closed()
    model.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1))
    with pytest.raises(ValueError, match="must have its optimizers as attributes"):
        train(model, [FullReinit(Stages(4, 2), seed=0)], 4)
    model = Closed()
    model.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1))
    train(model, [FullReinit(Stages(4, 2), seed=0, optimizer_state="keep")], 4)


@keras.saving.register_keras_serializable("tests_neighbors")
class Around(keras.optimizers.Optimizer):
    """A wrapper as users write them: Lookahead, SAM, ..."""

    def __init__(self, base, learning_rate=0.1, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.base = base

    def build(self, variables):
        super().build(variables)
        self.base.build(variables)
        self.slow = [
            self.add_variable_from_reference(v, name="slow", initializer="ones")
            for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        slow = self.slow[self._get_variable_index(variable)]
        self.assign(slow, slow + 1.0)
        self.base.update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {"base": keras.optimizers.serialize(self.base)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(keras.optimizers.deserialize(config["base"]))


def values(optimizer):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in optimizer.variables]


@on_tensorflow
@pytest.mark.parametrize("depth", [1, 2])
def test_an_optimizer_inside_of_a_users_wrapper_starts_again(depth):
    optimizer = inner = keras.optimizers.Adam(0.1)
    for _ in range(depth):
        optimizer = Around(optimizer)
    model = network(optimizer)
    new = values(optimizer) + values(inner)
    train(model, [], 2)
    assert max(abs(v).max() for v in values(inner)[2:]) > 0
    reset_optimizer(optimizer)
    assert all((v == 0).all() for v in values(inner)[2:])
    slow = [keras.ops.convert_to_numpy(v) for v in optimizer.slow]
    assert all((v == 1).all() for v in slow)
    assert int(optimizer.iterations) == int(inner.iterations) == 0 and new


@on_tensorflow
def test_so_it_does_in_a_training():
    optimizer, inner = None, keras.optimizers.Adam(0.1)
    optimizer, sizes = Around(inner), []
    see = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: sizes.append(
            max([abs(v).max() for v in values(inner)[2:]], default=0.0)
        )
    )
    train(network(optimizer), [WarmRestart(Stages(4, 2)), see], 4)
    assert (sizes[0], sizes[2]) == (0, 0) and min(sizes[1], sizes[3]) > 0


@pytest.mark.parametrize("wrap", [per_variable_steps, per_entry_steps])
def test_what_was_set_on_an_optimizer_before_stays_set(wrap):
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["gamma"])
    optimizer.clipnorm, optimizer.learning_rate = 0.7, 0.2
    optimizer.note = "mine"
    counting = wrap(optimizer)
    assert (counting.clipnorm, counting.note) == (0.7, "mine")
    assert float(counting.learning_rate) == pytest.approx(0.2)
    model = keras.Sequential(
        [keras.Input((4,)), layers.LayerNormalization(), layers.Dense(1)]
    )
    model.compile(counting, "mse")
    kernel = model.layers[1].get_weights()[0]
    # The gradient is zero: only decay moves weights.
    model.fit(np.zeros((8, 4)), np.zeros((8, 1)), epochs=3, verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], np.ones(4))
    decayed = kernel * (1 - 0.2 * 0.5) ** 3
    np.testing.assert_allclose(model.layers[1].get_weights()[0], decayed, rtol=1e-4)


# --- data in weights ----------------------------------------------------------------


class Standardize(layers.Layer):
    """What `Normalization` does, as users write it."""

    def build(self, shape):
        self.mean = self.add_weight(
            shape=(shape[-1],), initializer="zeros", trainable=False
        )
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def adapt(self, data):
        self.mean.assign(data.mean(0))

    def call(self, x):
        return (x - self.mean) * self.scale


class Around2(layers.Layer):
    """A layer around such a layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = Standardize()

    def build(self, shape):
        self.inside.build(shape)

    def call(self, x):
        return self.inside(x)


@pytest.mark.parametrize("nested", [False, True])
@every_method
def test_what_a_users_layer_adapted_to_stays(method, nested):
    if method.wrap is add_unit_statistics or "statistics" in vars(method.make):
        pytest.skip("units are not followed through a user's layer")
    outer = Around2() if nested else Standardize()
    layer = outer.inside if nested else outer
    model = keras.Sequential(
        [
            keras.Input((4,)),
            outer,
            layers.Dense(8, name="first"),
            layers.ReLU(name="relu"),
            layers.Dense(8, "relu", name="second"),
            layers.Dense(3),
        ]
    )
    data = np.random.default_rng(0).normal(100, 1, (32, 4)).astype("float32")
    layer.adapt(data)
    model = method.wrap(model) if method.wrap else model
    use_ema = hasattr(method.wrap, "use_ema")
    model.compile(keras.optimizers.SGD(1e-4, use_ema=use_ema), LOSS)
    callback = method(Stages(4, 2))
    if hasattr(callback, "data"):
        callback.data = (data, Y)
    fit(model, (data, Y), callback, 4)
    mean = keras.ops.convert_to_numpy(layer.mean)
    np.testing.assert_allclose(mean, data.mean(0), rtol=1e-6)


def test_what_of_such_a_layer_is_trained_is_drawn():
    layer = Standardize()
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(1)])
    layer.adapt(np.full((2, 4), 7.0))
    layer.scale.assign([5.0] * 4)
    scale, mean, *_ = fresh_weights(model, seed=0)
    assert (scale.tolist(), mean.tolist()) == ([1.0] * 4, [7.0] * 4)


@on_tensorflow
@pytest.mark.parametrize("method", [FullReinit, ShrinkPerturb, WarmRestart])
def test_states_of_recurrent_layers_are_of_the_network_they_came_from(method):
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 5, 3)),
            layers.GRU(4, stateful=True),
            layers.Dense(3),
        ]
    )
    model.compile("sgd", LOSS)
    x = np.random.default_rng(0).normal(size=(8, 5, 3))
    sizes = []

    def see(epoch, logs=None):
        states = keras.tree.flatten(model.layers[0].states)
        sizes.append(
            max(float(np.abs(keras.ops.convert_to_numpy(s)).max()) for s in states)
        )

    kwargs = {} if method is WarmRestart else {"seed": 0}
    callbacks = [
        method(Stages(4, 2), **kwargs),
        keras.callbacks.LambdaCallback(on_epoch_begin=see),
    ]
    model.fit(
        x, np.arange(8) % 3, batch_size=4, shuffle=False, epochs=4, verbose=0,
        callbacks=callbacks,
    )  # fmt: skip
    assert sizes[1] > 0 and (sizes[2] == 0) == (method is not WarmRestart)


# --- what a reviewer found ----------------------------------------------------------


class Holder:
    def __init__(self, optimizer):
        self.inside = optimizer


@on_tensorflow
@pytest.mark.parametrize(
    "hold",
    [
        lambda o: [("a", o)],
        lambda o: {"x": {"y": o}},
        lambda o: {o},
        Holder,
        lambda o: [Holder(o)],
    ],
)
def test_optimizers_are_found_in_containers_and_plain_objects(hold):
    class Held(Pair):
        def compile(self, first, second):
            super().compile(first, second)
            self.optimizers_by_name, self.second_optimizer = {}, None
            self.held, self.other = hold(first), second
            pairs = ((self.first, first), (self.second, second))
            self.pairs = lambda: pairs

    model, first = Held(), keras.optimizers.Adam(0.1)
    model.compile(first, keras.optimizers.Adam(0.1))
    steps = []
    see = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: steps.append(int(first.iterations))
    )
    train(model, [FullReinit(Stages(4, 2), seed=0), see], 4)
    assert steps == [0, 4, 0, 4]


def test_what_a_part_was_once_compiled_with_is_left_alone():
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu")])
    encoder.compile(keras.optimizers.Adam(0.1), "mse")
    encoder.fit(X, np.zeros((32, 4)), batch_size=32, verbose=0)
    model = keras.Sequential([keras.Input((4,)), encoder, layers.Dense(3)])
    model.compile(per_variable_steps(keras.optimizers.Adam(0.1)), LOSS)
    method = FullReinit(Stages(4, 2), seed=0, optimizer_state="reinitialized")
    train(model, [method], 4)
    train(model, [FullReinit(Stages(4, 2), seed=0)], 4)
    assert int(encoder.optimizer.iterations) == 1


@pytest.mark.parametrize("name", ["multi", "loss_scale", "schedule", "accumulation"])
def test_optimizers_of_every_kind_train_through_an_event(name):
    from test_optimizers import OPTIMIZERS

    model = network(OPTIMIZERS[name]())
    history = train(model, [FullReinit(Stages(4, 2), seed=0)], 4)
    assert history["stage"] == [0, 0, 1, 1]


@on_tensorflow
def test_an_optimizer_that_is_compiled_later_is_the_one_that_starts_again():
    def again(epoch, logs=None):
        if epoch == 1:
            model.compile(keras.optimizers.SGD(0.3, momentum=0.9), LOSS)
            model.make_train_function()

    model, steps, rates = network(), [], []

    def see(epoch, logs=None):
        steps.append(int(model.optimizer.iterations))
        rates.append(float(model.optimizer.learning_rate))

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_begin=again),
        FullReinit(Stages(4, 2), seed=0),
        keras.callbacks.LambdaCallback(on_epoch_begin=see),
    ]
    train(model, callbacks, 4)
    assert steps[2] == 0 and rates[2] == pytest.approx(0.3)


def test_a_rate_that_was_set_between_two_fits_is_the_users():
    model, method = network(), FullReinit(Stages(6, 2), seed=0)
    train(model, [method], 2)
    model.optimizer.learning_rate = 0.01
    train(model, [method], 6, initial_epoch=2)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    other = network(keras.optimizers.SGD(0.02))
    train(other, [method], 6)
    assert float(other.optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize("first", [True, False])
def test_a_scheduler_of_the_users_own_wins_too(first):
    class Scheduler(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 1 / (2 + epoch)

    rates = []
    see = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(
            float(model.optimizer.learning_rate)
        )
    )
    model, method = network(), FullReinit(Stages(6, 2), seed=0)
    pair = [Scheduler(), method] if first else [method, Scheduler()]
    train(model, [*pair, see], batch_size=32)
    np.testing.assert_allclose(rates, 1 / (2 + np.arange(6)), rtol=1e-6)


def test_a_loop_of_fits_starts_with_the_first_rate_as_well():
    model, method, rates = network(), FullReinit(Stages(3, 3), seed=0), []
    for stage in range(3):
        if stage > 0:
            method.apply(model, stage)
        rates.append(float(model.optimizer.learning_rate))
        train(model, [], 1)
        if stage > 0:
            model.optimizer.learning_rate = rates[-1] / 2
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize("state", ["keep", "reinitialized"])
def test_the_advice_where_schedules_run_on(state):
    method = FullReinit(Stages(6, 3), seed=0, optimizer_state=state)
    (text,) = warned(keras.callbacks.ReduceLROnPlateau("loss"), method)
    assert "runs on" in text and "steps_of_the_training" in text


class Named(keras.callbacks.Callback):
    """What a user's callback may have."""

    outcomes, backup_dir = (), "here"


def test_callbacks_are_known_by_their_class_and_not_by_their_attributes():
    train(network(), [Named(), FullReinit(Stages(6, 2), seed=0), Named()])


def test_a_control_of_one_stage_is_no_second_one():
    train(network(), [FullReinit(Stages(6, 2), seed=0), WarmRestart(Stages(6, 1))])


def test_a_network_that_is_frozen_makes_no_step():
    model = network()
    model.trainable = False
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    train(model, [WarmRestart(Stages(6, 2))])


class Stem(layers.Layer):
    """Adapts a part of it; another part has statistics that training moves."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalization = layers.Normalization()
        self.batch = layers.BatchNormalization(momentum=0.5)

    def build(self, shape):
        self.normalization.build(shape)
        self.batch.build(shape)

    def adapt(self, data):
        self.normalization.adapt(data)

    def call(self, x, training=None):
        return self.batch(self.normalization(x), training=training)


def test_statistics_that_training_moves_are_no_data():
    stem = Stem()
    model = keras.Sequential([keras.Input((4,)), stem, layers.Dense(3)])
    stem.adapt(X)
    stem.batch.moving_mean.assign([7.0] * 4)
    values = fresh_weights(model, seed=0)
    by_path = {v.path: w for v, w in zip(model.weights, values, strict=True)}
    (mean,) = [w for path, w in by_path.items() if path.endswith("moving_mean")]
    assert mean.tolist() == [0.0] * 4
    adapted = keras.ops.convert_to_numpy(stem.normalization.weights[0])
    kept = [w for w in values if np.array_equal(np.ravel(w), np.ravel(adapted))]
    assert len(kept) == 1


def test_two_backups_in_one_fit_are_refused(tmp_path):
    backups = [keras_reinit.Backup(tmp_path / name) for name in "ab"]
    with pytest.raises(ValueError, match="only one backup"):
        train(network(), backups, 2)


@on_tensorflow
def test_a_backup_asks_for_optimizers_that_are_built(tmp_path):
    model = Pair()
    model.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1))
    with pytest.raises(ValueError, match="must have its optimizers built"):
        train(model, [keras_reinit.Backup(tmp_path)], 2)
