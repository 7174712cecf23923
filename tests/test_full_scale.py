"""The full-scale presets against the paper, and the page that lists their choices."""

import dataclasses

import keras
import numpy as np
import pytest

from benchmarks import full_scale, presets
from benchmarks.presets import protocol
from keras_reinit import BlockNormalization, data, models, training
from keras_reinit.config import Config
from keras_reinit.data import Facts, from_arrays
from keras_reinit.methods.layerwise_reinit import kept_blocks
from keras_reinit.naming import names
from keras_reinit.training import compiled, memorization, online

FULL_SCALE = [
    name for name in presets.names() if not name.startswith(("digits", "fashion_mnist"))
]
TABLES = ("cifar10/table", "cifar100/table", "tiny_imagenet/table")


def values():
    """Dict from the names of choices to their values on the page, a list."""
    found = {}
    for choice in protocol.CHOICES:
        found.setdefault(choice.name, []).append(protocol.shown(choice))
    return found


def test_every_choice_is_listed():
    decided = set(presets.DEFAULTS) - {"seed", "steps_per_execution"}
    for name in FULL_SCALE:
        decided |= set(presets.flags(name)) - {"output"}
    listed = {flag for choice in protocol.CHOICES for flag in choice.flags}
    assert decided <= listed


def test_what_the_paper_does_not_state_has_a_note():
    sources = {protocol.PAPER, protocol.INFERRED, protocol.OURS}
    assert {choice.source for choice in protocol.CHOICES} == sources
    unstated = [one for one in protocol.CHOICES if one.source != protocol.PAPER]
    assert [one.name for one in unstated if not one.note] == []


def test_values_are_those_of_the_protocol():
    found = values()
    assert found["Training / validation images"] == [
        "45,000 / 5,000, 360 steps an epoch", "90,000 / 10,000, 900 steps an epoch",
    ]  # fmt: skip
    assert found["Epochs of a stage"] == ["100, 40, 20, 10, 8", "250, 100, 50, 25, 20"]
    assert found["Its stem"] == ["3x3, stride 1"]
    assert found["Layer-wise (blocks, repeats)"] == [
        "(2, 1), (5, 1), (5, 2), (5, 4), (5, 5)"
    ]
    assert found["Optimizer"] == ["SGD, momentum 0.9, without Nesterov"]
    assert found["Reported epoch"] == ["best"]


@pytest.mark.parametrize(
    ("flag", "value", "choice", "shown"),
    [
        ("crop_padding", "8", "Padding of the crop", "8 at 64x64"),
        ("stem_stride", "2", "Its stem", "tiny_imagenet: 3x3, stride 2"),
        ("report_epoch", "final", "Reported epoch", "tiny_imagenet: final"),
        ("temperature", "4", "Temperature", "tiny_imagenet: 4"),
    ],
)
def test_values_are_read_from_the_presets(flag, value, choice, shown, monkeypatch):
    plain = presets.flags

    def changed(name):
        change = {flag: [value]} if name.startswith("tiny_imagenet") else {}
        return {**plain(name), **change}

    monkeypatch.setattr(presets, "flags", changed)
    assert values()[choice][0].endswith(shown)


# What presets of one data set differ in; those of stems have one run of each.
OWN = {"model", "method", "regularization", "label_noise", "seeds", "num_blocks"}
OF_STEMS = {
    "stem_stride", "learning_rate", "weight_decay", "stages", "tune",
    "distillation_weight",
}  # fmt: skip


@pytest.mark.parametrize("name", FULL_SCALE)
def test_presets_of_a_data_set_agree(name):
    """The page shows the choices of its table."""
    given, table = presets.flags(name), presets.flags(f"{name.split('/')[0]}/table")
    flags = {*given, *table}
    different = {flag for flag in flags if given.get(flag) != table.get(flag)}
    assert different <= (OWN | OF_STEMS if name.endswith("/stem") else OWN)
    layerwise = any("layerwise" in method for method in given["method"])
    assert given.get("num_blocks") == (["5"] if layerwise else None)


@pytest.mark.parametrize("name", FULL_SCALE)
def test_the_crop_is_padded_by_four(name):
    config = dataclasses.replace(presets.config(name), regularization="D")
    splits = Facts.of(config.dataset).stand_in(4)
    (crop,) = compiled.augmentation(config, splits)
    assert (crop.pad, crop.flip) == (4, True)


def test_padding_is_in_proportion_by_default():
    pads = [
        Config(regularization="D", crop_padding=padding).augmentation(side, True)[0].pad
        for side, padding in ((8, None), (32, None), (64, None), (64, 4), (64, 0))
    ]
    assert pads == [1, 4, 8, 4, 0]


