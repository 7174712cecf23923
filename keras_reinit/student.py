"""The student of a distillation: which networks can be one, and which is one."""

import keras


def network_of(model):
    """The network that is trained: the student of a distilling model, or the model.

    A part that merely has the name `student` is none.
    """
    return model.student if hasattr(model, "hand_over") else model


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
