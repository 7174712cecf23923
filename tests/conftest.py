import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
from contract import toy_data


@pytest.fixture(autouse=True, scope="session")
def untuned_arrays():
    """Arrays given to `fit` come without the thread that tunes tf.data's buffers.

    Where a model is garbage, so are its iterators, and each waits until that thread has
    slept, for up to a minute.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    from keras_reinit.data.pipeline import untuned

    plain = ArrayDataAdapter.get_tf_dataset
    ArrayDataAdapter.get_tf_dataset = lambda self: untuned(plain(self))
    yield
    ArrayDataAdapter.get_tf_dataset = plain


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def toy():
    return toy_data()


@pytest.fixture
def toy_model():
    """Builds the same kind of small network at every call, compiled on request."""

    def build(optimizer=None, wrap=None, **kwargs):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, name="first"),
                keras.layers.BatchNormalization(momentum=0.5, name="norm"),
                keras.layers.ReLU(name="relu"),
                keras.layers.Dense(8, name="second"),
                keras.layers.ReLU(name="relu2"),
                keras.layers.Dense(3, name="logits"),
            ]
        )
        model = wrap(model) if wrap else model
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
        if hasattr(wrap, "use_ema"):
            part = getattr(optimizer, "inner_optimizer", optimizer)
            part.use_ema, part.ema_momentum = True, 0.5
        model.compile(optimizer, loss=loss, **kwargs)
        return model

    return build


@pytest.fixture
def parsed(monkeypatch):
    """Parses flags of a script into flag values of their own."""
    from absl import flags

    def parse(define, *arguments):
        values = flags.FlagValues()
        for name in ("DEFINE_string", "DEFINE_integer", "DEFINE_float", "DEFINE_bool",
                     "DEFINE_enum", "DEFINE_list", "DEFINE_alias"):  # fmt: skip
            plain = getattr(flags, name)
            monkeypatch.setattr(
                flags,
                name,
                lambda *a, plain=plain, **kw: plain(*a, flag_values=values, **kw),
            )
        monkeypatch.setattr(flags, "FLAGS", values)
        define()
        values(["script", *arguments])
        return values

    return parse
