"""Who teaches: students of their own last generation, or of an ensemble."""

from keras_reinit.distillation.born_again import BornAgain
from keras_reinit.distillation.generations import SaveGenerations, ensemble
from keras_reinit.distillation.loss import DistillationLoss
from keras_reinit.distillation.teacher_cache import TeacherCache, keyed

__all__ = [
    "BornAgain",
    "DistillationLoss",
    "SaveGenerations",
    "TeacherCache",
    "ensemble",
    "keyed",
]
