"""The flags that all scripts share, made from the fields of `Config`."""

import argparse
import contextlib
import dataclasses

from absl import app, flags

from benchmarks import presets
from keras_reinit import data
from keras_reinit.config import AUGMENTATIONS, CHOICES, METHODS, Config

HELP = {
    "dataset": f"{', '.join(data.DATASETS)}, another of tensorflow-datasets, or "
    "the path of a folder of images, with a /, one subfolder for each class",
    "model": "reference network",
    "width": "channels of the network's first block; by default the network's own",
    "stem_stride": "stride of the network's stem, 1 or 2; 2 halves all feature maps",
    "normalization": "by mean and standard deviation of the training images (fitted) "
    "or of ImageNet (imagenet, for RGB images only)",
    "method": "re-initialization method; all have the same budget of epochs",
    "regularization": "none, or letters of D (augmentation), C (cosine annealing in "
    "each stage), W (weight decay)",
    "augment": "augmentations, joined by +, with D in --regularization: "
    + ", ".join(AUGMENTATIONS),
    "crop_padding": "pixels added on each side before a random crop; by "
    "default an eighth of the height",
    "label_smoothing": "share of each label that is spread over all classes, in [0, 1)",
    "label_noise": "noise rate in [0, 1] of the training labels",
    "noise": "kind of label noise, see keras_reinit.data; symmetric resamples a label "
    "from all classes, with the noise rate as probability",
    "noisy_validation": "whether validation labels are noisy as well; test never is",
    "train_size": "number of training examples; by default all",
    "validation_size": "number of validation examples; by default the data set's own",
    "epochs": "the fixed budget of epochs, all stages together",
    "full_budget": "whether each stage has --epochs epochs, instead of all together",
    "stages": "stages that the budget is cut into; standard training ignores them",
    "batch_size": "examples a step",
    "learning_rate": "(peak) learning rate of SGD",
    "momentum": "momentum of SGD, in [0, 1)",
    "weight_decay": "weight decay, with W in --regularization",
    "weight_decay_mode": "l2 (a term of the gradient, as in the paper) or decoupled",
    "shrink": "share of the trained weight that Shrink & Perturb keeps, in [0, 1]",
    "perturb": "share of the fresh weight that Shrink & Perturb adds, in [0, 1]",
    "num_blocks": "blocks of layer-wise re-initialization, by default all that the "
    "network has; never more than --stages",
    "distillation_weight": "weight of the teacher's term, where there is a teacher",
    "temperature": "softmax temperature of the distillation",
    "optimizer_state": "optimizer state at the beginning of a stage",
    "dtype_policy": "Keras' dtype policy; mixed_bfloat16 suits TPUs and newer GPUs",
    "steps_per_execution": "steps of one call of the device, which divide those of an "
    "epoch; by default an epoch of at most 32 steps, else 1",
    "seed": "seed of everything; runs that share it are pairs",
}


def run(main, preset=None):
    """`absl.app.run`, with the flags of `--preset` before those of the command line.

    Args:
        main: Function of what is left of the command line.
        preset: Name of the preset that counts where none is given.
    """
    app.run(
        main,
        flags_parser=lambda argv: app.parse_flags_with_usage(expanded(argv, preset)),
    )


def expanded(argv, preset=None):
    """A command line with the flags of its preset before its own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", "-preset", nargs="?", default=preset)
    given = argv[1:]
    # What is no preset, or no file, is said when all flags are parsed.
    with contextlib.suppress(flags.Error):
        given = flags.FLAGS.read_flags_from_files(given)
    name = parser.parse_known_args(given)[0].preset
    files = [f"--flagfile={presets.path(name)}"] if name in presets.names() else []
    return [argv[0], *files, *argv[1:]]


# What scripts that train many models vary.
VARIED = (
    "method",
    "regularization",
    "label_noise",
    "learning_rate",
    "weight_decay",
)


def define(output, lists=()):
    """Defines a flag for each field of `Config`, `--output`, `--folder`, `--preset`.

    Args:
        output: Default folder for `rows.jsonl`.
        lists: Names of flags that take several values, separated by commas, and are
            `None` by default. Presets have such, so that without there is no
            `--preset`.
    """
    for field in dataclasses.fields(Config):
        _define(field, field.name in lists)
    if lists:
        flags.DEFINE_enum(
            "preset", None, presets.names(), "flags that come before the others"
        )
    flags.DEFINE_string("output", output, "folder for rows.jsonl and its report")
    flags.DEFINE_string(
        "folder", None, "where the data set lies, if it is not at its default place"
    )


def config(**changes):
    """The `Config` that the flags describe, with some fields set otherwise.

    Raises:
        flags.IllegalFlagValueError: For a value out of its range.
    """
    fields = [field.name for field in dataclasses.fields(Config)]
    values = {name: getattr(flags.FLAGS, name) for name in fields}
    try:
        return Config(**{**values, **changes})
    except ValueError as error:
        raise flags.IllegalFlagValueError(str(error)) from error


def values(name):
    """What a flag lists, as numbers where its field is one; `None` for nothing.

    Raises:
        flags.IllegalFlagValueError: For what is no such number.
    """
    given = getattr(flags.FLAGS, name)
    default = getattr(Config(), name)
    kind = int if default is None else type(default)
    try:
        return given and [kind(value) for value in given]
    except ValueError as error:
        raise flags.IllegalFlagValueError(
            f"`{name}` must be {kind.__name__}s, separated by commas. Received: "
            f"--{name}={','.join(given)}"
        ) from error


def methods(default):
    """The methods that the flags name, as a tuple; `all` is every one."""
    given = flags.FLAGS.method or default
    return METHODS if list(given) == ["all"] else tuple(given)


def _define(field, is_list):
    name, text = field.name, HELP[field.name]
    if is_list:
        known = f" ({', '.join(CHOICES[name])})" if name in CHOICES else ""
        text += f"; several values{known}, separated by commas"
        flags.DEFINE_list(name, None, text)
    elif name in CHOICES:
        flags.DEFINE_enum(name, field.default, CHOICES[name], text)
    elif isinstance(field.default, bool):
        flags.DEFINE_bool(name, field.default, text)
    elif isinstance(field.default, str):
        flags.DEFINE_string(name, field.default, text)
    elif isinstance(field.default, float):
        flags.DEFINE_float(name, field.default, text)
    else:
        flags.DEFINE_integer(name, field.default, text)
