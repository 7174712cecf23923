"""How active each unit is, measured while a model trains."""

import keras

from keras_reinit.arguments import check_model
from keras_reinit.graph.layer_graph import nodes_in_order, with_layers_after
from keras_reinit.units.units import Units


@keras.saving.register_keras_serializable("keras_reinit")
class UnitStatistics(keras.layers.Layer):
    """The identity; keeps how active each feature was in the last training batch.

    Attributes:
        activity: Weight of shape (features,): the mean of |x| over batch and positions,
            one before the first. It is not trained, and part of a saved model.

    Example:

    >>> layer = UnitStatistics()
    >>> _ = layer(np.array([[1.0, -2.0], [3.0, 0.0]]), training=True)
    >>> keras.ops.convert_to_numpy(layer.activity).tolist()
    [2.0, 1.0]
    """

    def build(self, input_shape):
        self.activity = self.add_weight(
            name="activity",
            shape=(input_shape[-1],),
            initializer="ones",
            trainable=False,
            dtype="float32",
            aggregation="mean",  # Over replicas.
        )

    def call(self, inputs, training=None):
        if training:
            axes = tuple(range(len(inputs.shape) - 1))
            size = keras.ops.abs(keras.ops.cast(inputs, "float32"))
            self.activity.assign(keras.ops.mean(size, axis=axes))
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def add_unit_statistics(model, layer=UnitStatistics):
    """Puts a `UnitStatistics` after each activation of a model's hidden units.

    A graph cannot be edited while it trains; this gives what methods on single units
    (`ReDo`) have to know its place before training. It costs one mean of each
    activation a step.

    Args:
        model: A built Functional or Sequential `keras.Model`. Models inside of it are
            left as they are: their units are not measured.
        layer: `UnitStatistics`, or the class of it that a method asks for.

    Returns:
        A new, uncompiled `keras.Model` that computes the same function with the same
        layers and weights (shared, not copied).

    Raises:
        ValueError: For a model without a layer graph, or without hidden units whose
            activation it shows.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(8, activation="relu", name="hidden"),
    ...     keras.layers.Dense(2, name="head")])
    >>> [layer.name for layer in add_unit_statistics(model).layers][1:]
    ['hidden', 'unit_statistics_1', 'head']
    """
    check_model(model)
    if not (isinstance(layer, type) and issubclass(layer, UnitStatistics)):
        raise ValueError(
            "`layer` must be `UnitStatistics` or a class of it. "
            f"Received: layer={layer!r}"
        )
    units, calls = Units(model), {id(node) for node in nodes_in_order(model)}
    nodes = [
        node
        for node, ids in units.points
        if id(node) in calls and units.free[ids].any()
    ]
    if not nodes:
        raise ValueError(
            "`model` must have a hidden layer with an activation that is read by a "
            f"dense layer or a convolution. Received: model={model.name!r}"
        )
    names = (f"unit_statistics_{i}" for i in range(1, len(nodes) + 1))
    return with_layers_after(
        model,
        {id(n): layer(name=name) for n, name in zip(nodes, names, strict=True)},
    )
