"""All that decides the result of one run, as one frozen value."""

import dataclasses

from keras_reinit import data, models
from keras_reinit.arguments import (
    check_choice,
    check_not_negative,
    check_positive,
    check_share,
    checked_integer,
    checked_type,
)
from keras_reinit.callback import OPTIMIZER_STATES
from keras_reinit.distillation import DistillationLoss
from keras_reinit.methods import (
    Dash,
    DenseSparseDense,
    FullReinit,
    HareTortoise,
    KnowledgeEvolution,
    LaterLayerForgetting,
    LayerwiseReinit,
    ReDo,
    Rifle,
    ShrinkPerturb,
    WarmRestart,
    WeightForgetting,
)
from keras_reinit.schedules import Stages

METHODS = (
    "standard",
    "full_reinit",
    "warm_restart",
    "shrink_perturb",
    "layerwise",
    "later_layers",
    "rifle",
    "random_weights",
    "smallest_weights",
    "knowledge_evolution",
    "dense_sparse_dense",
    "dash",
    "hare_tortoise",
    "redo",
    "born_again",
    "warm_restart+distillation",
    "shrink_perturb+distillation",
    "layerwise+distillation",
)
# By their definitions the optimizer, and with it the schedule of its rate, runs on.
RUNNING_ON = ("rifle", "dash", "hare_tortoise", "redo")
REGULARIZATIONS = ("none", "D", "C", "W", "DC", "DW", "CW", "DCW")
NOISES = {
    "symmetric": data.SymmetricNoise,
    "pair_flip": data.PairFlipNoise,
    "asymmetric": data.AsymmetricNoise,
    "instance": data.InstanceNoise,
}
# In the order in which they follow one another.
AUGMENTATIONS = (
    "crop", "crop_flip", "rand_augment", "cutout", "erasing", "mixup", "cutmix",
)  # fmt: skip
# Of fields, the values that there are.
CHOICES = {
    "model": tuple(models.MODELS),
    "method": METHODS,
    "regularization": REGULARIZATIONS,
    "weight_decay_mode": ("l2", "decoupled"),
    "optimizer_state": OPTIMIZER_STATES,
    "dtype_policy": ("float32", "mixed_bfloat16", "mixed_float16"),
    "noise": tuple(NOISES),
    "normalization": ("fitted", "imagenet"),
}
# Of integer fields, the lowest value. `None` is checked by type.
LOWEST = {
    "epochs": 1, "batch_size": 1, "train_size": 1, "validation_size": 1, "width": 1,
    "num_blocks": 1, "steps_per_execution": 1, "crop_padding": 0,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """All that decides the result of one run. Defaults are the study's on digits.

    Attributes:
        dataset: A name that `keras_reinit.data.load` takes; a folder of images by its
            path, which has a `/`.
        model: A name in `keras_reinit.models.MODELS`.
        width: Integer, channels of the first block; `None` for the model's own.
        stem_stride: 1 or 2, stride of the first convolution of a ResNet or
            MobileNetV2. Other models have no stem: it must be 1.
        normalization: `"fitted"`, by mean and standard deviation of the training
            images, or `"imagenet"`, by those of ImageNet (RGB images only).
        method: One of `METHODS`. Every method trains for `epochs` epochs in all.
        regularization: `"none"` or letters of D (augmentation), C (cosine annealing
            in each stage), W (weight decay), such as `"DCW"`.
        augment: Names of `AUGMENTATIONS` joined by `+`, used with D only. Where a
            mirrored image is of another class, `crop` has to stand for `crop_flip`
            (of digits and SVHN it is known).
        crop_padding: Integer >= 0, pixels added on each side before a random crop;
            `None` for an eighth of the height, 4 for 32 pixels.
        label_smoothing: Float in [0, 1), the share of each label that is spread over
            all classes.
        label_noise: Float in [0, 1], the `noise_rate` of `noise`.
        noise: A name in `NOISES`; `"asymmetric"` is for CIFAR-10 and CIFAR-100.
        noisy_validation: Whether the validation labels are noisy as well.
        train_size: Integer, number of training examples; `None` for all.
        validation_size: Integer; `None` for the data set's own, see `data.load`.
        epochs: Integer >= 1, the fixed budget.
        full_budget: Whether each stage has `epochs` epochs, as in Furlanello et al.
            2018, instead of all together: the training is `stages` times as long.
            Standard training stays as it is.
        stages: Integer in [1, epochs].
        batch_size: Integer >= 1.
        learning_rate: Float > 0 (its peak, with C), of SGD with `momentum`.
        momentum: Float in [0, 1).
        weight_decay: Float >= 0, used with W only.
        weight_decay_mode: `"l2"`, the paper's, or `"decoupled"`, Keras' own.
        shrink, perturb: Of Shrink & Perturb.
        num_blocks: Integer, the blocks of layer-wise re-initialization; `None` for
            all that the network has. There are never more than `stages`. With 5, as
            in Zaidi et al. 2022, 2 stages have 2 blocks, and 5, 10 or 20 have 5.
        distillation_weight, temperature: Of Born-Again and `+distillation`.
        optimizer_state: `"fresh"`, `"reinitialized"` or `"keep"`, see `Reinitialize`;
            of no effect on methods that define it (`RUNNING_ON`).
        dtype_policy: One of Keras' names in `CHOICES`; the mixed ones are for GPUs
            and TPUs. Weights, their re-initialization and the loss stay float32.
        steps_per_execution: Integer, steps of one call of the device, which must
            divide those of an epoch; `None` for a whole epoch, if it is at most 32
            steps, else 1.
        seed: Integer >= 0, of everything that is random. Runs that share it share
            split, noise, first weights, batches and augmentation: they are pairs.
    """

    dataset: str = "digits"
    model: str = "small_cnn"
    width: int | None = None
    stem_stride: int = 1
    normalization: str = "fitted"
    method: str = "standard"
    regularization: str = "none"
    augment: str = "crop_flip"
    crop_padding: int | None = None
    label_smoothing: float = 0.0
    label_noise: float = 0.0
    noise: str = "symmetric"
    noisy_validation: bool = True
    train_size: int | None = None
    validation_size: int | None = None
    epochs: int = 100
    full_budget: bool = False
    stages: int = 5
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    weight_decay_mode: str = "l2"
    shrink: float = 0.4
    perturb: float = 0.1
    num_blocks: int | None = None
    distillation_weight: float = 1.0
    temperature: float = 1.0
    optimizer_state: str = "fresh"
    dtype_policy: str = "float32"
    # Of speed only: configs that differ in it are equal.
    steps_per_execution: int | None = dataclasses.field(default=None, compare=False)
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = checked_type(field.name, getattr(self, field.name), field.default)
            object.__setattr__(self, field.name, value)
        for name, known in CHOICES.items():
            check_choice(name, getattr(self, name), known)
        self._check_numbers()
        uneven = self.epochs % self.stages
        if "C" in self.regularization and self.optimizer_state != "fresh" and uneven:
            raise ValueError(
                "`stages` must divide `epochs` where cosine annealing restarts in an "
                f"optimizer that runs on. Received: stages={self.stages}, "
                f"epochs={self.epochs}"
            )
        self._check_data()
        # What is made of the other numbers checks them, whatever the method.
        DistillationLoss(self.temperature)
        ShrinkPerturb(
            self.schedule, self.shrink, self.perturb,
            optimizer_state=self.optimizer_state, seed=self.seed,
        )  # fmt: skip

    def _check_numbers(self):
        for name, low in LOWEST.items():
            if getattr(self, name) is not None:
                checked_integer(name, getattr(self, name), low)
        checked_integer("stages", self.stages, 1, self.epochs)
        check_choice("stem_stride", self.stem_stride, (1, 2))
        if self.stem_stride > 1 and self.model in ("mlp", "small_cnn"):
            raise ValueError(
                "`stem_stride` must be 1 for mlp and small_cnn, which have no stem. "
                f"Received: stem_stride={self.stem_stride}, model={self.model!r}"
            )
        if self.batch_size > (self.train_size or self.batch_size):
            raise ValueError(
                f"`batch_size` must be in [1, train_size={self.train_size}]. "
                f"Received: batch_size={self.batch_size}"
            )
        check_positive("learning_rate", self.learning_rate)
        check_not_negative("weight_decay", self.weight_decay)
        check_not_negative("distillation_weight", self.distillation_weight)
        for name in ("momentum", "label_smoothing"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"`{name}` must be in [0, 1). Received: {name}={value!r}"
                )

    def _check_data(self):
        check_share("label_noise", self.label_noise)
        if self.noise == "asymmetric" and self.dataset not in ("cifar10", "cifar100"):
            raise ValueError(
                "`noise` must not be 'asymmetric' but for cifar10 and cifar100, which "
                f"have a map. Received: dataset={self.dataset!r}"
            )
        unknown = set(self.augment.split("+")) - set(AUGMENTATIONS)
        if unknown:
            raise ValueError(
                f"`augment` must be of {', '.join(AUGMENTATIONS)}, joined by '+'. "
                f"Received: augment={self.augment!r}"
            )

    def label_noise_value(self):
        """The `LabelNoise` of the run, or `None`."""
        if self.label_noise == 0:
            return None
        if self.noise == "asymmetric":
            return getattr(data.AsymmetricNoise, self.dataset)(self.label_noise)
        return NOISES[self.noise](self.label_noise)

    def augmentation(self, side, flip):
        """The augmentations of the run, in their order.

        Args:
            side: Integer, height of the images; sizes are in proportion to it, except
                for `crop_padding`.
            flip: Whether a mirrored image keeps its class.
        """
        # For 32 pixels the literature's pad of 4 and CIFAR-10's square of 16.
        padding = self.crop_padding
        padding = max(1, side // 8) if padding is None else padding
        makers = {
            "crop": lambda: data.PadCropFlip(padding, flip=False),
            "crop_flip": lambda: data.PadCropFlip(padding, flip),
            "rand_augment": data.RandAugment,
            "cutout": lambda: data.Cutout(max(1, side // 2)),
            "erasing": data.RandomErasing,
            "mixup": data.MixUp,
            "cutmix": data.CutMix,
        }
        chosen = self.augment.split("+") if "D" in self.regularization else ()
        return tuple(makers[name]() for name in AUGMENTATIONS if name in chosen)

    @property
    def schedule(self):
        """The `Stages` of the run."""
        longer = self.full_budget and self.method != "standard"
        return Stages(self.epochs * (self.stages if longer else 1), self.stages)

    @property
    def restarts(self):
        """Whether the learning-rate schedule begins again with each stage."""
        return self.method not in ("standard", *RUNNING_ON)

    @property
    def distills(self):
        """Whether a stage learns from the one before."""
        return self.method == "born_again" or self.method.endswith("+distillation")

    def callback(self):
        """The re-initialization callback, or `None` for standard training.

        That of `"dash"` has to be given its `data`.
        """
        shared = {"optimizer_state": self.optimizer_state}
        seeded = {**shared, "seed": self.seed}
        schedule = self.schedule
        makers = {
            "standard": lambda: None,
            "warm_restart": lambda: WarmRestart(schedule, **shared),
            "shrink_perturb": lambda: ShrinkPerturb(
                schedule, self.shrink, self.perturb, **seeded
            ),
            "layerwise": lambda: LayerwiseReinit(schedule, **seeded),
            "later_layers": lambda: LaterLayerForgetting(schedule, **seeded),
            "rifle": lambda: Rifle(schedule, seed=self.seed),
            "dash": lambda: Dash(schedule),
            "hare_tortoise": lambda: HareTortoise(schedule),
            "redo": lambda: ReDo(schedule, seed=self.seed),
            "knowledge_evolution": lambda: KnowledgeEvolution(schedule, **seeded),
            "dense_sparse_dense": lambda: DenseSparseDense(
                schedule, final_rate=1.0, **shared
            ),
            "random_weights": lambda: WeightForgetting(schedule, **seeded),
            "smallest_weights": lambda: WeightForgetting(
                schedule, choice="magnitude", **seeded
            ),
            "full_reinit": lambda: FullReinit(schedule, **seeded),
            "born_again": lambda: FullReinit(schedule, **seeded),
        }
        return makers[self.method.removesuffix("+distillation")]()
