"""The compiled model of a run, from its config; and models that many runs share."""

import contextlib
import dataclasses

import keras

from keras_reinit import data, models
from keras_reinit.distillation import BornAgain
from keras_reinit.distillation.outputs import Output, check_outputs
from keras_reinit.fresh.recipes import find_recipes
from keras_reinit.fresh.weights import fresh_draws
from keras_reinit.graph import BlockNormalization, add_block_normalization, blocks
from keras_reinit.keras_internals import rate_of
from keras_reinit.network import all_layers, network_of
from keras_reinit.optimizers import reset_optimizer
from keras_reinit.optimizers.weight_decay import WeightDecay, add_weight_decay
from keras_reinit.training.evaluation import evaluator
from keras_reinit.units import add_unit_statistics

# What of a config changes values of a training, but no operation of its graph.
VALUES = (
    "method", "learning_rate", "weight_decay", "shrink", "perturb", "optimizer_state",
    "label_noise", "noise", "noisy_validation", "seed",
)  # fmt: skip

IMAGENET = data.Standardize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Compiled:
    """A compiled model with its first weights, which can be given to it again.

    Args:
        config: A `Config`.
        splits: The data of the run, of `keras_reinit.training.load`.
        network: See `keras_reinit.training.run`.

    Attributes:
        model: The compiled `keras.Model`.
        network: The network inside of it that is trained.
        evaluate: What `evaluator` returns for the model.
    """

    def __init__(self, config, splits, network=None):
        self.network = network_for(config, splits) if network is None else network
        check_outputs(self.network, [Output("output", "kl", from_logits=True)])
        self._recipes = find_recipes(self.network)
        self._draw(config)  # All methods begin at the same weights, so it comes first.
        with dtype_policy(self.network.dtype_policy):
            self.model = wrapped(config, self.network)
        self._penalty = _penalty(self.model)
        compile_for(config, splits, self.model)
        self.evaluate = evaluator(self.model)
        own = {id(v) for v in self.network.weights}
        others = [v for v in self.model.variables if id(v) not in own]
        self._others = [(v, keras.ops.convert_to_numpy(v)) for v in others]

    @property
    def parameters(self):
        """The number of the network's weights."""
        return network_of(self.model).count_params()

    def start_again(self, config):
        """Makes it what is built for another config of the same `graph`."""
        self._draw(config)
        for variable, first in self._others:
            variable.assign(first)
        optimizer = self.model.optimizer
        reset_optimizer(optimizer)
        if _anneals(config):
            # In mixed_float16 Keras wraps the optimizer.
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            rate_of(inner).initial_learning_rate.assign(config.learning_rate)
        else:
            optimizer.learning_rate = config.learning_rate
        if self._penalty:
            self._penalty.l2.assign(config.weight_decay / 2)

    def _draw(self, config):
        for variable, draw in fresh_draws(self._recipes, config.seed):
            variable.assign(draw())


class CompiledModels:
    """Compiled models to be trained by one run after another, in one process.

    A small network takes longer to be built and traced than to be trained. A run that
    fails does not give its model back: the next one has a new one.

    Args:
        limit: Integer, how many are kept. Those that were used last are.
    """

    def __init__(self, limit=8):
        self._limit = limit
        self._kept = {}

    def take(self, config, splits):
        """Returns a `Compiled` as a newly built one."""
        known = self._kept.pop(graph(config, splits), None)
        # A compiled step of JAX would keep the first learning rate.
        if known is None or keras.backend.backend() == "jax":
            return Compiled(config, splits)
        known.start_again(config)
        return known

    def give_back(self, config, splits, compiled):
        """Keeps a model for a later run."""
        self._kept[graph(config, splits)] = compiled
        while len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]


def graph(config, splits):
    """All that decides the operations of a training step, as a hashable value."""
    fields = dataclasses.asdict(config)
    for name in VALUES:
        del fields[name]
    return (
        tuple(sorted(fields.items())),
        splits.train[0].shape,
        splits.num_classes,
        config.method.startswith("layerwise"),
        config.method == "hare_tortoise",
        config.method == "redo",
        config.distills,
        _span(config) if _anneals(config) else None,
        bool(config.weight_decay) if _is_l2(config) else config.weight_decay,
    )


