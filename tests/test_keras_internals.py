"""What of Keras has no public name: what breaks here when Keras moves."""

import ast
import pathlib

import keras
import numpy as np
import pytest

import keras_reinit
from keras_reinit import keras_internals as internals

PACKAGE = pathlib.Path(keras_reinit.__file__).parent
# Hooks and look-ups of Keras' optimizers that a mixin or an optimizer of ours inherits.
INHERITED = {
    "optimizers/step_counts.py": {"_backend_update_step", "_get_variable_index"},
    "diagnostics/gradients.py": {"_get_variable_index"},
}


def private_names(path):
    """What a file takes of other objects by a name with a leading underscore."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None)
            whole = [".".join(filter(None, (module, n.name))) for n in node.names]
            yield from ("keras.src" for name in whole if name.startswith("keras.src"))
        elif isinstance(node, ast.Attribute):
            owner = getattr(node.value, "id", None)
            if node.attr == "src" and owner == "keras":
                yield "keras.src"
            if owner not in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # As in `getattr(model, "_name")`.


def keras_names():
    """Private names that Keras' classes and objects have."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Nadam(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    layer, tensor = model.layers[0], model.outputs[0]
    found = [
        model,
        layer,
        layer.kernel,
        tensor,
        model.optimizer,
        layer.bias_initializer,
    ]
    for module in (keras.layers, keras.optimizers, keras.callbacks, keras.initializers):
        found += [value for value in vars(module).values() if isinstance(value, type)]
    names = {name for one in found for name in (*dir(one), *vars(one))}
    return {n for n in names if n.startswith("_") and not n.startswith("__")}


def test_private_names_of_keras_are_in_one_module():
    known, found = keras_names() | {"keras.src"}, {}
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        used = known & set(private_names(path)) - INHERITED.get(name, set())
        if used:
            found[name] = used
    assert list(found) == ["keras_internals.py"], found


def built(optimizer):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), epochs=2, batch_size=4, verbose=0)
    return model, model.optimizer


def test_layers_are_flattened():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="deep")])
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.TimeDistributed(inner)])
    names = [layer.name for layer in internals.flatten_layers(model)]
    assert names[0] == model.name and "deep" in names, "fresh/, graph/: layers are lost"
    shallow = internals.flatten_layers(model, include_self=False, recursive=False)
    assert "deep" not in [layer.name for layer in shallow]


def test_frozen_weights_are_known_as_made_to_be_trained():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 2))
    layer.trainable = False
    made = internals.variables_made_trainable(layer)
    assert [v.name for v in made] == ["gamma", "beta"], "frozen weights would be drawn"


def test_a_variable_without_a_value_knows_its_initializer():
    with keras.StatelessScope(initialize_variables=False):
        layer = keras.layers.Dense(2, kernel_initializer="he_normal")
        layer.build((None, 3))
        found = internals.initializer_of(layer.kernel)
    assert isinstance(found, keras.initializers.HeNormal), "fresh/ would rebuild layers"


def test_initializers_are_compared_without_their_seeds():
    one, two = (keras.initializers.RandomNormal(seed=seed) for seed in (1, 2))
    assert internals.settings_of(one) == internals.settings_of(two)
    other = internals.settings_of(keras.initializers.RandomNormal(stddev=2.0))
    assert internals.settings_of(one) != other


def test_functions_and_layers_among_the_attributes_are_found():
    layer = keras.layers.TimeDistributed(keras.layers.Dense(2))
    assert internals.attributes_of(layer)["layer"] is layer.layer


def test_a_mask_counts_on_top_of_another():
    values = keras.ops.convert_to_tensor(np.arange(4.0, dtype="float32")[:, None])
    zeros = np.zeros((4, 1), "float32")
    first = internals.with_mask(values, np.array([True, True, True, False]))
    second = internals.with_mask(first, np.array([False, True, True, True]))
    loss = keras.losses.MeanSquaredError()(zeros, second)
    assert float(loss) == pytest.approx((1 + 4) / 2), "ignored labels would teach"


def test_functions_of_this_process_are_rebuilt():
    config = keras.layers.Lambda(lambda x: x).get_config()
    with internals.trusted_functions():
        keras.layers.Lambda.from_config(config)


