"""Every choice of the full-scale presets: its value, and whether the paper states it.

Values are read from the presets, or from the code where no flag decides them.
"""

import typing

from benchmarks.presets import values

PAPER = "paper"
INFERRED = "inferred from its figures"
OURS = "ours"

CIFAR = ("cifar10/table", "cifar100/table")
TINY = ("tiny_imagenet/table",)
MOBILENET = ("cifar10/mobilenet", "cifar100/mobilenet")
NOISE = ("cifar10/noise", "cifar100/noise", "tiny_imagenet/noise")


class Choice(typing.NamedTuple):
    """One choice.

    Attributes:
        name: What is chosen.
        source: `PAPER`, `INFERRED` or `OURS`.
        flags: Names of the flags that decide it.
        value: Function of a `Preset` that returns the value as a string, or the value;
            by default the values of its flags.
        note: Evidence, or where the paper says something else.
        on: Names of presets that it is of.
    """

    name: str
    source: str
    flags: tuple = ()
    value: typing.Callable | str | None = None
    note: str = ""
    on: tuple = CIFAR + TINY


def value_of(choice, name):
    """The value of a choice in a preset, a string."""
    if isinstance(choice.value, str):
        return choice.value
    preset = values.Preset(name)
    if choice.value is not None:
        return choice.value(preset)
    return "; ".join(preset.given(flag) for flag in choice.flags)


def shown(choice):
    """The value of a choice, with data sets where it is not the same on all."""
    datasets = {}
    for name in choice.on:
        dataset = name.split("/")[0]
        datasets.setdefault(value_of(choice, name), []).append(dataset)
    if len(datasets) == 1:
        return next(iter(datasets))
    return "; ".join(f"{', '.join(some)}: {value}" for value, some in datasets.items())


CHOICES = (
    Choice(
        "Training / validation images", INFERRED, ("train_size", "validation_size"),
        values.split,
        "360 steps an epoch fit the norms of Figure 6; 320 and 400 do not.",
        on=CIFAR,
    ),
    Choice(
        "Training / validation images", OURS, ("train_size", "validation_size"),
        values.split, "Not stated.", on=TINY,
    ),
    Choice(
        "Test images", OURS, ("dataset",), values.test_images,
        "The labels of Tiny ImageNet's own test images are not public.",
    ),
    Choice("Network", PAPER, ("model",)),
    Choice("Channels of its first block", PAPER, ("width",), values.width),
    Choice(
        "Its stem", OURS, ("stem_stride",), values.stem,
        "Not stated. Public runs with stride 1 reach 65 on Tiny ImageNet in 100 "
        "epochs; the paper reaches 59.1 in 500. So its stem probably has stride 2.",
    ),
    Choice("Other network", PAPER, ("model",), on=MOBILENET),
    Choice(
        "Its form", OURS, ("stem_stride",), values.mobilenet_form,
        "Not stated. Public runs of this form come out 3 to 5 points lower. The "
        "paper's MobileNetV2 beats its ResNet-18 everywhere (CIFAR-100: 79.5 against "
        "77.9).",
        on=MOBILENET,
    ),
    Choice(
        "Initialization of kernels", INFERRED, (), values.initializer,
        "Gives the first norms of Figure 6, 111.8 and 112.1. They do not depend on the "
        "stem's kernel size and stride, so they are no evidence for our stem.",
    ),
    Choice("BatchNorm", OURS, (), values.batch_norm, "Not stated; PyTorch's defaults."),
    Choice("Epochs", PAPER, ("epochs", "full_budget"), values.epochs),
    Choice("Stages", PAPER, ("stages",), None, "Chosen on validation data."),
    Choice(
        "Epochs of a stage", PAPER, ("epochs", "stages"), values.stage_epochs, on=CIFAR,
    ),
    Choice(
        "Epochs of a stage", OURS, ("epochs", "stages"), values.stage_epochs,
        "Table 6 repeats CIFAR's stage lengths, which sum to 200 epochs.", on=TINY,
    ),
    Choice("Batch size", PAPER, ("batch_size",)),
    Choice(
        "Optimizer", PAPER, ("momentum",), values.sgd,
        "Nesterov momentum is not mentioned.",
    ),
    Choice("Learning rates", PAPER, ("learning_rate",)),
    Choice("Annealing", PAPER, (), values.annealing, "Its lowest rate is not stated."),
    Choice("Warm-up", OURS, (), "none", "Not stated."),
    Choice("Weight decays", PAPER, ("weight_decay",)),
    Choice(
        "Form of weight decay", INFERRED, ("weight_decay_mode",), values.decay,
        "Decoupled decay would leave the norm near 110 after an epoch; Figure 6 shows "
        "about 94.",
    ),
    Choice(
        "Tuning of learning rate and weight decay", PAPER, ("tune",), None,
        "`each`: for each method. `standard`: for standard training, re-used by the "
        "others. The paper has cross-validation on CIFAR, we one split for each seed.",
    ),
    Choice("Seeds to tune on", OURS, ("tuning_seeds",), None, "Not stated."),
    Choice(
        "Seeds", OURS, ("seeds",), None,
        "Not stated; nor is what the paper's ± means.",
    ),
    Choice(
        "Reported epoch", PAPER, ("report_epoch",), None,
        "Early stopping by validation accuracy (Appendix C).",
    ),
    Choice("Settings", PAPER, ("regularization",)),
    Choice("Augmentation", PAPER, ("augment",)),
    Choice("Padding of the crop", PAPER, ("crop_padding",), values.padding),
    Choice("Normalization", PAPER, ("normalization",)),
    Choice("Label smoothing", OURS, ("label_smoothing",), None, "Not mentioned."),
    Choice(
        "Methods", PAPER, ("method",), None,
        "The paper has SGDR (`warm_restart`) in DC and DCW only.",
    ),
    Choice("Shrink, perturb", PAPER, ("shrink", "perturb")),
    Choice(
        "Weights of Shrink & Perturb", INFERRED, (),
        "all, BatchNorm's scales and offsets too",
        "Without them the norm would stay above 69; Figure 6 shows 51 after an event.",
    ),
    Choice(
        "Layer-wise (blocks, repeats)", PAPER, ("num_blocks", "stages"),
        values.layerwise,
        "Table 5 has (2, 1), (5, 1) and (5, 2), and Figure 4 has 20 stages as well. 25 "
        "stages are ours.",
        on=CIFAR,
    ),
    Choice(
        "Ends of the five blocks", OURS, (), values.block_ends, "Not stated.", on=CIFAR
    ),
    Choice("Weight of the teacher's term", PAPER, ("distillation_weight",)),
    Choice("Temperature", OURS, ("temperature",), None, "None is mentioned."),
    Choice(
        "Teacher", PAPER, (), "the last epoch of the stage before",
        "Inference mode and the same augmented images are ours.",
    ),
    Choice(
        "Optimizer state in a new stage", OURS, ("optimizer_state",), None,
        "Not stated.",
    ),
    Choice(
        "BatchNorm statistics in a new stage", OURS, (),
        "fresh", "Not stated. SGDR keeps them, and layer-wise those of kept blocks.",
    ),
    Choice("Precision", OURS, ("dtype_policy",), None, "Not stated."),
    Choice("Noise rates", PAPER, ("label_noise",), on=NOISE),
    Choice(
        "Noise", OURS, ("noise",), None,
        "A noisy label is drawn from all classes, its own included. Not stated.",
        on=NOISE,
    ),
    Choice(
        "Noisy validation labels", OURS, ("noisy_validation",), None, "Not stated.",
        on=NOISE,
    ),
)  # fmt: skip
