"""The paper's tables beside the cells of ours that they are of: docs/full_scale.md.

    python -m benchmarks.full_scale

Numbers are test accuracies in percent, as printed in Zaidi et al. 2022. Ours come from
committed rows of the presets; where there are none, the cell says so. The page also
lists every choice of these presets, see `benchmarks.presets.protocol`.

On n GPUs, BatchNorm takes its statistics from 1/n of a batch.
"""

import pathlib
import statistics

from benchmarks import pages, presets
from benchmarks.presets import protocol
from keras_reinit import models
from keras_reinit.data import Facts
from keras_reinit.naming import by_setting
from keras_reinit.results import finished, markdown_table, mean_validation
from keras_reinit.training.memory import training_memory

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "full_scale.md"
METHODS = (
    "standard",
    "born_again",
    "warm_restart",
    "layerwise",
    "layerwise+distillation",
    "shrink_perturb",
    "shrink_perturb+distillation",
)
# Table 1 (ResNet-18), Table 3 (ResNet-18) and Table 2 (PreAct-ResNet-18).
PAPER = {
    "cifar100/table": {
        "no regularization": (55.5, 56.4, None, 61.0, 62.5, 63.1, 63.5),
        "D": (70.8, 70.5, None, 72.1, 74.7, 71.9, 74.0),
        "DC": (71.2, 70.9, 71.0, 74.6, 75.4, 75.4, 75.4),
        "DCW": (77.9, 77.2, 77.5, 77.5, 77.3, 77.5, 77.0),
    },
    "cifar10/table": {
        "no regularization": (83.8, 84.0, None, 87.6, 87.3, 88.8, 88.6),
        "D": (92.5, 92.6, None, 92.6, 93.2, 93.1, 94.1),
        "DC": (92.8, 92.6, None, 93.4, 93.4, 94.1, 94.2),
        "DCW": (95.0, 94.8, None, 94.7, 95.0, 94.7, 94.7),
    },
    "tiny_imagenet/table": {
        "no regularization": (39.55, None, None, None, None, 41.47, 44.81),
        "DCW": (59.12, None, None, None, None, 58.95, 61.03),
    },
    "cifar100/noise": {
        "DCW + 20% noise": (66.2, None, None, 70.4, 72.9, 69.7, 71.5),
        "DCW + 40% noise": (58.6, None, None, 65.5, 67.2, 64.0, 66.6),
    },
    "cifar10/noise": {
        "DCW + 20% noise": (86.5, None, None, 90.4, 92.2, 90.4, 91.6),
        "DCW + 40% noise": (82.6, None, None, 87.5, 89.8, 85.6, 88.7),
    },
    "tiny_imagenet/noise": {
        "DCW + 20% noise": (41.2, None, None, None, None, 49.0, 53.8),
        "DCW + 40% noise": (29.3, None, None, None, None, 42.2, 45.7),
    },
}
HEAD = """# The paper's full scale

<!-- made by python -m benchmarks.full_scale; do not edit -->

Test accuracies in percent: the paper's (Zaidi et al. 2022, arXiv 2206.10011, Tables 1
to 3, Figures 5 and 7) and, behind the slash, ours. *Not run* is what it says: CIFAR and
Tiny ImageNet need a download, and each table a GPU for months ([what it would
cost](search.md#what-will-it-cost)). Tests train narrower networks for a few steps of
each on fakes of tensorflow-datasets. One command on a machine with GPUs (a TPU:
`--strategy=tpu`):

```sh
python -m benchmarks.study --preset=cifar100/table --processes=1 --strategy=mirrored \\
    --dtype_policy=mixed_bfloat16 --steps_per_execution=90
```

On n GPUs, BatchNorm takes its statistics from the 125/n images of one GPU. On one, with
`--strategy=none`, it takes them from all 125. The rows, copied to
`benchmarks/results/cifar100`, fill this page with `python -m benchmarks.full_scale`.

Run `cifar100/stem` and `tiny_imagenet/stem` first. The paper does not state the stride
of the stem. These presets train one network with each stride, to be compared with the
paper's 77.9 and 59.1.
"""


CHOICES = """## Every choice

*Paper*: stated there. *Inferred from its figures*: the only reading that fits them.
*Ours*: neither. Values are read from the presets, or from the code where no flag
decides them.
"""


MEMORY = """## Memory

What a training step needs, about and on paper, in float32: weights with gradients,
momentum and teacher, and the outputs of all layers for a batch. Mixed precision halves
the outputs.
"""


def page():
    """The whole page, as Markdown."""
    sections = [_section(*one) for one in PAPER.items()]
    return "\n".join([HEAD, _choices(), _memory(), *sections])


def _choices():
    """Every choice of the presets: its value and its source."""
    lines = [
        (one.name, protocol.shown(one), one.source, one.note)
        for one in protocol.CHOICES
    ]
    table = markdown_table(("Choice", "Value", "Source", "Note"), lines)
    return f"{CHOICES}\n{table}\n"


def _memory():
    """What training steps need: one line for each network and data set."""
    lines = []
    for name in ("cifar100/table", "cifar100/mobilenet", "tiny_imagenet/table"):
        given = presets.flags(name)
        facts, batch = Facts.of(given["dataset"][0]), int(given["batch_size"][0])
        model = given["model"][0]
        network = models.MODELS[model](facts.shape, facts.num_classes)
        found = training_memory(network, batch, taught=True)
        sizes = [f"{found[part] / 1e9:.2f} GB" for part in ("weights", "outputs")]
        lines.append(
            (model, facts.name, f"{network.count_params():,}", str(batch), *sizes)
        )
    header = ("Network", "Data", "Parameters", "Batch", "Weights", "Outputs")
    return f"{MEMORY}\n{markdown_table(header, lines)}\n"


def _section(name, settings):
    ours = _ours(name)
    lines = [
        [method, *(_cell(column[i], ours.get((setting, method)))
                   for setting, column in settings.items())]
        for i, method in enumerate(METHODS)
        if any(column[i] is not None for column in settings.values())
    ]  # fmt: skip
    return f"## {name}\n\n{markdown_table(['Method', *settings], lines)}\n"


def _ours(name):
    if not (presets.folder(name) / "rows.jsonl").exists():
        return {}
    return means(presets.rows(name), presets.report_epoch(name))


def means(rows, report_epoch="final"):
    """Dict from setting and method to the mean test accuracy.

    Of several numbers of stages the one with the best mean validation accuracy counts.

    Args:
        rows: Result rows.
        report_epoch: `"final"`, the last epoch, or `"best"`, the one with the best
            validation accuracy. Both accuracies are of this epoch.
    """
    found = {}
    for setting, methods in by_setting(finished(rows)).items():
        for some in methods.values():
            method = some[0]["config"]["method"]
            found.setdefault((setting, method), []).append(some)
    return {
        key: _test(max(some, key=lambda rows: mean_validation(rows, report_epoch)),
                   report_epoch)
        for key, some in found.items()
    }  # fmt: skip


def _test(rows, when):
    return statistics.mean(row[when]["test_accuracy"] for row in rows)


def _cell(paper, ours):
    told = "not run" if ours is None else f"{100 * ours:.1f}"
    return "—" if paper is None else f"{paper:g} / {told}"


if __name__ == "__main__":
    pages.run(PAGE, page)