def test_the_memory_of_a_variable_is_given_back():
    variable = keras.Variable(np.ones(3))
    internals.forget_value(variable)
    assert variable._value is None, "twins of layers would wait for a collection"


def test_a_tensor_knows_the_call_that_made_it():
    inputs = keras.Input((2,))
    layer = keras.layers.Dense(3)
    outputs = layer(layer(keras.layers.Dense(2)(inputs))[:, :2])
    node, position = internals.call_of(outputs)
    assert (node.operation, position) == (layer, 0), "graph/: there are no blocks"
    assert not node.is_input and internals.call_of(inputs)[0].is_input
    assert node.output_tensors[0] is outputs


@pytest.mark.parametrize(
    "name", ["object_name_uids", "uninitialized_variables", "global_seed_generator"]
)
def test_what_keras_keeps_for_a_thread_is_known_by_name(name):
    keras.utils.set_random_seed(0)
    keras.random.uniform(())
    keras.layers.Dense(1)
    with keras.StatelessScope(initialize_variables=False):
        keras.Variable(initializer="zeros", shape=())
    value = internals.get_global_attribute(name)
    assert value is not None, "fresh/sandbox.py would move a global random state"
    internals.set_global_attribute(name, value)
    assert internals.get_global_attribute(name) is value


def test_fit_goes_on_where_it_is_told_to():
    epochs = []
    see = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: internals.set_initial_epoch(model, 2),
        on_epoch_begin=lambda epoch, logs: epochs.append(epoch),
    )
    model, _ = built("sgd")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), epochs=4, verbose=0, callbacks=[see])
    assert epochs == [2, 3], "Backup would start from the first epoch"


def test_penalties_are_aggregated():
    model, _ = built("sgd")
    total = internals.aggregated(model, keras.ops.ones((3,)))
    assert float(total) == 3, "student_loss_weight would weigh penalties"


def test_an_optimizer_has_its_steps_rate_and_variables():
    model, optimizer = built(keras.optimizers.SGD(0.5))
    assert int(internals.steps_of(optimizer)) == 2, "schedules would not start again"
    assert float(internals.rate_of(optimizer)) == 0.5
    trained = internals.trained_variables(optimizer)
    assert [id(v) for v in trained] == [id(v) for v in model.trainable_variables]
    rate = internals.rate_of(optimizer)
    internals.set_rate_of(optimizer, lambda: rate * 0.5)
    assert float(optimizer.learning_rate) == 0.25, "Dense-Sparse-Dense: no lower rate"
    internals.set_rate_of(optimizer, rate)
    assert float(optimizer.learning_rate) == 0.5


def test_steps_are_a_variable_where_gradients_are_accumulated():
    _, optimizer = built(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2))
    assert isinstance(internals.steps_of(optimizer), keras.Variable)
    assert int(internals.steps_of(optimizer)) == 2


def test_moving_averages_are_found():
    model, optimizer = built(keras.optimizers.SGD(0.0, use_ema=True))
    ((kernel, bias),) = internals.averages_of(optimizer)
    assert tuple(kernel.shape) == (2, 3), "an average would bring old weights back"
    _, plain = built("sgd")
    assert internals.averages_of(plain) == []


@pytest.mark.skipif(not internals.SCHEDULE_FREE, reason="not in this Keras")
def test_the_weights_of_a_schedule_free_optimizer_are_found():
    _, optimizer = built(keras.optimizers.ScheduleFreeAdamW(0.0))
    ((kernel, _),) = internals.averages_of(optimizer)
    assert tuple(kernel.shape) == (2, 3)


def test_nadams_product_is_found():
    _, optimizer = built(keras.optimizers.Nadam())
    assert float(internals.momentum_product(optimizer)) < 1, "Nadam keeps its momentum"
    _, other = built("sgd")
    assert internals.momentum_product(other) is None


def test_the_lists_of_an_optimizer_that_are_no_slots_are_all_there_are():
    """Another list of all variables would be taken for moments."""
    _, optimizer = built(keras.optimizers.SGD(0.1))
    lists = {
        name
        for name, value in vars(optimizer).items()
        if isinstance(value, list)
        and value
        and all(isinstance(one, keras.Variable) for one in value)
    }
    assert lists == set(internals.LISTS_OF_ALL)
