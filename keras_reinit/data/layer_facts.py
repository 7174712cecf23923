"""What a layer of Keras does to images and labels, found out without calling it."""

import keras

from keras_reinit.keras_internals import attributes_of, flatten_layers
from keras_reinit.network import overridden

# Of a layer without a range of its own.
DEFAULT_RANGE = (0.0, 255.0)
# What a class of the user's overrides to make images in its own way.
OWN_WAYS = ("call", "transform_images", "get_random_transformation")


def steps_of(layer):
    """Returns the layers that one applies one after another: itself, if it is one."""
    if type(layer) not in (keras.layers.Pipeline, keras.Sequential):
        return [layer]
    return [step for part in layer.layers for step in steps_of(part)]


def check_layer(layer):
    """A `ValueError` unless `layer` is a random layer of images, channels last."""
    if not isinstance(layer, keras.Layer):
        raise ValueError(
            "`layer` must be a layer of Keras, such as "
            f"`keras.layers.RandomContrast(0.5)`. Received: layer={layer!r}"
        )
    fixed = [one for step in steps_of(layer) for one in _without_draws(step)]
    if fixed or not steps_of(layer):
        raise ValueError(
            "`layer` must be an augmentation, which draws random numbers: evaluation "
            "does not see what it does. Put other layers into the model, or apply "
            f"them to the images before. Received: layer={layer!r}"
            + (f", with {fixed[0]!r}" if fixed and fixed[0] is not layer else "")
        )
    for part in flatten_layers(layer):
        if getattr(part, "data_format", None) == "channels_first":
            raise ValueError(
                '`layer` must have `data_format="channels_last"`. '
                f"Received: layer={layer!r}, with data_format='channels_first'"
            )


def _without_draws(layer):
    """The layers of Keras in it that do the same to each image, always."""
    is_group = isinstance(layer, (keras.Model, keras.layers.Pipeline))
    if is_group and not overridden(layer, OWN_WAYS):
        return [one for part in layer.layers for one in _without_draws(part)]
    known = (keras.layers.InputLayer, keras.layers.Lambda)
    if isinstance(layer, known) or overridden(layer, OWN_WAYS) or _draws(layer):
        return []
    return [layer]


def _draws(layer):
    """Whether a layer, or one inside of it, has a generator of random numbers."""
    values = (v for part in flatten_layers(layer) for v in attributes_of(part).values())
    return any(isinstance(value, keras.random.SeedGenerator) for value in values)


def mixes_labels(layer):
    """Returns whether a layer changes labels, as far as it says so.

    The layers of Keras that leave labels alone return the very object.
    """
    if hasattr(layer, "transform_labels"):
        labels = object()
        try:
            return layer.transform_labels(labels, object()) is not labels
        except NotImplementedError:
            pass  # It says nothing; the layers inside may.
        except Exception:  # It computes something.
            return True
    return any(map(mixes_labels, _inside(layer)))


def value_range_of(layer):
    """Returns the pair of floats that a layer takes as black and white.

    Raises:
        ValueError: If it is no range, or the layers inside have several.
    """
    found = list(_ranges(layer))
    ranges = {_checked_range(layer, value) for value in found} or {DEFAULT_RANGE}
    if len(ranges) > 1:
        raise ValueError(
            "`layer` must have one `value_range` in all of its layers. "
            f"Received: layer={layer!r}, with {sorted(ranges)}"
        )
    (value_range,) = ranges
    for part in flatten_layers(layer):
        if keras.backend.is_int_dtype(part.compute_dtype) and value_range[1] < 255:
            raise ValueError(
                "`layer` must compute with floats where its `value_range` is not "
                f"(0, 255). Received: layer={layer!r}, of dtype {part.compute_dtype}"
            )
    return value_range


def _ranges(layer):
    """Those of a layer, or else of the layers inside: a policy hands its own on."""
    value = getattr(layer, "value_range", None)
    if value is not None:
        return [value]
    return [value for part in _inside(layer) for value in _ranges(part)]


def _checked_range(layer, value):
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise ValueError(
            "`layer` must have a `value_range` of two numbers, the smaller first. "
            f"Received: layer={layer!r}, with value_range={value!r}"
        )
    return low, high


def _inside(layer):
    return flatten_layers(layer, include_self=False, recursive=False)
