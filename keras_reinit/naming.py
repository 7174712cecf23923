"""What tables call a run: its setting, which is the problem, and its method.

Methods are compared within a setting. How many stages a method has is a part of its
name; the budget of epochs, which all methods share, is a part of the setting.
"""

import collections

# Named only where rows differ in them.
FIELDS = {
    "dataset": "{}",
    "model": "{}",
    "width": "width {}",
    "train_examples": "{} images",
    "batch_size": "batches of {}",
    "momentum": "momentum {}",
    "epochs": "{} epochs",
    "dtype_policy": "{}",
}
# Rows may be older than a field.
MISSING = {"dtype_policy": "float32"}


def setting_name(config):
    """What a table calls a setting, such as `"DCW + 40% noise"`.

    Args:
        config: Dict of the fields of a `Config`; old rows lack some of them.

    Example:

    >>> setting_name({"regularization": "DCW", "label_noise": 0.4})
    'DCW + 40% noise'
    """
    name = config["regularization"]
    if name == "none":
        name = "no regularization"
    augment = config.get("augment", "crop_flip")
    if "D" in config["regularization"] and augment != "crop_flip":
        name += f" ({augment})"
    if config.get("label_smoothing"):
        name += f" + smoothing {config['label_smoothing']}"
    if config["label_noise"]:
        kind = config.get("noise", "symmetric")
        kind = "" if kind == "symmetric" else f"{kind} "
        name += f" + {config['label_noise']:.0%} {kind}noise"
    if config.get("full_budget"):
        name += ", full budget in each stage"
    return name


def names(rows, without=()):
    """A pair of strings for each row: its setting and its method.

    Args:
        rows: Result rows.
        without: Names of `FIELDS`, or `"stages"` or `"label_noise"`, that are left out.

    Example:

    >>> config = {"regularization": "DCW", "label_noise": 0.0, "method": "rifle"}
    >>> names([{"config": {**config, "epochs": epochs}} for epochs in (10, 20)])
    [('DCW, 10 epochs', 'rifle'), ('DCW, 20 epochs', 'rifle')]
    """
    fields = [name for name in FIELDS if name not in without]
    values = [[value_of(row, name) for name in fields] for row in rows]
    varied = [len(set(column)) > 1 for column in zip(*values, strict=True)]
    texts = [FIELDS[name] for name in fields]
    stages = {
        row["config"].get("stages")
        for row in rows
        if row["config"]["method"] != "standard"
    }
    counts = len(stages) > 1 and "stages" not in without
    found = []
    for row, own in zip(rows, values, strict=True):
        config = row["config"]
        if "label_noise" in without:
            config = {**config, "label_noise": 0.0}
        parts = [setting_name(config)]
        parts += [
            text.format("default" if value is None else value)
            for text, value, told in zip(texts, own, varied, strict=True)
            if told
        ]
        method = config["method"]
        if counts and method != "standard":
            method += f", {config['stages']} stages"
        found.append((", ".join(parts), method))
    return found


def value_of(row, name):
    """A field of a row's config, or what the row itself tells."""
    if name == "train_examples":
        return row.get(name) or row["config"].get("train_size")
    return row["config"].get(name, MISSING.get(name))


def by_setting(rows):
    """Dict from a setting's name to a dict from method to its rows, in their order."""
    groups = collections.defaultdict(dict)
    for row, (setting, method) in zip(rows, names(rows), strict=True):
        groups[setting].setdefault(method, []).append(row)
    return groups
