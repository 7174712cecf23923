"""A small training on one device, two replicas or one of two workers, as a program.

    python distributed.py {single|mirrored|worker} METHOD [object|function|string]

where the last says how the loss is named.

Prints, as JSON, the final weights, and whether the replicas held identical weights
after each event. Devices are set up before TensorFlow starts, so this is a process.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from contract import set_up

from keras_reinit import BornAgain, Stages


def strategy(kind):
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if kind == "worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


class Replicas(keras.callbacks.Callback):
    """After each event: are all replicas' weights the same?"""

    def __init__(self, strategy):
        super().__init__()
        self.strategy, self.identical, self.begins = strategy, [], []

    def on_epoch_begin(self, epoch, logs=None):
        for variable in [*self.model.weights, *self.model.optimizer.variables]:
            copies = self.strategy.experimental_local_results(variable.value)
            first, *others = [copy.numpy() for copy in copies]
            self.identical.append(all(np.array_equal(first, o) for o in others))
        self.begins.append(
            np.concatenate([w.ravel() for w in self.model.get_weights()])
        )


def function(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(
        y_true, y_pred, from_logits=True
    )


LOSSES = {
    "object": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "function": function,
    "string": "sparse_categorical_crossentropy",
}


def network(activation=None):
    layers = [
        keras.layers.Dense(8, activation="tanh"),
        keras.layers.Dense(8, activation="tanh"),
        keras.layers.Dense(3, activation=activation),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


def by_hand(model, dataset, callbacks, strategy):
    """The loop of `fit`, which Keras does not run on several workers (keras#20585)."""
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    batches = strategy.experimental_distribute_dataset(dataset)
    callbacks = keras.callbacks.CallbackList(callbacks, model=model, epochs=4, steps=4)

    @tf.function
    def step(batch):
        strategy.run(model.train_step, args=(batch,))

    callbacks.on_train_begin()
    for epoch in range(4):
        callbacks.on_epoch_begin(epoch)
        for i, batch in enumerate(batches):
            callbacks.on_train_batch_begin(i)
            step(batch)
        callbacks.on_epoch_end(epoch, {})
    callbacks.on_train_end()


def main(kind, name, loss="object"):
    chosen = strategy(kind)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)).astype("float32"), rng.integers(0, 3, 32)
    with chosen.scope():
        method, model, x = set_up(name, network(), x)
        if loss == "string":
            model = BornAgain(network("softmax"), from_logits=False)
        if loss == "function":
            model = BornAgain(network(), divergence="kl")
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSSES[loss])
    replicas = Replicas(chosen)
    callbacks = [method(Stages(4, 2), seed=3), replicas]
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    losses = []
    if kind == "worker":
        by_hand(model, dataset, callbacks, chosen)
    else:
        fitted = model.fit(dataset, epochs=4, callbacks=callbacks, verbose=0)
        losses = fitted.history["loss"]
    print(
        json.dumps(
            {
                "replicas": chosen.num_replicas_in_sync,
                "identical": bool(all(replicas.identical)),
                "after_event": replicas.begins[2].tolist(),
                "losses": losses,
                "weights": [w.tolist() for w in model.get_weights()],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
