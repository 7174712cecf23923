"""Compares methods and prints when re-initialization works: table, figure, page.

    python -m benchmarks.study

The default (five methods, no / full regularization / full with 40% label noise, on
600 digits with a small network, four seeds, learning rate and weight decay chosen
on validation data) takes 15 to 20 minutes on two cores. Stop it at any moment; the
same command goes on where it was. `--regularization` and `--label_noise` with several
values are combined, each with each. `--methods=all` takes the whole family.
"""

import concurrent.futures
import itertools
import signal

from absl import app, flags

from benchmarks import flags as shared
from keras_reinit import results, study, training
from keras_reinit.config import METHODS


def define_flags():
    """The shared flags, with lists for what the study varies, and its own."""
    shared.define("results/study", shared.VARIED)
    flags.DEFINE_alias("methods", "method")
    flags.DEFINE_integer("seeds", 4, "seeds from --seed on", lower_bound=1)
    flags.DEFINE_integer(
        "tuning_seeds", 1, "seeds that hyperparameters are chosen on", lower_bound=1
    )
    flags.DEFINE_integer(
        "processes",
        study.default_processes(),
        "runs at once; with more than one, each has one thread",
        lower_bound=1,
    )


def from_flags():
    """The `Study` that the flags describe."""
    values = flags.FLAGS
    settings = study.SETTINGS
    if values.regularization or values.label_noise:
        noises = [float(noise) for noise in values.label_noise or (0.0,)]
        settings = tuple(
            itertools.product(values.regularization or ("none", "DCW"), noises)
        )
    defaults = study.Study()
    base = shared.config(
        method="standard",
        regularization="none",
        label_noise=0.0,
        learning_rate=defaults.learning_rates[0],
        weight_decay=0.0,
    )
    return study.Study(
        base=base,
        methods=shared.methods(defaults.methods),
        settings=settings,
        seeds=tuple(range(values.seed, values.seed + values.seeds)),
        tuning_seeds=min(values.tuning_seeds, values.seeds),
        learning_rates=_floats(values.learning_rate, defaults.learning_rates),
        weight_decays=_floats(values.weight_decay, defaults.weight_decays),
    )


def _floats(given, default):
    return tuple(float(value) for value in given) if given else default


def trained(argv, run=study.train, known=None):
    """Runs what is missing of the study that the flags describe.

    Args:
        argv: What is left of the command line.
        run: See `study.run_all`.
        known: Methods that `run` knows, or `None` for all.

    Returns:
        The rows that are compared, and the folder for their report.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    # Ended from outside as by Ctrl-C: with the runs in flight, and rows kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        planned = from_flags()
        unknown = [one for one in planned.methods if one not in (known or METHODS)]
        if unknown:
            raise ValueError(
                f"`method` must be of {', '.join(known or METHODS)}. "
                f"Received: method={','.join(unknown)}"
            )
        folder = results.writable_folder(flags.FLAGS.output)
        # Data that cannot be had are one error now, not one for each run.
        training.load(planned.base, flags.FLAGS.folder)
    except (ValueError, flags.Error) as error:
        raise app.UsageError(str(error)) from error
    try:
        rows = study.run_study(
            planned,
            folder / "rows.jsonl",
            processes=flags.FLAGS.processes,
            folder=flags.FLAGS.folder,
            report=lambda line: print(line, flush=True),
            run=run,
        )
    except KeyboardInterrupt:
        print("\nStopped; finished runs are kept. The same command goes on.")
        raise SystemExit(130) from None
    except concurrent.futures.BrokenExecutor as error:
        raise SystemExit(
            f"A run was killed from outside, perhaps for lack of memory: {error} "
            "Finished runs are kept. The same command goes on; --processes sets how "
            "many run at once."
        ) from error
    return rows, folder


def show(report, rows, folder):
    """Prints and writes what a report says of rows."""
    print("\n" + report.markdown(rows) + "\n")
    for path in report.write(rows, folder):
        print(path)
    if not any(row["status"] == "ok" for row in rows):
        raise SystemExit("No run has finished; the rows say why.")


def main(argv):
    """Runs what is missing, then writes and prints the report."""
    rows, folder = trained(argv)
    from keras_reinit import report

    show(report, rows, folder)


if __name__ == "__main__":
    define_flags()
    app.run(main)