def network_for(config, splits):
    """Builds the reference network that a config names, for some data."""
    form = {} if config.width is None else {"width": config.width}
    if config.stem_stride != 1:  # Some networks have no stem.
        form["stem_stride"] = config.stem_stride
    shape = splits.train[0].shape[1:]
    with dtype_policy(config.dtype_policy):
        return models.MODELS[config.model](shape, splits.num_classes, **form)


@contextlib.contextmanager
def dtype_policy(policy):
    """Lets layers that are built inside have a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def wrapped(config, network):
    """The uncompiled model of a run: a network and what its method needs."""
    model = with_block_normalization(config, network)
    if config.method == "redo":
        model = add_unit_statistics(model)
    if _is_l2(config):
        add_weight_decay(model, config.weight_decay)
    if config.distills:
        return BornAgain(model, config.distillation_weight, config.temperature)
    return model


def with_block_normalization(config, network):
    """The network with the layers that layer-wise re-initialization needs, once."""
    is_done = any(isinstance(one, BlockNormalization) for one in all_layers(network))
    if is_done or not config.method.startswith("layerwise"):
        return network
    count = config.num_blocks or len(blocks(network))
    return add_block_normalization(network, min(count, config.stages))


def num_steps(config, splits):
    """Steps an epoch: whole batches only."""
    return len(splits.train[1]) // config.batch_size


def standardization(config, splits):
    """The `Standardize` of a run, for its images.

    Raises:
        ValueError: For ImageNet's statistics with images that are not RGB.
    """
    if config.normalization == "fitted":
        return data.Standardize.fit(splits.train[0])
    channels = splits.train[0].shape[-1]
    if channels != 3:
        raise ValueError(
            "`normalization` must be 'fitted' unless images have 3 channels. Received: "
            f"normalization={config.normalization!r}, {channels} channels"
        )
    return IMAGENET


def augmentation(config, splits):
    """The augmentations of a run, for its images."""
    return config.augmentation(splits.train[0].shape[1], splits.flip)


def one_hot(config, splits):
    """The number of classes where labels have to be vectors, else `None`."""
    mixes = any(one.mixes_labels for one in augmentation(config, splits))
    return splits.num_classes if mixes or config.label_smoothing else None


def compile_for(config, splits, model):
    """Compiles a model with the loss, metrics and optimizer of a config."""
    steps = num_steps(config, splits)
    # Unlike the loss, the metric is without penalties and smoothing.
    if one_hot(config, splits) is not None:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        )
        cross_entropy = keras.metrics.CategoricalCrossentropy
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        cross_entropy = keras.metrics.SparseCategoricalCrossentropy
    model.compile(
        optimizer=optimizer(config, steps),
        loss=loss,
        metrics=["accuracy", cross_entropy("cross_entropy", from_logits=True)],
        steps_per_execution=_steps_per_execution(config, steps),
    )


def _steps_per_execution(config, steps):
    # The whole epoch in one call, where it is short: no Python between steps.
    return config.steps_per_execution or (steps if steps <= 32 else 1)


def optimizer(config, steps):
    """The optimizer of a run of so many steps an epoch."""
    rate = config.learning_rate
    if _anneals(config):
        # It spans the longest stage, so that the last one ends at zero.
        # A fresh optimizer counts from 0 again; one that is kept needs the restarts.
        rate = keras.optimizers.schedules.CosineDecayRestarts(
            keras.Variable(rate, trainable=False, name="peak"),  # Next run, another.
            first_decay_steps=_span(config) * steps,
            t_mul=1.0,
        )
    decoupled = "W" in config.regularization and not _is_l2(config)
    return keras.optimizers.SGD(
        rate,
        momentum=config.momentum,
        use_ema=config.method == "hare_tortoise",
        ema_momentum=0.999,
        weight_decay=config.weight_decay if decoupled else None,
    )


def _anneals(config):
    return "C" in config.regularization


def _span(config):
    schedule = config.schedule
    return schedule.stage_epochs if config.restarts else schedule.total


def _is_l2(config):
    return "W" in config.regularization and config.weight_decay_mode == "l2"


def _penalty(model):
    """The one penalty of all weights, with a factor that can be changed; or None."""
    for variable in model.trainable_variables:
        penalty = variable.regularizer
        if isinstance(penalty, WeightDecay):
            penalty.l2 = keras.Variable(penalty.l2, trainable=False, name="factor")
            return penalty
    return None
