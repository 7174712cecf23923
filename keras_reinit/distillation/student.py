"""The network that is trained: the student of a distillation, and what is frozen."""

import keras


def network_of(model):
    """The network that is trained: the student of a distilling model, or the model.

    A part that merely has the name `student` is none.
    """
    return model.student if hasattr(model, "hand_over") else model


def frozen_ids(model):
    """Ids of the weights that are not trained though they were made to be.

    A frozen layer, however deep inside of others, has only such weights; the kernel
    under a LoRA update is one of a layer that is trained. BatchNorm's statistics are
    none: they were never made to be trained.
    """
    frozen = set()
    for layer in model._flatten_layers():
        if not layer.trainable:
            frozen.update(id(v) for v in layer.weights)
        made = layer._trainable_variables
        frozen.update(id(v) for v in made if not v.trainable)
    return frozen


def check_student(student, from_logits):
    """A `ValueError` unless a student is built and returns what is said."""
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`student` must be a built `keras.Model`: give it an `Input`, or call it "
            f"once. Received: student={student!r}"
        )
    for layer in _last_layers(student):
        softmax = isinstance(layer, keras.layers.Softmax)
        activation = getattr(layer, "activation", None)
        if activation is keras.activations.sigmoid:
            raise ValueError(
                "`student` must not end in a sigmoid: its classes are compared as one "
                f"distribution. Received: the last layer {layer.name!r}"
            )
        softmax = softmax or activation is keras.activations.softmax
        linear = activation is keras.activations.linear
        if (softmax and from_logits) or (linear and not from_logits):
            raise ValueError(
                "`from_logits` must be True for a student without and False for one "
                "with a softmax at its end. "
                f"Received: from_logits={from_logits}, and the last layer "
                f"{layer.name!r} of {student.name!r} with activation "
                f"{'softmax' if softmax else 'linear'}"
            )


def _last_layers(student):
    """The layers that make the outputs, as far as the model tells."""
    outputs = getattr(student, "outputs", None)
    if outputs:
        return [output._keras_history.operation for output in outputs]
    return student.layers[-1:]
