"""How a network's units, features and weights fare while it trains, in the logs."""

import keras
import numpy as np

from keras_reinit.arguments import check_choice, check_not_negative
from keras_reinit.diagnostics.forward import run
from keras_reinit.diagnostics.gradients import Gradients, check_loss
from keras_reinit.diagnostics.plasticity import (
    dormant,
    effective_rank,
    norm,
    singular_values,
    srank,
    stable_rank,
)
from keras_reinit.graph import blocks
from keras_reinit.graph.layer_graph import output_layers
from keras_reinit.graph.layer_kinds import has_kernel
from keras_reinit.neighbors import check_after
from keras_reinit.network import network_of
from keras_reinit.units import Units

ROWS = 2048  # Of the features whose ranks are measured.
RANKS = {"effective_rank": effective_rank, "stable_rank": stable_rank, "srank": srank}
UNIT_MEASURES = ("dormant_units", "dead_units", *RANKS)
MEASURES = (*UNIT_MEASURES, "weight_norm", "gradient_norm")


class Diagnostics(keras.callbacks.Callback):
    """Logs measures of plasticity at the beginning and the end of each epoch.

    Logs, and with them `History`, `CSVLogger` and `TensorBoard` after this callback,
    gain, at the end of each epoch:

    - `dormant_units`, `dead_units`: shares in [0, 1] of the hidden units, dormant by
      the score of Sokar et al. 2023 (arXiv 2302.12902), or never active at all;
    - `effective_rank` (Roy & Vetterli 2007), `stable_rank` (||A||_F^2 / ||A||_2^2) and
      `srank` (Kumar et al. 2021, arXiv 2010.14498, with delta 0.01; Dohare et al. 2024
      call it stable rank): of the features that the last layer with a kernel takes
      (with several outputs, of all their features side by side);
    - `weight_norm`, `gradient_norm`: Euclidean norms over all trained weights, the
      gradient that of the loss without penalties, in training mode, on the probe;
    - `update_norm`, `distance_from_init`: of the weights' change since the epoch's
      begin, and since the training's;
    - `change_<block>`: that change over the norm at the begin, in each of
      `keras_reinit.blocks` and in the `head`.

    With `begin_` before it, the first seven at the beginning of the epoch: right after
    an event, where the epoch before ended right before it. A model without a layer
    graph has no units or features to measure, and one block.

    It costs two copies of the weights in memory and, each epoch, a forward pass over
    the probe, with labels a training step on it; after an event the same again.

    Args:
        x: The probe: inputs as the model takes them, a few hundred examples.
        y: Their labels, for the gradient, or `None` to do without.
        threshold: Float >= 0, the score up to which a unit is dormant.

    Place it after the re-initialization callback.

    Raises:
        ValueError: For an argument out of its range; when training begins, if it stands
            before a re-initialization, or, with labels, for a model that overrides
            `train_step` or `compute_loss`.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(8, activation="relu"),
    ...     keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y = np.random.default_rng(0).normal(size=(16, 3)), np.ones((16, 1))
    >>> diagnostics = Diagnostics(x, y)
    >>> callbacks = [ShrinkPerturb(Stages(epochs=4, stages=2)), diagnostics]
    >>> history = model.fit(x, y, epochs=4, callbacks=callbacks, verbose=0).history
    >>> len(history["dormant_units"]), len(history["begin_effective_rank"])
    (4, 4)
    """

    def __init__(self, x, y=None, threshold=0.025):
        super().__init__()
        check_not_negative("threshold", threshold)
        self.x = x
        self.y = y
        self.threshold = threshold

    def on_train_begin(self, logs=None):
        check_after(self)
        if not network_of(self.model).built:
            raise ValueError(
                "`model` must be built: give it an `Input`, or call it once. "
                f"Received: model={self.model!r}"
            )
        if self.y is not None:
            check_loss(self.model)
        self._gradients = None
        self._first = self._end = self._measured = None

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = self._weights()
        if self._first is None:
            self._first = self._begin
        if self._end is None or _differ(self._begin, self._end):
            self._measured = self.measure()
        self._at_begin = self._measured

    def on_epoch_end(self, epoch, logs=None):
        self._end, self._measured = self._weights(), self.measure()
        logs.update({f"begin_{name}": v for name, v in self._at_begin.items()})
        logs.update(self._measured)
        logs["update_norm"] = _distance(self._end, self._begin)
        logs["distance_from_init"] = _distance(self._end, self._first)
        for name, places in self._places().items():
            begin = [self._begin[i] for i in places]
            change = _distance([self._end[i] for i in places], begin)
            logs[f"change_{name}"] = change / max(norm(begin), 1e-12)

    def on_train_end(self, logs=None):
        self._gradients = self._first = self._begin = self._end = None

    def measure(self):
        """Dict of the measures of the present weights, floats."""
        if self.model is None:
            raise ValueError(
                "`diagnostics` must be among the callbacks of `fit` where it is a "
                "trigger. Received: no model"
            )
        network = network_of(self.model)
        measures = {}
        if getattr(network, "outputs", None):
            measures = self._of_units(network)
        measures["weight_norm"] = norm(self._weights())
        if self.y is not None:
            if self._gradients is None:
                self._gradients = Gradients(self.model, network)
            found = self._gradients.average((self.x, self.y), 1.0)
            measures["gradient_norm"] = norm(found.values())
        return measures

    def when(self, name, *, above=None, below=None):
        """A trigger, for a re-initialization's `when=`.

        Args:
            name: One of `dormant_units`, `dead_units`, `effective_rank`, `stable_rank`,
                `srank`, `weight_norm` and, with labels, `gradient_norm`.
            above, below: Floats; one of them is the threshold to be crossed.

        Returns:
            Function without arguments that tells whether it is crossed now.

        Example:

        >>> diagnostics = Diagnostics(np.ones((4, 3)))
        >>> callback = ShrinkPerturb(
        ...     Stages(epochs=100, stages=20),
        ...     when=diagnostics.when("dormant_units", above=0.1))
        """
        check_choice("name", name, MEASURES if self.y is not None else MEASURES[:-1])
        if (above is None) == (below is None):
            raise ValueError(
                "`above` or `below` must be the threshold. "
                f"Received: above={above}, below={below}"
            )
        if above is not None:
            return lambda: self.measure()[name] > above
        return lambda: self.measure()[name] < below

    def _of_units(self, network):
        units = Units(network)
        points = {id(node): ids for node, ids in units.points}
        heads = {id(one) for one in output_layers(network) if has_kernel(one)}
        seen, awake, alive = np.zeros((3, len(units.free)), bool)
        features = []

        def visit(node, taken, results):
            if id(node) in points:
                ids, size = points[id(node)], np.abs(_rows(results[0]))
                seen[ids] = True
                awake[ids[~dormant(size.mean(0), self.threshold)]] = True
                alive[ids[size.max(0) > 0]] = True
            if id(node.operation) in heads:
                features.append(_rows(taken[0])[:ROWS])

        run(network, self.x, visit)
        hidden = seen & ~units.whole
        count = max(hidden.sum(), 1)
        # Side by side, cut to as many rows; a model without a kernel has none.
        features = features or [np.zeros((1, 1))]
        rows = min(len(one) for one in features)
        matrix = np.concatenate([one[:rows] for one in features], axis=1)
        values = singular_values(matrix)
        return {
            "dormant_units": float((hidden & ~awake).sum() / count),
            "dead_units": float((hidden & ~alive).sum() / count),
            **{name: float(rank(values)) for name, rank in RANKS.items()},
        }

    def _weights(self):
        network = network_of(self.model)
        # Copies: a variable may change in place.
        return [
            np.array(keras.ops.convert_to_numpy(v), "float32")
            for v in network.trainable_variables
        ]

    def _places(self):
        """Positions of the weights of each block, and of the head, by name."""
        network = network_of(self.model)
        place = {id(v): i for i, v in enumerate(network.trainable_variables)}
        found = {}
        try:
            for block in blocks(network):
                own = [place.pop(id(v)) for v in block.weights if id(v) in place]
                found[block.name] = own
        except ValueError:
            pass  # No graph, or a single layer: all is the head.
        return {**found, "head": list(place.values())}


def _rows(tensor):
    array = np.asarray(keras.ops.convert_to_numpy(tensor), "float32")
    return array.reshape(-1, array.shape[-1])


def _differ(some, others):
    return not all(map(np.array_equal, some, others))


def _distance(some, others):
    return norm([a - b for a, b in zip(some, others, strict=True)])
