"""Data sets, label noise, augmentation and tf.data pipelines."""

from keras_reinit.data.augment import Cutout, PadCropFlip, RandomErasing
from keras_reinit.data.datasets import (
    DATASETS,
    fingerprint,
    from_arrays,
    load,
    public_name,
)
from keras_reinit.data.files import ImageFiles
from keras_reinit.data.human_noise import HumanNoise
from keras_reinit.data.images import Standardize
from keras_reinit.data.instance_noise import InstanceNoise
from keras_reinit.data.keras_layer import KerasLayer
from keras_reinit.data.label_noise import (
    AsymmetricNoise,
    LabelNoise,
    PairFlipNoise,
    SymmetricNoise,
    TransitionNoise,
)
from keras_reinit.data.mixing import CutMix, MixUp
from keras_reinit.data.pairs import (
    CorrectedAccuracy,
    FlippedAccuracy,
    OfPair,
    PairAccuracy,
    UnflippedAccuracy,
)
from keras_reinit.data.pipeline import augment_batch, eval_dataset, train_dataset
from keras_reinit.data.rand_augment import RandAugment
from keras_reinit.data.splits import Splits
from keras_reinit.data.stand_in import Facts
from keras_reinit.data.start_at_epoch import StartAtEpoch

__all__ = [
    "DATASETS",
    "AsymmetricNoise",
    "CorrectedAccuracy",
    "CutMix",
    "Cutout",
    "Facts",
    "FlippedAccuracy",
    "HumanNoise",
    "ImageFiles",
    "InstanceNoise",
    "KerasLayer",
    "LabelNoise",
    "MixUp",
    "OfPair",
    "PadCropFlip",
    "PairAccuracy",
    "PairFlipNoise",
    "RandAugment",
    "RandomErasing",
    "Splits",
    "Standardize",
    "StartAtEpoch",
    "SymmetricNoise",
    "TransitionNoise",
    "UnflippedAccuracy",
    "augment_batch",
    "eval_dataset",
    "fingerprint",
    "from_arrays",
    "load",
    "public_name",
    "train_dataset",
]
