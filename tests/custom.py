"""A layer of which a test says what it begins with."""

import keras
from keras import layers


class Own(layers.Layer):
    """A layer of which a test says what it begins with."""

    def __init__(self, make, **kwargs):
        super().__init__(**kwargs)
        self.make = make

    def build(self, input_shape):
        self.make(self)

    def call(self, x):
        return x

    def get_config(self):
        return {**super().get_config(), "make": self.make}


def own_model(make):
    return keras.Sequential([keras.Input((4,)), Own(make)])
