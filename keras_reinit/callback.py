"""The shell that joins WHEN, WHAT VALUES and HOW THEY MIX: one callback."""

import random

import keras
import numpy as np

from keras_reinit.arguments import check_choice, checked_initializers, checked_integer
from keras_reinit.checks import check_budget, warn_of_slow_statistics
from keras_reinit.fresh.recipes import find_recipes
from keras_reinit.fresh.weights import fresh_draws
from keras_reinit.neighbors import check_neighbors, sets_rates, warn_of_memories
from keras_reinit.network import frozen_ids, network_of, recurrent_states
from keras_reinit.optimizers.levels import (
    optimizers_of,
    plain_rates,
    progress,
    set_plain_rates,
)
from keras_reinit.optimizers.reset import (
    check_partial_reset,
    check_reset,
    reset_optimizer,
    restart_averages,
    trained_by,
)
from keras_reinit.schedules import begun

OPTIMIZER_STATES = ("fresh", "reinitialized", "keep")


@keras.saving.register_keras_serializable("keras_reinit")
class Reinitialize(keras.callbacks.Callback):
    """Base of all methods: re-initializes between the stages of one training.

    A method overrides `rule`. The shell calls it at the beginning of each stage but
    the first, before the first step: at that moment the metrics and the checkpoint of
    the epoch before are written, and they are of the same weights. Frozen weights (of
    layers with `trainable=False`, or under LoRA) and what layers learned from data with
    `adapt` are never touched; states of recurrent layers become zero. Logs gain
    `stage`, counted from 0: the stage of the epoch's last step.

    What happens depends on nothing but the arguments and the epoch or step, so a
    training that `keras_reinit.Backup` continues is the one that was interrupted: give
    a `seed`, and place this callback before it. A `fit` takes one re-initialization.
    You are warned of callbacks that compare epochs of different stages, such as
    `EarlyStopping`.

    Args:
        schedule: A `Stages` or `StepStages`; `fit` runs it, in one call or several
            with `initial_epoch`.
        optimizer_state: `"fresh"`: each stage is a training of its own; moments, step
            count, and the learning rate or its schedule start again (a rate that
            `LearningRateScheduler` sets stays). `"reinitialized"`: moments of the
            weights that changed start again, schedules run on; Adam and its kin need
            `per_variable_steps`, or `per_entry_steps` where a method changes single
            entries of weights. `"keep"`: all runs on. A moving average of weights
            (`use_ema`) always starts again where they changed. All of it holds for
            each optimizer of the model, whether it is compiled with it or has it as
            an attribute.
        seed: Integer >= 0, or `None` for one from Python's generator, which
            `keras.utils.set_random_seed` governs.
        initializers: See `keras_reinit.fresh_weights`.
        when: Function without arguments that is asked, at the beginning of each stage
            but the first, whether anything is to happen, such as
            `Diagnostics(...).when(...)`; `None` is always. It is not part of a saved
            configuration; a training that is continued needs one that depends on
            nothing but the model's weights.

    Raises:
        ValueError: For an argument out of its range; when training begins, for
            more epochs than the schedule has, a model that cannot be re-drawn, an
            optimizer that does not fit, a second re-initialization, or a callback at
            the wrong place; at an event, if no optimizer of the model has made a step.
    """

    # Whether the method changes weights, whether it draws fresh ones for it, and
    # whether it changes single entries of them.
    changes = True
    draws = True
    entries = False

    def __init__(
        self,
        schedule,
        *,
        optimizer_state="fresh",
        seed=None,
        initializers=None,
        when=None,
    ):
        super().__init__()
        if isinstance(schedule, type) or not hasattr(schedule, "event"):
            raise ValueError(
                "`schedule` must be a schedule such as `Stages(epochs=100, stages=5)`. "
                f"Received: schedule={schedule!r}"
            )
        check_choice("optimizer_state", optimizer_state, OPTIMIZER_STATES)
        self.schedule = schedule
        self.optimizer_state = optimizer_state
        seed = random.randrange(2**31) if seed is None else seed
        self.seed = checked_integer("seed", seed)
        checked_initializers(initializers)
        if not (when is None or callable(when)):
            raise ValueError(
                f"`when` must be a function without arguments. Received: when={when!r}"
            )
        self.initializers = dict(initializers or {})
        self.when = when
        self._refused = set()
        self._recipes = self._optimizers = self._progress = None
        self._rates, self._last_rates = {}, None
        self._is_new = True
        self._epoch = 0
        self._at = 0
        self._execution = 1

    def rule(self, stage, variable, fresh):
        """The new value of one weight at the beginning of `stage` (1, 2, ...).

        Args:
            stage: Integer, the stage that begins, counted from 0.
            variable: The `keras.Variable`; its value is the end of the last stage.
            fresh: Function without arguments that draws an independent initial
                value, a NumPy array; what is not drawn costs nothing.

        Returns:
            Array of the same shape, of NumPy or the backend; a `numpy.ma` masked array
            leaves the masked entries as they are; `None` leaves the weight alone, which
            is what the base class does with all of them.
        """
        return None

    @property
    def network(self):
        """The network whose weights change: the student of a distilling model."""
        return network_of(self.model)

    @property
    def events(self):
        """List of the events so far: `{"stage": ..., "epochs" or "steps": ...}`.

        Those before a resume are among them: the schedule tells, but for what `when`
        refused before it.
        """
        unit, starts = self.schedule.unit, self.schedule.starts
        return [
            {"stage": stage, unit: start}
            for stage, start in enumerate(starts)
            if 0 < stage <= self.schedule.stage(self._at) and stage not in self._refused
        ]

    def outcomes(self, stage):
        """Yields what the event that opens `stage` does, one variable at a time.

        Triples of a variable, its new value (or None) and the fresh value that went
        into it (or None). Nothing is assigned.
        """
        network, frozen = self.network, frozen_ids(self.network)
        if self.draws:
            draws = fresh_draws(self._recipes, self.seed, stage)
        else:
            draws = ((variable, None) for variable in network.weights)
        for variable, draw in draws:
            fresh = _Fresh(draw)
            if id(variable) not in frozen:
                yield variable, self.rule(stage, variable, fresh), fresh.value

    def apply(self, model, stage):
        """Does what opens a stage to a compiled model, between two calls of `fit`.

        For a loop of one's own, such as over chunks of data that arrive: there the
        schedule only says how many stages there are, and `when` is not asked.

        Args:
            model: A compiled `keras.Model`.
            stage: Integer in [1, number of stages), the stage that begins.

        Raises:
            ValueError: As when training begins, and for a stage out of range.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", loss="mse")
        >>> chunks = np.ones((4, 8, 3)), np.ones((4, 8, 1))
        >>> method = ShrinkPerturb(Stages(epochs=4, stages=4), seed=0)
        >>> for stage, (x, y) in enumerate(zip(*chunks, strict=True)):
        ...     if stage > 0:
        ...         method.apply(model, stage)
        ...     _ = model.fit(x, y, epochs=5, verbose=0)
        """
        checked_integer("stage", stage, low=1, high=self.schedule.stages - 1)
        self.set_model(model)
        self.check()
        self.prepare()
        if not self._rates:
            self._remember_rates()
        self._at = self.schedule.starts[stage]
        self._event(stage)
        self.on_train_end()  # Nothing is held until the next call.

    def prepare(self):
        """Finds what is needed before an event; raises if the model does not fit."""
        if self.draws and self.schedule.stages > 1:
            # A layer that cannot be re-drawn is found now, not after a stage.
            network, frozen = self.network, frozen_ids(self.network)
            needed = {id(v) for v in network.weights} - frozen
            self._recipes = find_recipes(network, self.initializers, needed)

    def check(self):
        """Raises a `ValueError` if what the model is compiled with does not fit."""
        if not self.model.compiled:
            raise ValueError(
                "`model` must be compiled, for its optimizer to start again. "
                f"Received: model={self.model.name!r}"
            )
        for optimizer in self._found_optimizers():
            if self.optimizer_state == "fresh":
                check_reset(optimizer)
            if self.changes and self.optimizer_state == "reinitialized":
                check_partial_reset(optimizer, self.entries)

    def on_train_begin(self, logs=None):
        self._is_new = True
        check_neighbors(self)
        check_budget(self.schedule, self.params)
        self.prepare()
        if self.schedule.stages == 1:
            return
        self._execution = self.model.steps_per_execution
        self.check()
        steps = self._steps_of_a_stage()
        if self.draws:
            warn_of_slow_statistics(self.network, steps)
        warn_of_memories(self._last_event_epoch(), steps, self.optimizer_state)
        self._remember_rates()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self._is_new and hasattr(self.model, "fill_cache"):
            self.model.fill_cache()  # A backup may have brought a teacher.
        self._is_new = False
        if self.schedule.unit == "epochs":
            self._begin(epoch, epoch - 1)

    def on_train_batch_begin(self, batch, logs=None):
        if self.schedule.unit == "steps":
            # Not by `self.model`: on JAX that copies the weights back in each step.
            steps = begun(self._epoch, batch, self.params["steps"], self._execution)
            self._begin(*steps)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["stage"] = self.schedule.stage(self._at)
        if self._optimizers is not None:
            self._last_rates = plain_rates(self._optimizers)

    def on_train_end(self, logs=None):
        if self.schedule.stages > 1:
            self._last_rates = plain_rates(self._found_optimizers())
        self._recipes = self._optimizers = None  # They know the model's variables.

    def get_state(self):
        """What a `keras_reinit.Backup` keeps of it, of plain numbers and lists."""
        return {"refused": sorted(self._refused)}

    def set_state(self, state):
        """Goes on with what `get_state` returned."""
        self._refused = set(state["refused"])

    def _found_optimizers(self):
        model = self.model  # Must come first: on JAX this brings the state back.
        known = self._optimizers
        if known is None or (known and known[0] is not model.optimizer):
            self._optimizers = optimizers_of(model)  # It may be compiled again.
        return self._optimizers

    def _remember_rates(self):
        """Takes the plain rates as they are before a backup may bring others.

        An optimizer that a `fit` before has left with this rate keeps its first one.
        """
        kept, last = self._rates, self._last_rates or {}
        self._rates = {
            key: kept[key] if key in kept and last.get(key) == rate else rate
            for key, rate in plain_rates(self._found_optimizers()).items()
        }
        self._last_rates = self._progress = None

    def _restart_rates(self):
        """Sets the plain rates to their first ones, unless a scheduler has set them."""
        present = plain_rates(self._optimizers)
        last = self._last_rates
        changed = last is not None and any(last.get(k) != r for k, r in present.items())
        if not sets_rates(self, changed):
            self._rates = {**present, **self._rates}
            set_plain_rates(self._optimizers, self._rates)

    def _begin(self, at, previous):
        self._at = at
        stage = self.schedule.event(at, previous)
        if stage is not None and (self.when is None or self.when()):
            self._refused.discard(stage)
            self._check_progress()
            self._event(stage)
            self._progress = None
        elif stage is not None:
            self._refused.add(stage)
        if self._progress is None and self.schedule.stages > 1:
            self._progress = progress(self._found_optimizers())

    def _check_progress(self):
        """Raises if the optimizers of the model are not what trains it."""
        if self.optimizer_state == "keep" or not self.model.trainable_variables:
            return
        if progress(self._found_optimizers()) == self._progress:
            raise ValueError(
                "`model` must have its optimizers as attributes, for their state to "
                "start again (or choose `optimizer_state='keep'`). Received: "
                f"{self._optimizers}, of which none made a step in the stage"
            )

    def _event(self, stage):
        model = self.model  # Must come first: on JAX this brings the weights back.
        if hasattr(model, "hand_over"):
            model.hand_over()
        changed, masks = self._reinitialize(stage) if self.changes else ([], {})
        for optimizer in self._found_optimizers():
            if self.optimizer_state == "fresh":
                reset_optimizer(optimizer)
            elif self.optimizer_state == "reinitialized":
                trained = trained_by(optimizer, changed)
                reset_optimizer(optimizer, trained, masks)
            else:
                restart_averages(optimizer, changed, masks)
        if self.optimizer_state == "fresh":
            self._restart_rates()

    def _reinitialize(self, stage):
        """Assigns new values; returns the variables, and masks of changed entries."""
        changed, masks = [], {}
        for variable, value, _ in self.outcomes(stage):
            if value is None:
                continue
            if np.ma.isMaskedArray(value):
                masks[id(variable)] = ~np.ma.getmaskarray(value)
                old = keras.ops.convert_to_numpy(variable)
                value = np.where(masks[id(variable)], value.data, old)
            variable.assign(value)
            changed.append(variable)
        if changed:
            for state in recurrent_states(self.network):
                state.assign(np.zeros(state.shape))  # They are of the old network.
        return changed, masks

    def _steps_of_a_stage(self):
        """Steps of the shortest stage, or None where unknown."""
        shortest = self.schedule.total // self.schedule.stages
        if self.schedule.unit == "steps":
            return shortest
        steps = (self.params or {}).get("steps")
        return steps and steps * shortest

    def _last_event_epoch(self):
        last = self.schedule.starts[-1]
        return last // self.params["steps"] if self.schedule.unit == "steps" else last

    def get_config(self):
        config = {"schedule": self.schedule, "optimizer_state": self.optimizer_state}
        if self.draws:
            config |= {"seed": self.seed, "initializers": self.initializers}
        return keras.saving.serialize_keras_object(config)

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


class _Fresh:
    """Draws when it is asked to, and remembers."""

    def __init__(self, draw):
        self.draw = draw
        self.value = None

    def __call__(self):
        self.value = self.draw()
        return self.value
