"""The README's table of all methods: definition, use, paper, and measured effect."""

import typing

from keras_reinit import study
from keras_reinit.report import verdict
from keras_reinit.results import markdown_table


class Entry(typing.NamedTuple):
    """What the table says of a method, before any number.

    Attributes:
        name: Of the class or function, as Markdown.
        begins: What a stage begins with.
        use: When to try it.
        paper: As Markdown.
        method: The name in `keras_reinit.config.METHODS`, if it is one of them.
    """

    name: str
    begins: str
    use: str
    paper: str
    method: str | None = None


ENTRIES = (
    Entry(
        "`ShrinkPerturb`", "0.4 θ + 0.1 θ′", "data grow; little regularization",
        "[Ash & Adams 2020](https://arxiv.org/abs/1910.08475)", "shrink_perturb",
    ),
    Entry(
        "`LayerwiseReinit`",
        "ever more blocks kept, rescaled and normalized; θ′ above",
        "blocks are clear (in the paper: noisy labels)",
        "[Alabdulmohsin et al. 2021](https://arxiv.org/abs/2109.00267)", "layerwise",
    ),
    Entry(
        "`FullReinit`", "θ′", "as a control: a short training alone",
        "[Furlanello et al. 2018](https://arxiv.org/abs/1805.04770)", "full_reinit",
    ),
    Entry(
        "`BornAgain` with `FullReinit`", "θ′, taught by the last stage",
        "labels are noisy",
        "[Furlanello et al. 2018](https://arxiv.org/abs/1805.04770)", "born_again",
    ),
    Entry(
        "`BornAgain` with `ShrinkPerturb`", "0.4 θ + 0.1 θ′, taught by the last stage",
        "the paper's best without regularization",
        "[Zaidi et al. 2022](https://arxiv.org/abs/2206.10011)",
        "shrink_perturb+distillation",
    ),
    Entry(
        "`WarmRestart`", "θ; only the schedule starts again",
        "as a control: what do restarts alone do?",
        "[Loshchilov & Hutter 2017](https://arxiv.org/abs/1608.03983)", "warm_restart",
    ),
    Entry(
        "`LaterLayerForgetting`", "θ below, θ′ in the upper blocks",
        "lower layers are good already",
        "[Zhou et al. 2022](https://arxiv.org/abs/2202.00155)", "later_layers",
    ),
    Entry(
        "`Rifle`", "θ with an output layer of θ′",
        "a pre-trained network is fine-tuned",
        "[Li et al. 2020](https://arxiv.org/abs/2007.03349)", "rifle",
    ),
    Entry(
        "`WeightForgetting`", "θ′ for single weights, at random",
        "the graph has no clear blocks",
        "[Zhou et al. 2022](https://arxiv.org/abs/2202.00155)", "random_weights",
    ),
    Entry(
        '`WeightForgetting(choice="magnitude")`', "θ′ for the smallest weights",
        "the same", "[Zhou et al. 2022](https://arxiv.org/abs/2202.00155)",
        "smallest_weights",
    ),
    Entry(
        "`KnowledgeEvolution`", "θ′ for all but a slim network inside",
        "data are few, and the slim network is wanted",
        "[Taha et al. 2021](https://arxiv.org/abs/2103.05152)", "knowledge_evolution",
    ),
    Entry(
        "`DenseSparseDense`", "0 for the smallest weights in every other stage",
        "a sparse network is of use on the way",
        "[Han et al. 2017](https://arxiv.org/abs/1607.04381)", "dense_sparse_dense",
    ),
    Entry(
        "`Dash`", "θ shrunk where it points against the descent", "data grow",
        "[Shin et al. 2024](https://arxiv.org/abs/2410.23495)", "dash",
    ),
    Entry(
        "`HareTortoise`", "the moving average of θ",
        "trainings are long (over its 1000 steps)",
        "[Lee et al. 2024](https://arxiv.org/abs/2406.02596)", "hare_tortoise",
    ),
    Entry(
        "`ReDo`", "dormant units: θ′ in, 0 out", "`Diagnostics` find dormant units",
        "[Sokar et al. 2023](https://arxiv.org/abs/2302.12902)", "redo",
    ),
    Entry(
        "`ContinualBackprop`", "at each step: the least useful mature units, as `ReDo`",
        "data change without end",
        "[Dohare et al. 2024](https://doi.org/10.1038/s41586-024-07711-7)",
    ),
    Entry(
        "`SelfNormalizedResets`",
        "at each step: units silent for longer than is usual for them",
        "the same, with thresholds that units set themselves",
        "[Farias & Jozefiak 2025](https://arxiv.org/abs/2410.20098)",
    ),
    Entry(
        "`inject_plasticity`", "(no callback) a new head beside the frozen one",
        "to find out whether plasticity is what lacks",
        "[Nikishin et al. 2023](https://arxiv.org/abs/2305.15555)",
    ),
    Entry(
        "`add_l2_init`", "(no events) θ drawn toward its first values",
        "events are not wanted", "[Kumar et al. 2023](https://arxiv.org/abs/2308.11958)",
    ),
)  # fmt: skip


def methods_table(rows):
    """All methods, with their mean differences to standard training in each setting.

    Args:
        rows: Rows of a study of many methods.
    """
    cells = verdict.cells(study.compared(rows))
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    effects = {(cell.method, cell.setting): _effect(cell) for cell in cells}
    lines = [
        (
            *entry[:4],
            *(effects.get((entry.method, setting), "—") for setting in settings),
        )
        for entry in ENTRIES
    ]
    header = ["", "A stage begins with (θ trained, θ′ fresh)", "Try it when", "From"]
    return markdown_table([*header, *settings], lines)


def _effect(cell):
    if cell.difference is None:
        return "failed" if cell.accuracy is None else ""
    return verdict.emphasized(cell, f"{cell.difference.mean:+.3f}")