@pytest.mark.parametrize("name", TABLES)
def test_inputs_are_normalized_by_imagenets_statistics(name, monkeypatch):
    """As they arrive in the training and the evaluation of a run."""
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), "uint8")
    splits = from_arrays(([image] * 40, np.arange(40) % 2))
    seen = []

    def recorded(make):
        def made(*args, **kwargs):
            dataset = make(*args, **kwargs)
            seen.append(next(iter(dataset))[0].numpy())
            return dataset

        return made

    for maker in ("train_dataset", "eval_dataset"):
        monkeypatch.setattr(data, maker, recorded(getattr(data, maker)))
    network = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    config = Config(
        normalization=presets.config(name).normalization, epochs=1, stages=1,
        batch_size=10,
    )  # fmt: skip
    training.run(config, splits=splits, network=network)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    assert len(seen) >= 4
    for images in seen:
        expected = np.broadcast_to((image / 255 - mean) / std, images.shape)
        np.testing.assert_allclose(images, expected, atol=1e-5)


def test_normalization_is_fitted_by_default():
    splits = Facts.of("cifar10").stand_in(50)
    fitted = compiled.standardization(Config(), splits)
    pixels = splits.train[0] / 255
    np.testing.assert_allclose(fitted.mean, pixels.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(fitted.std, pixels.std((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("kind", [training, online, memorization])
def test_imagenets_statistics_are_for_rgb_images(kind):
    config = Config(
        model="mlp", width=4, train_size=60, batch_size=20, epochs=1, stages=1,
        method="warm_restart", label_noise=0.4, normalization="imagenet",
    )  # fmt: skip
    with pytest.raises(
        ValueError, match="`normalization` must be 'fitted' unless.*1 ch"
    ):
        kind.run(config)


@pytest.fixture(scope="module")
def resnet18():
    return models.resnet18((32, 32, 3), 10, width=2)


@pytest.mark.parametrize(
    ("stages", "blocks"), [(2, 2), (5, 5), (10, 5), (20, 5), (25, 5)]
)
@pytest.mark.parametrize("name", ["cifar10/table", "cifar100/noise"])
def test_blocks_of_layerwise_are_the_papers(name, stages, blocks, resnet18):
    config = dataclasses.replace(
        presets.config(name), method="layerwise", stages=stages, regularization="none"
    )
    model = compiled.wrapped(config, resnet18)
    ends = [la for la in model.layers if isinstance(la, BlockNormalization)]
    assert len(ends) == blocks
    repeats = stages // blocks
    kept = [kept_blocks(stage, stages, blocks) for stage in range(1, stages)]
    assert kept == [-(-stage // repeats) for stage in range(1, stages)]


@pytest.mark.parametrize(
    ("num_blocks", "stages", "expected"),
    [(None, 2, 2), (None, 5, 5), (None, 20, 9), (3, 5, 3), (3, 2, 2)],
)
def test_blocks_are_at_most_the_stages(num_blocks, stages, expected, resnet18):
    config = Config(method="layerwise", stages=stages, num_blocks=num_blocks)
    model = compiled.wrapped(config, resnet18)
    ends = [la for la in model.layers if isinstance(la, BlockNormalization)]
    assert len(ends) == expected


@pytest.mark.parametrize("name", FULL_SCALE)
def test_the_reported_epoch_is_that_of_early_stopping(name):
    given = presets.flags(name)
    assert given["report_epoch"] == ["best"]
    tune = "standard" if name.startswith("tiny_imagenet") else "each"
    assert name.endswith("/stem") or given["tune"] == [tune]


def row(stages, final, best):
    config = Config(method="shrink_perturb", regularization="DCW", stages=stages)
    made = {"status": "ok", "config": dataclasses.asdict(config)}
    for when, (validation, test) in (("final", final), ("best", best)):
        made[when] = {"validation_accuracy": validation, "test_accuracy": test}
    return made


def test_the_page_takes_both_accuracies_from_the_reported_epoch():
    rows = [row(2, (0.9, 0.1), (0.91, 0.2)), row(5, (0.8, 0.3), (0.95, 0.4))]
    key = ("DCW", "shrink_perturb")
    assert full_scale.means(rows) == {key: pytest.approx(0.1)}
    assert full_scale.means(rows, "best") == {key: pytest.approx(0.4)}


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("stem_stride", 2, "stem stride 2"),
        ("normalization", "imagenet", "imagenet normalization"),
        ("crop_padding", 4, "crop padding 4"),
    ],
)
def test_rows_that_differ_are_told_apart_and_old_ones_have_the_default(
    field, value, name
):
    config = dataclasses.asdict(Config(model="resnet18"))
    old = {key: one for key, one in config.items() if key != field}
    assert len(set(names([{"config": old}, {"config": config}]))) == 1
    new = {**config, field: value}
    told = [setting for setting, _ in names([{"config": old}, {"config": new}])]
    assert told[1].endswith(f", {name}") and told[0] != told[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"stem_stride": 3, "model": "resnet18"},
            r"`stem_stride` must be one of \(1, 2",
        ),
        (
            {"stem_stride": 2, "model": "mlp"},
            "`stem_stride` must be 1 for mlp and small",
        ),
        ({"stem_stride": 2}, "`stem_stride` must be 1 .*model='small_cnn'"),
        ({"normalization": "zca"}, r"`normalization` must be one of \('fitted'"),
        ({"crop_padding": -1}, "`crop_padding` must be an integer >= 0"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Config(**change)
