"""Compares methods and prints when re-initialization works: table, figure, page.

    python -m benchmarks.study

The default (five methods, no / full regularization / full with 40% label noise, on
600 digits with a small network, four seeds, learning rate and weight decay chosen
on validation data) takes 5 to 15 minutes on two cores. Stop it at any moment; the
same command goes on where it was. Flags with several values are combined, each with
each. `--methods=all` takes the whole family. `--preset=digits/noise` takes the flags of
`benchmarks/presets/digits/noise.flags`; flags beside it override them.
"""

import concurrent.futures
import functools
import itertools
import signal
import typing

from absl import app, flags

from benchmarks import flags as shared
from benchmarks import report
from keras_reinit import pool, runs, storage, study, training
from keras_reinit.config import METHODS, Config
from keras_reinit.console import say
from keras_reinit.training import memorization, online

# What makes a setting, and what a study compares within one.
SETTING = (
    "regularization",
    "label_noise",
    "train_size",
    "width",
    "stem_stride",
    "epochs",
)
LISTS = (*SETTING, "method", "stages", "learning_rate", "weight_decay")


def define_flags():
    """The shared flags, with lists for what the study varies, and its own."""
    shared.define("results/study", LISTS)
    report.define_flags()
    flags.DEFINE_alias("methods", "method")
    flags.DEFINE_enum(
        "kind",
        "training",
        list(KINDS),
        "what a run is: a training; one on data that arrive in chunks, one a stage "
        "(online); one that follows what is learned of wrong labels (memorization)",
    )
    flags.DEFINE_enum(
        "strategy",
        "none",
        training.STRATEGIES,
        "of a training: one device, all GPUs (mirrored) or a TPU (not run by us); "
        "with --processes=1",
    )
    flags.DEFINE_integer("seeds", 4, "seeds from --seed on", lower_bound=1)
    flags.DEFINE_integer(
        "tuning_seeds", 2, "seeds that hyperparameters are chosen on", lower_bound=1
    )
    flags.DEFINE_enum(
        "tune",
        "each",
        ("each", "standard"),
        "choose learning rate and weight decay for each method, or for standard "
        "training alone, whose values all methods take",
    )
    flags.DEFINE_integer(
        "processes",
        pool.default_processes(),
        "runs at once; with more than one, each has one thread",
        lower_bound=1,
    )


def from_flags():
    """The `Study` that the flags describe."""
    values, defaults = flags.FLAGS, study.Study()
    listed = {name: shared.values(name) for name in LISTS}
    first = {
        name: some[0] if some else getattr(Config(), name)
        for name, some in listed.items()
    }
    rates = tuple(listed["learning_rate"] or defaults.learning_rates)
    return study.Study(
        base=shared.config(
            **{
                **first,
                "method": "standard",
                "learning_rate": rates[0],
                "weight_decay": 0.0,
            }
        ),
        methods=shared.methods(defaults.methods),
        settings=_settings(listed),
        stages=tuple(listed["stages"] or ()),
        seeds=tuple(range(values.seed, values.seed + values.seeds)),
        tuning_seeds=min(values.tuning_seeds, values.seeds),
        learning_rates=rates,
        weight_decays=tuple(listed["weight_decay"] or defaults.weight_decays),
        report_epoch=values.report_epoch,
        tune=values.tune,
    )


def _settings(listed):
    """Each value of a setting's flags with each of the others."""
    problems = study.SETTINGS
    if listed["regularization"] or listed["label_noise"]:
        problems = _combined(
            {
                "regularization": listed["regularization"] or ("none", "DCW"),
                "label_noise": listed["label_noise"] or (0.0,),
            }
        )
    others = _combined({name: listed[name] for name in SETTING[2:] if listed[name]})
    return tuple({**one, **other} for other in others for one in problems)


def _combined(values):
    return [
        dict(zip(values, some, strict=True))
        for some in itertools.product(*values.values())
    ]


# What a study writes, and may not overwrite.
PAGES = ("report.md", "report.html", "warm_start.md", "memorization.md")


class Kind(typing.NamedTuple):
    """What a run is, and which methods it knows."""

    run: typing.Callable
    methods: tuple


KINDS = {
    "training": Kind(pool.train, METHODS),
    "online": Kind(online.run, online.METHODS),
    "memorization": Kind(memorization.run, METHODS),
}


def main(argv):
    """Runs what is missing, then writes and prints the report."""
    rows, every, folder = _trained(argv, KINDS[flags.FLAGS.kind])
    when = flags.FLAGS.report_epoch
    written = report.write(rows, every, folder, when)
    say("\n" + report.markdown(rows, when) + "\n")
    say("\n".join(map(str, written)))
    if not any(row["status"] == "ok" for row in rows):
        raise SystemExit("No run has finished; the rows say why.")


def _trained(argv, kind):
    """The rows that are compared, all of the study, and the folder for its report."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    # Ended from outside as by Ctrl-C: with the runs in flight, and rows kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        planned = from_flags()
        unknown = set(planned.methods) - set(kind.methods)
        if unknown:
            raise ValueError(
                f"`method` must be of {', '.join(kind.methods)}. "
                f"Received: method={','.join(planned.methods)}"
            )
        if flags.FLAGS.report_epoch != "final" and flags.FLAGS.kind != "training":
            raise ValueError(
                "`report_epoch` must be final but for --kind=training. Received: "
                f"report_epoch={flags.FLAGS.report_epoch}, kind={flags.FLAGS.kind}"
            )
        folder = storage.writable_folder(flags.FLAGS.output)
        storage.check_ours(*(folder / name for name in PAGES))
        # Data that cannot be had are one error now, not one for each run.
        training.load(planned.base, flags.FLAGS.folder)
    except (ValueError, flags.Error) as error:
        raise app.UsageError(str(error)) from error
    missing = runs.Runs(
        folder / "rows.jsonl",
        folder=flags.FLAGS.folder,
        kind=flags.FLAGS.kind,
        strategy=flags.FLAGS.strategy,
    )
    try:
        rows = study.run_study(
            planned,
            missing,
            processes=flags.FLAGS.processes,
            run=_run(kind),
        )
    except KeyboardInterrupt:
        say("\nStopped; finished runs are kept. The same command continues.")
        raise SystemExit(130) from None
    except ValueError as error:  # Another run has the folder.
        raise app.UsageError(str(error)) from error
    except OSError as error:
        raise SystemExit(
            f"{missing.path} cannot be written: {error}. Finished runs are kept. The "
            "same command continues when there is room."
        ) from error
    except concurrent.futures.BrokenExecutor as error:
        raise SystemExit(
            f"A run was killed from outside, perhaps for lack of memory: {error} "
            "Finished runs are kept. The same command continues; --processes sets how "
            "many run at once."
        ) from error
    searched = planned.search_configs()
    configs = [*searched, *planned.final_configs(missing.rows(searched))]
    return rows, study.select(configs, missing.rows(configs)), folder


def _run(kind):
    strategy = flags.FLAGS.strategy
    if strategy == "none":
        return kind.run
    if kind.run is not pool.train or flags.FLAGS.processes > 1:
        raise app.UsageError(
            "`strategy` must be none but for --kind=training and --processes=1. "
            f"Received: strategy={strategy}, kind={flags.FLAGS.kind}, "
            f"processes={flags.FLAGS.processes}"
        )
    return functools.partial(kind.run, strategy=strategy)


if __name__ == "__main__":
    define_flags()
    shared.run(main)
