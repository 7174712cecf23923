import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_reinit import BornAgain, data, fresh_weights, models
from keras_reinit.config import AUGMENTATIONS, METHODS, NOISES, Config
from keras_reinit.training import compiled, training
from keras_reinit.training.compiled import (
    Compiled,
    CompiledModels,
    num_steps,
    optimizer,
)

SHORT = {"train_size": 100, "epochs": 4, "stages": 2, "batch_size": 32, "width": 4}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_whole_row_at_the_same_budget(method):
    row = training.run(Config(method=method, regularization="DCW", **SHORT))
    assert row["status"] == "ok"
    assert [stage["epoch"] for stage in row["stages"]] == [1, 3]
    assert row["final"] == row["stages"][-1]
    assert len(row["history"]["validation_accuracy"]) == 4
    assert row["train_examples"] == 100 and row["steps_per_epoch"] == 3
    for when in (row["final"], row["best"]):
        for split in ("train", "validation", "test"):
            assert 0 <= when[f"{split}_accuracy"] <= 1
            assert when[f"{split}_cross_entropy"] >= 0
    curve = row["history"]["validation_accuracy"]
    assert row["best"]["epoch"] == int(np.argmax(curve))
    best = row["best"]["validation_accuracy"]
    assert best == pytest.approx(max(curve), abs=1e-5)
    assert {"python", "keras", "tensorflow"} <= set(row["versions"])


def test_the_same_config_gives_the_same_result():
    config = Config(method="shrink_perturb", regularization="D", **SHORT)
    one, two = training.run(config), training.run(config)
    assert one["final"] == two["final"] and one["history"] == two["history"]
    other = training.run(dataclasses.replace(config, seed=1))
    assert other["history"] != one["history"]


def test_methods_with_one_seed_are_pairs_until_the_first_event():
    histories = [
        training.run(Config(method=method, **SHORT))["history"]["train_accuracy"]
        for method in ("standard", "shrink_perturb", "layerwise", "born_again")
    ]
    assert all(history[:2] == histories[0][:2] for history in histories)
    assert histories[1][2:] != histories[0][2:]


