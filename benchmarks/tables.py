"""The tables of the README and of docs/, each made from the rows of one benchmark."""

from benchmarks import dry_run, methods_table
from keras_reinit import study
from keras_reinit.report import memorization as memorization_report
from keras_reinit.report import online as online_report
from keras_reinit.report import sensitivity, verdict
from keras_reinit.results import markdown_table


def input_table(rows):
    """Images per second of each way, on each number of cores."""
    latest = {row["config"]["cores"]: row for row in rows}
    cells = [
        (cores, cell) for cores, row in sorted(latest.items()) for cell in row["cells"]
    ]
    names = sorted({name for _, cell in cells for name in cell["images_per_second"]})
    names = ["keras_reinit", *(name for name in names if name != "keras_reinit")]
    lines = [f"| Images | Recipe | Cores | {' | '.join(names)} |"]
    lines.append("| --- " * (3 + len(names)) + "|")
    for cores, cell in cells:
        rates = [cell["images_per_second"].get(name) for name in names]
        rates = ["" if rate is None else f"{rate:,.0f}" for rate in rates]
        size = f"{cell['side']}×{cell['side']}×3"
        lines.append(f"| {size} | {cell['recipe']} | {cores} | {' | '.join(rates)} |")
    shares = latest[max(latest)]["input_over_step"] if latest else {}
    lines += [
        "",
        "Making a batch (32×32×3, crop and flip) takes this share of a step: ",
    ]
    lines[-1] += (
        ", ".join(f"{name} {share:.2%}" for name, share in shares.items()) + "."
    )
    return "\n".join(lines)


def event_table(rows):
    """What one event costs, beside what else was timed in the same run."""
    row = rows[-1]
    versions, growth = row["versions"], row["peak_growth_megabytes"]
    lines = [
        "One event of Shrink & Perturb on all 11.2 million weights of "
        f"PreAct-ResNet-18, medians of {row['config']['rounds']} interleaved rounds on "
        f"{', '.join(row['device'])} (TensorFlow {versions['tensorflow']}, Keras "
        f"{versions['keras']}). While it ran, the process grew by "
        f"{growth['event']:.0f} MB, with `clone_model` by "
        f"{growth['clone_model']:.0f} MB; the largest variable has 9.4 MB.",
        "",
        "| | Milliseconds | The event takes |",
        "| --- | --- | --- |",
    ]
    for name, seconds in row["seconds"].items():
        ratio = row["event_over"].get(name)
        times = "" if ratio is None else f"{ratio:.2f} times as long"
        lines.append(f"| {name} | {1000 * seconds:.1f} | {times} |")
    return "\n".join(lines)


def distillation_table(rows):
    """What a teacher costs a training step, beside what it may cost."""
    row = rows[-1]
    device, rounds = row["device"][0], row["config"]["rounds"]
    lines = [
        f"A training step of small_cnn, 32×32×3 in batches of 128, on {device}: "
        f"medians of the ratios in {rounds} rounds, with 95% intervals (`python -m "
        f"benchmarks.speed --part=distillation --rounds={rounds}`).",
        "",
        "| BornAgain | Ratio |",
        "| --- | --- |",
    ]
    for name, ratio in row["ratios"].items():
        low, high = row["ratios_95"][name]
        lines.append(f"| {name} | {ratio:.3f} [{low:.3f}, {high:.3f}] |")
    return "\n".join(lines)


def diagnostics_table(rows):
    """What is measured in an epoch costs, in training steps."""
    row = rows[-1]
    device, rounds = row["device"][0], row["config"]["rounds"]
    lines = [
        (name, f"{ratio:.2f} [{low:.2f}, {high:.2f}]")
        for name, ratio in row["ratios"].items()
        for low, high in (row["ratios_95"][name],)
    ]
    return (
        "What `Diagnostics` measure on 256 images, in training steps of small_cnn, "
        f"32×32×3 in batches of 128, on {device}: medians of {rounds} rounds with 95% "
        f"intervals (`python -m benchmarks.speed --part=diagnostics "
        f"--rounds={rounds}`).\n\n" + markdown_table(["Probe", "Steps"], lines)
    )


def effects_table(rows):
    """Each method in each setting, by its difference to standard training."""
    return markdown_table(*verdict.matrix(verdict.cells(study.compared(rows))))


def online_table(rows):
    """What rows of data in chunks say."""
    return online_report.markdown(study.compared(rows))


def memorization_table(rows):
    """What rows of memorization say."""
    return memorization_report.markdown(study.compared(rows))


def search_table(rows):
    """Trainings an hour of whole searches."""
    row, names = rows[-1], ("keras_tuner.GridSearch", "benchmarks.search")
    lines = [
        f"Trainings an hour, medians of {row['config']['rounds']} rounds on "
        f"{row['config']['cores']} cores, from the start of the processes on.",
        "",
        f"| Network | {' | '.join(names)} | Ratio |",
        "| --- | --- | --- | --- |",
    ]
    for cell in row["cells"]:
        hourly = [f"{cell['trials_per_hour'][name]:,.0f}" for name in names]
        ratio = f"{cell['over_stock'][names[1]]:.1f}"
        lines.append(f"| {' | '.join([cell['model'], *hourly, ratio])} |")
    return "\n".join(lines)


def plan_table(rows):
    """What searches would cost, of dry runs."""
    devices = [dry_run.HERE, *dry_run.ASSUMED]
    lines = [
        f"| Search | Trainings | Epochs | Operations | {' | '.join(devices)} | MB |",
        "| --- " * (5 + len(devices)) + "|",
    ]
    total = [0] * (4 + len(devices))
    for row in rows:
        found = row["estimate"]
        numbers = [found["trials"], found["epochs"], found["flops"]]
        numbers += [*map(row["hours"].get, devices), found["bytes"] / 1e6]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        lines.append(_plan_line(row["config"]["name"], numbers))
    return "\n".join([*lines, _plan_line("all", total)])


def _plan_line(name, numbers):
    trials, epochs, flops, *others = numbers
    cells = [name, f"{trials:,}", f"{epochs:,}", f"{flops:.1e}"]
    return f"| {' | '.join([*cells, *(f'{one:,.0f}' for one in others)])} |"


def sensitivity_table(rows):
    """How much of the grid of learning rate and weight decay is near the best."""
    return sensitivity.markdown(sensitivity.sensitivities(rows))


TABLES = {
    "effects": effects_table,
    "methods": methods_table.methods_table,
    "online": online_table,
    "memorization": memorization_table,
    "diagnostics": diagnostics_table,
    "plan": plan_table,
    "search": search_table,
    "sensitivity": sensitivity_table,
    "event": event_table,
    "input": input_table,
    "distillation": distillation_table,
}
