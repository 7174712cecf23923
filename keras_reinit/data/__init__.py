"""Data sets, label noise, augmentation and tf.data pipelines."""

from keras_reinit.data.augment import PadCropFlip
from keras_reinit.data.datasets import DATASETS, Splits, load
from keras_reinit.data.images import Standardize
from keras_reinit.data.label_noise import SymmetricNoise
from keras_reinit.data.pipeline import eval_dataset, train_dataset

__all__ = [
    "DATASETS",
    "PadCropFlip",
    "Splits",
    "Standardize",
    "SymmetricNoise",
    "eval_dataset",
    "load",
    "train_dataset",
]