def test_first_weights_are_drawn_by_seed_for_every_method():
    splits = data.load("digits", train_size=100)
    plain = Compiled(Config(**SHORT), splits).model
    taught = Compiled(Config(method="born_again", **SHORT), splits).model
    assert isinstance(taught, BornAgain)
    for a, b, c in zip(
        plain.get_weights(),
        taught.student.get_weights(),
        fresh_weights(plain, seed=0),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize(
    ("change", "l2", "decoupled", "cosine"),
    [
        ({"regularization": "none"}, False, None, False),
        ({"regularization": "DC"}, False, None, True),
        ({"regularization": "CW"}, True, None, True),
        ({"regularization": "W", "weight_decay_mode": "decoupled"}, False, 5e-4, False),
    ],
)
def test_regularization_letters(change, l2, decoupled, cosine):
    config = Config(**change)
    splits = data.load("digits")
    model = Compiled(config, splits).model
    assert bool(model.losses) == l2
    assert model.optimizer.weight_decay == decoupled
    model.optimizer.build(model.trainable_variables)
    rates = []
    for iteration in (0, 100 * num_steps(config, splits) - 1):
        model.optimizer.iterations.assign(iteration)
        rates.append(float(model.optimizer.learning_rate))
    assert rates[0] == pytest.approx(0.1)
    assert (rates[1] < 1e-4) == cosine


def test_cosine_annealing_spans_one_stage():
    config = Config(method="shrink_perturb", regularization="C", epochs=10, stages=5)
    rate = optimizer(config, steps=9)._learning_rate
    for iteration, share in ((0, 1.0), (9, 0.5), (18, 1.0)):
        assert float(rate(iteration)) == pytest.approx(0.1 * share, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dropout"}, r"`method` must be one of \('standard', .*'dropout'"),
        ({"stages": 0}, r"`stages` must be an integer in \[1, 100\]"),
        ({"epochs": "10"}, "`epochs` must be of type int"),
        ({"batch_size": 64.0}, "`batch_size` must be of type int"),
        ({"learning_rate": None}, "`learning_rate` must be of type float"),
        ({"augment": None}, "`augment` must be of type str"),
        ({"full_budget": 1}, "`full_budget` must be of type bool"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        (
            {"batch_size": 65, "train_size": 64},
            r"`batch_size` must be in \[1, train_size=64\]",
        ),
        ({"train_size": -5}, "`train_size` must be an integer >= 1"),
        ({"num_blocks": 0}, "`num_blocks` must be an integer >= 1"),
        ({"regularization": "WD"}, r"`regularization` must be one of \('none'"),
        ({"label_noise": 1.1}, r"`label_noise` must be in \[0, 1\]"),
        ({"epochs": 3, "stages": 4}, "`stages` must be"),
        ({"method": "shrink_perturb", "shrink": 2.0}, "`shrink` must be"),
        ({"learning_rate": 0.0}, "`learning_rate` must be > 0"),
        ({"momentum": 1.0}, "`momentum` must be"),
        ({"temperature": 0.0}, "`temperature` must be > 0"),
        ({"weight_decay": -1.0}, "`weight_decay` must be >= 0"),
        ({"optimizer_state": "new"}, "`optimizer_state` must be one of"),
        ({"seed": -1}, "`seed` must be"),
        ({"dtype_policy": "float8"}, r"`dtype_policy` must be one of \('float32'"),
        ({"steps_per_execution": 0}, "`steps_per_execution` must be an integer >= 1"),
    ],
)
def test_bad_configs(change, message):
    with pytest.raises(ValueError, match=message):
        Config(**change)


def test_numbers_of_a_config_are_pythons_own():
    config = Config(
        train_size=np.int64(64), label_noise=0, learning_rate=np.float32(0.5)
    )
    assert json.loads(json.dumps(dataclasses.asdict(config))) == dataclasses.asdict(
        Config(train_size=64, label_noise=0.0, learning_rate=0.5)
    )


def test_a_strategy_is_in_the_row():
    config = Config(method="shrink_perturb", **SHORT)
    row = training.run(config, strategy="mirrored")  # Of one device, here.
    assert (row["strategy"], row["replicas"]) == ("mirrored", 1)
    assert row["final"]["train_accuracy"] > 0
    with pytest.raises(ValueError, match="`strategy` must be one of.*Received"):
        training.run(config, strategy="everything")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("method", ["standard", "layerwise+distillation"])
def test_mixed_precision_is_of_the_layers_alone(policy, method):
    config = Config(method=method, regularization="CW", dtype_policy=policy, **SHORT)
    shared = CompiledModels()
    rows = [training.run(config, models=shared) for _ in range(2)]
    assert rows[0]["final"] == rows[1]["final"]
    (kept,) = shared._kept.values()
    assert kept.network.layers[1].compute_dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in kept.network.trainable_variables} == {"float32"}
    scaled = type(kept.model.optimizer).__name__ == "LossScaleOptimizer"
    assert scaled == (policy == "mixed_float16")
    assert keras.config.dtype_policy().name == "float32"


def test_steps_of_one_execution():
    """More of them at once change neither their number nor the result."""
    results = {}
    for steps in (None, 1, 3):
        config = Config(method="shrink_perturb", steps_per_execution=steps, **SHORT)
        model = Compiled(config, training.load(config)).model
        results[steps] = model.steps_per_execution, training.run(config)["final"]
    assert [one for one, _ in results.values()] == [3, 1, 3]
    final = results[None][1]
    assert all(other == pytest.approx(final) for _, other in results.values())
    config = Config(steps_per_execution=2, **SHORT)
    with pytest.raises(ValueError, match="must divide the 3 steps of an epoch.*=2"):
        training.run(config)


@pytest.mark.parametrize("noise", sorted(NOISES.keys() - {"asymmetric"}))
def test_every_noise_is_trained_with_and_what_is_memorized_is_told(noise):
    config = Config(label_noise=0.5, noise=noise, **SHORT)
    row = training.run(config)
    splits = training.load(config)
    (_, labels), clean = splits.train, splits.clean_labels
    flipped, final = labels != clean, row["final"]
    assert 20 < flipped.sum() < 70
    known = training.load(dataclasses.replace(config, label_noise=0.0)).train[1]
    np.testing.assert_array_equal(known, clean)
    assert 0 <= final["flipped_accuracy"] <= 1
    assert "flipped_accuracy" not in training.run(Config(**SHORT))["final"]


@pytest.mark.parametrize("method", ["standard", "shrink_perturb+distillation"])
def test_all_augmentations_and_label_smoothing_are_trained_with(method):
    config = Config(
        method=method,
        regularization="DW",
        augment="+".join(AUGMENTATIONS[1:]),  # All but the crop alone.
        label_smoothing=0.1,
        **SHORT,
    )
    assert [type(one).__name__ for one in config.augmentation(32, True)] == [
        "PadCropFlip", "RandAugment", "Cutout", "RandomErasing", "MixUp", "CutMix",
    ]  # fmt: skip
    row = training.run(config)
    assert row["status"] == "ok" and 0 <= row["final"]["train_accuracy"] <= 1
    # Metrics are those of integer labels, without smoothing.
    uniform = np.log(10)
    assert row["final"]["test_cross_entropy"] < 3 * uniform


def test_smoothing_and_vectors_change_nothing_at_zero():
    """One-hot labels and integer ones are the same training."""
    config = Config(**SHORT)
    sparse = training.run(config)
    with pytest.MonkeyPatch.context() as patch:
        for module in (compiled, training):
            patch.setattr(module, "one_hot", lambda config, splits: splits.num_classes)
        vectors = training.run(config)
    for name, value in sparse["final"].items():
        assert vectors["final"][name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"augment": "crop_flip+mixing"}, "`augment` must be of"),
        ({"noise": "asymmetric"}, "`noise` must not be 'asymmetric'"),
        ({"noise": "human"}, "`noise` must be one of"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\)"),
    ],
)
def test_data_that_do_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        Config(**fields)


