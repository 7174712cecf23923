"""Text: a small Transformer learns the next character of Python's own manual.

    python -m benchmarks.examples.text_transformer

The manual's pages come with every Python. Optimizer state starts again only where
weights changed, so that the learning-rate schedule spans the whole training.
"""

from pydoc_data import topics

import keras
import numpy as np

from benchmarks.examples.compare import Example, main
from keras_reinit import ShrinkPerturb, per_variable_steps

CHARACTERS = [chr(code) for code in range(32, 127)]
LENGTH = 48
TRAIN, TEST = 3000, 500
WIDTH = 64


def load():
    """Sequences of characters and of what follows each; other pages to test on."""
    pages = [topics.topics[name] for name in sorted(topics.topics)]
    cut = len(pages) * 4 // 5
    return _sequences(pages[:cut], TRAIN), _sequences(pages[cut:], TEST)


def _sequences(pages, count):
    number = {character: i for i, character in enumerate(CHARACTERS)}
    text = " ".join(" ".join(pages).split())
    codes = np.array([number.get(character, 0) for character in text])
    starts = np.linspace(0, len(codes) - LENGTH - 1, count).astype(int)
    windows = codes[starts[:, None] + np.arange(LENGTH + 1)]
    return windows[:, :-1], windows[:, 1:]


class Positions(keras.layers.Layer):
    """Adds a learned vector to each position."""

    def build(self, input_shape):
        self.table = self.add_weight(name="table", shape=input_shape[1:])

    def call(self, inputs):
        return inputs + self.table


def build():
    """Two pre-norm blocks of causal attention."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = Positions()(keras.layers.Embedding(len(CHARACTERS), WIDTH)(inputs))
    for _ in range(2):
        y = keras.layers.LayerNormalization()(x)
        attention = keras.layers.MultiHeadAttention(num_heads=4, key_dim=WIDTH // 4)
        x = x + attention(y, y, use_causal_mask=True)
        y = keras.layers.LayerNormalization()(x)
        y = keras.layers.Dense(2 * WIDTH, activation="gelu")(y)
        x = x + keras.layers.Dense(WIDTH)(y)
    outputs = keras.layers.Dense(len(CHARACTERS))(keras.layers.LayerNormalization()(x))
    model = keras.Model(inputs, outputs)
    model.compile(
        per_variable_steps(keras.optimizers.AdamW(2e-3)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


EXAMPLE = Example(
    load,
    build,
    method=lambda schedule, seed: ShrinkPerturb(
        schedule, shrink=0.8, optimizer_state="reinitialized", seed=seed
    ),
    metric="accuracy",
    epochs=20,
    stages=4,
)

if __name__ == "__main__":
    main(EXAMPLE)
