"""Compares ways to go on with a network when more data arrive, in accuracy and cost.

    python -m benchmarks.warm_start

Five chunks: each stage trains on all data so far, anew, from the trained weights (a
warm start), or from what a method makes of them; without regularization and with all of
it (DCW), learning rate and weight decay chosen on validation data. The default, on
digits, takes about 10 minutes on two cores. Stop it at any moment; the same command
goes on.
"""

import signal

from absl import app, flags

from benchmarks import study as study_script
from keras_reinit import online, online_report, results, study


def define_flags():
    """The flags of a study, with defaults of this one."""
    study_script.define_flags()
    flags.FLAGS.set_default("output", "results/warm_start")
    flags.FLAGS.set_default("method", list(online.METHODS))
    flags.FLAGS.set_default("regularization", ["none", "DCW"])


def main(argv):
    """Runs what is missing, then writes and prints table and figure."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        planned = study_script.from_flags()
        unknown = set(planned.methods) - set(online.METHODS)
        if unknown:
            raise ValueError(
                f"`method` must be of {', '.join(online.METHODS)}. "
                f"Received: method={', '.join(sorted(unknown))}"
            )
        folder = results.writable_folder(flags.FLAGS.output)
    except (ValueError, flags.Error) as error:
        raise app.UsageError(str(error)) from error
    try:
        rows = study.run_study(
            planned,
            folder / "rows.jsonl",
            processes=flags.FLAGS.processes,
            folder=flags.FLAGS.folder,
            report=lambda line: print(line, flush=True),
            run=online.run,
        )
    except KeyboardInterrupt:
        print("\nStopped; finished runs are kept. The same command goes on.")
        raise SystemExit(130) from None
    print("\n" + online_report.markdown(rows) + "\n")
    for path in online_report.write(rows, folder):
        print(path)


if __name__ == "__main__":
    define_flags()
    app.run(main)
