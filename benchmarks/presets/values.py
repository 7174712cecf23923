"""The values of what the full-scale presets choose, as strings for a table.

Each function takes a `Preset`.
"""

import dataclasses
import functools
import inspect

import keras

from benchmarks import presets
from keras_reinit import models
from keras_reinit.data import DATASETS, Facts
from keras_reinit.graph import blocks
from keras_reinit.keras_internals import rate_of
from keras_reinit.study import Study
from keras_reinit.training.compiled import optimizer


class Preset:
    """What the flags of a preset come to.

    Attributes:
        flags: Dict from each flag to its values, a list of strings.
        config: A `Config` with augmentation, annealing and weight decay.
        facts: The `Facts` of its data set.
    """

    def __init__(self, name):
        self.flags = presets.flags(name)
        self.config = dataclasses.replace(presets.config(name), regularization="DCW")
        self.facts = Facts.of(self.config.dataset)

    def given(self, name):
        """The values of a flag or, where it is not set, its default."""
        defaults = {**presets.DEFAULTS, "tuning_seeds": Study().tuning_seeds}
        values = self.flags.get(name) or [str(defaults[name])]
        return ", ".join(values)

    @property
    def network(self):
        """Its network, narrow: widths do not matter to what is read from it."""
        config = self.config
        return _narrow(config.model, self.facts.shape, config.stem_stride)


@functools.cache
def _narrow(model, shape, stem_stride):
    return models.MODELS[model](shape, 2, width=4, stem_stride=stem_stride)


def width(preset):
    """Channels of the network's first block."""
    default = inspect.signature(models.MODELS[preset.config.model]).parameters["width"]
    return str(preset.config.width or default.default)


def stem(preset):
    """Kernel and stride of the network's first convolution."""
    layer = preset.network.get_layer("stem_conv")
    return f"{'x'.join(map(str, layer.kernel_size))}, stride {layer.strides[0]}"


def mobilenet_form(preset):
    """The strides that are 2 on ImageNet."""
    names = ("stem_conv", "stage2_block1_depthwise_conv")
    strides = [str(preset.network.get_layer(name).strides[0]) for name in names]
    return f"strides {' and '.join(strides)} in the stem and the second stage"


def initializer(preset):
    """Of kernels."""
    scaling = preset.network.get_layer("stem_conv").kernel_initializer
    return f"variance {scaling.scale:g} / {scaling.mode}"


def batch_norm(preset):
    """The constants of the network's BatchNorm layers."""
    kind = keras.layers.BatchNormalization
    layer = next(one for one in preset.network.layers if isinstance(one, kind))
    return f"momentum {layer.momentum}, epsilon {layer.epsilon}"


def epochs(preset):
    """The budget."""
    share = "in each stage" if preset.config.full_budget else "all stages together"
    return f"{preset.config.epochs}, {share}"


def stage_epochs(preset):
    """For each number of stages."""
    counts = preset.flags["stages"]
    return ", ".join(str(preset.config.epochs // int(count)) for count in counts)


def split(preset):
    """Numbers of training and validation images."""
    facts, steps = preset.facts, preset.facts.train // preset.config.batch_size
    return f"{facts.train:,} / {facts.validation:,}, {steps} steps an epoch"


def test_images(preset):
    """Their number, and what tensorflow-datasets calls them."""
    return f"{preset.facts.test:,}, split {DATASETS[preset.facts.name].test_split!r}"


def sgd(preset):
    """The optimizer."""
    made = optimizer(preset.config, 1)
    nesterov = "with" if made.nesterov else "without"
    return f"{type(made).__name__}, momentum {made.momentum:g}, {nesterov} Nesterov"


def annealing(preset):
    """The schedule of the learning rate, with C."""
    config = dataclasses.replace(preset.config, method="shrink_perturb")
    lowest = rate_of(optimizer(config, 1)).alpha
    return f"cosine to {lowest:g}, {'in each stage' if config.restarts else 'once'}"


def decay(preset):
    """The form of weight decay."""
    return f"{preset.given('weight_decay_mode')}, of all weights"


def padding(preset):
    """Pixels, for the images of the data set."""
    side = preset.facts.shape[0]
    return f"{preset.config.augmentation(side, flip=True)[0].pad} at {side}x{side}"


def layerwise(preset):
    """Pairs (K, M) for each number of stages."""
    most = int(preset.given("num_blocks"))
    pairs = [(min(most, int(t)), int(t)) for t in preset.flags["stages"]]
    return ", ".join(f"({k}, {t // k})" for k, t in pairs)


def block_ends(preset):
    """Names of the last layers of the blocks."""
    return ", ".join(
        block.name for block in blocks(preset.network, preset.config.num_blocks)
    )
