"""What TensorBoard shows of a training: stages, learning rate, diagnostics."""

import keras
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_reinit import BornAgain, Diagnostics, FullReinit, Stages


def test_stages_rates_and_diagnostics_are_curves(tmp_path, toy):
    x, y = toy
    schedule = Stages(epochs=4, stages=2)
    student = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(int(y.max()) + 1),
        ]
    )
    model = BornAgain(student)
    steps = schedule.stage_epochs * -(-len(x) // 32)
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    callbacks = [
        FullReinit(schedule, seed=0),
        Diagnostics(x, y),
        keras.callbacks.TensorBoard(tmp_path),
    ]
    model.fit(x, y, epochs=4, batch_size=32, verbose=0, callbacks=callbacks)
    events = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0})
    events.Reload()
    curves = {
        tag: [float(np.frombuffer(one.tensor_proto.tensor_content, "f4")[0])
              if one.tensor_proto.tensor_content else one.tensor_proto.float_val[0]
              for one in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }  # fmt: skip
    assert curves["epoch_stage"] == [0, 0, 1, 1]  # The generation, with BornAgain.
    first, last, again, _ = curves["epoch_learning_rate"]
    assert last < first and again == first
    for name in ("effective_rank", "weight_norm", "gradient_norm"):
        assert f"epoch_begin_{name}" in curves and f"epoch_{name}" in curves
    begin, before = curves["epoch_begin_weight_norm"][2], curves["epoch_weight_norm"][1]
    assert begin != before  # An event lies between.
