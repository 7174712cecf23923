"""Lets a stream of batches go on where an interrupted training goes on."""

import keras


class StartAtEpoch(keras.callbacks.Callback):
    """Lets the data begin where the training begins.

    For `fit(initial_epoch=...)` and after `keras.callbacks.BackupAndRestore`: a stream
    that begins anew would show the first epochs' batches again.

    Args:
        stream: What `train_dataset` returned, and `fit` is given.

    Raises:
        ValueError: If `stream` is not that.

    Example:

    >>> images, labels = np.zeros((8, 2, 2, 1), "uint8"), np.arange(8) % 2
    >>> standardize = data.Standardize.fit(images)
    >>> stream = data.train_dataset(
    ...     images, labels, 4, seed=0, standardize=standardize, num_classes=2)
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.fit(
    ...     stream, initial_epoch=3, epochs=4, steps_per_epoch=2, verbose=0,
    ...     callbacks=[StartAtEpoch(stream)])
    >>> int(stream.initial_epoch)
    3
    """

    def __init__(self, stream):
        super().__init__()
        if not hasattr(stream, "initial_epoch"):
            raise ValueError(
                "`stream` must be what `train_dataset` returned; what is made of it, "
                "as by `map`, does not know where to begin. Received: "
                f"stream={stream!r}"
            )
        self.stream = stream
        self._begins = False

    def on_train_begin(self, logs=None):
        self._begins = True

    def on_epoch_begin(self, epoch, logs=None):
        # Keras makes the iterator after this, and keeps it for the later epochs.
        if self._begins:
            self.stream.initial_epoch.assign(epoch)
        self._begins = False