def test_the_map_of_asymmetric_noise_is_that_of_the_data_set():
    for dataset, classes in (("cifar10", 10), ("cifar100", 100)):
        config = Config(dataset=dataset, noise="asymmetric", label_noise=0.4)
        assert len(config.label_noise_value().targets) == classes


def test_a_full_budget_in_each_generation_is_told_in_the_row():
    config = Config(method="born_again", full_budget=True, **SHORT)
    row = training.run(config)
    assert row["total_epochs"] == 8 == len(row["history"]["train_accuracy"])
    assert [stage["epoch"] for stage in row["stages"]] == [3, 7]
    fixed = training.run(dataclasses.replace(config, full_budget=False))
    assert fixed["total_epochs"] == 4
    standard = Config(full_budget=True, **SHORT)
    assert training.run(standard)["total_epochs"] == 4


def test_the_weight_norm_is_that_of_the_trained_network():
    splits = training.load(Config(**SHORT))
    network = models.mlp(splits.train[0].shape[1:], splits.num_classes)
    config = Config(method="shrink_perturb", **SHORT)
    row = training.run(config, splits=splits, network=network)
    norms = row["history"]["weight_norm"]
    assert len(norms) == config.epochs
    # The weights of the best epoch are those that are left.
    left = sum(float((v.numpy() ** 2).sum()) for v in network.trainable_variables)
    assert left**0.5 == pytest.approx(norms[row["best"]["epoch"]], rel=1e-4)


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype="uint8")
LABELS = np.arange(200) % 2
OWN = Config(model="mlp", width=4, batch_size=32, epochs=1, stages=1)


def own_network(shape=(8, 8, 1), classes=2):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential(layers)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"train_size": 64}, {}, "`train_size` must be None or that of `splits`, 144"),
        ({"validation_size": 5}, {}, "`validation_size` must be None or that of"),
        ({}, {"splits": (IMAGES, LABELS)}, "`splits` must be `Splits`"),
        ({}, {"network": "mlp"}, "`model` must be a `keras.Model`"),
        ({}, {"network": own_network(classes=10)}, "`network` must .* 2 logits"),
        ({}, {"network": own_network((4, 4, 1))}, r"`network` must .* \(8, 8, 1\)"),
        ({"normalization": "imagenet"}, {}, "`normalization` must be 'fitted' unless"),
    ],
)
def test_what_does_not_fit_own_data_is_refused_before_any_epoch(
    changes, arguments, message
):
    epochs = []
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: epochs.append(e))
    arguments = {"splits": data.from_arrays((IMAGES, LABELS)), **arguments}
    config = dataclasses.replace(OWN, **changes)
    with pytest.raises(ValueError, match=message):
        training.run(config, callbacks=[seen], **arguments)
    assert not epochs


def test_a_row_of_own_data_says_what_was_trained_on():
    splits = data.from_arrays((IMAGES, LABELS), train_size=64)
    row = training.run(dataclasses.replace(OWN, train_size=64), splits=splits)
    assert row["config"]["train_size"] == row["train_examples"] == 64
    assert row["data"] == splits.fingerprint and row["given"] == ["splits"]
    row = training.run(OWN, splits=splits, network=own_network())
    assert row["config"]["train_size"] is None and row["train_examples"] == 64
