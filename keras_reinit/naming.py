"""What tables call a run: its setting, which is the problem, and its method.

Methods are compared within a setting. How many stages a method has is a part of its
name; the budget of epochs, which all methods share, is a part of the setting.
"""

import collections

# Named only where rows differ in them: those of a setting, and those of a method, which
# standard training has no part in.
FIELDS = {
    "dataset": "{}",
    "model": "{}",
    "width": "width {}",
    "stem_stride": "stem stride {}",
    "normalization": "{} normalization",
    "crop_padding": "crop padding {}",
    "train_examples": "{} images",
    "validation_size": "{} validation images",
    "noisy_validation": "noisy validation labels: {}",
    "batch_size": "batches of {}",
    "momentum": "momentum {}",
    "weight_decay_mode": "{} weight decay",
    "epochs": "{} epochs",
    "dtype_policy": "{}",
    "strategy": "strategy {}",
    "data": "data {}",
}
METHOD_FIELDS = {
    "stages": "{} stages",
    "shrink": "shrink {}",
    "perturb": "perturb {}",
    "num_blocks": "{} blocks",
    "distillation_weight": "distillation weight {}",
    "temperature": "temperature {}",
    "optimizer_state": "{} optimizer state",
}
# Rows may be older than a field.
MISSING = {"dtype_policy": "float32", "normalization": "fitted", "stem_stride": 1}


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
    some = [row for row in rows if row["config"]["method"] != "standard"]
    fields = _varied(rows, FIELDS, without)
    of_methods = _varied(some, METHOD_FIELDS, without)
    return [_name(row, fields, of_methods, without) for row in rows]


def _varied(rows, fields, without):
    """Those fields in which rows differ."""
    return {
        name: text
        for name, text in fields.items()
        if name not in without and _differ(rows, name)
    }


def _differ(rows, name):
    """Whether a field tells some rows apart."""
    if name != "data":
        return len({value_of(row, name) for row in rows}) > 1
    # Only where one name stands for several data sets; older rows do not say.
    known = {(row["config"].get("dataset"), row.get("data")) for row in rows}
    known = [dataset for dataset, data in known if data]
    return len(known) > len(set(known))


def _name(row, fields, of_methods, without):
    config = row["config"]
    if "label_noise" in without:
        config = {**config, "label_noise": 0.0}
    of_methods = {} if config["method"] == "standard" else of_methods
    setting = [setting_name(config), *_told(row, fields)]
    return ", ".join(setting), ", ".join([config["method"], *_told(row, of_methods)])


def _told(row, fields):
    values = {name: value_of(row, name) for name in fields}
    return [
        text.format("default" if values[name] is None else values[name])
        for name, text in fields.items()
    ]


def value_of(row, name):
    """A field of a row's config, or what the row itself tells."""
    if name == "train_examples":
        return row.get(name) or row["config"].get("train_size")
    if name == "model" and "network" in row.get("given", ()):
        return _own_network(row)
    if name == "strategy":
        return row.get(name, "none")
    if name == "data":
        return (row.get(name) or "")[:8] or None
    return row["config"].get(name, MISSING.get(name))


def _own_network(row):
    """A network of the user's own, told apart by what a search built it with."""
    own = row.get("hyperparameters", {})
    built = {k: v for k, v in own.items() if k != "seed" and k not in row["config"]}
    return ", ".join(["own network", *(f"{k} {v}" for k, v in built.items())])


def by_setting(rows):
    """Dict from a setting's name to a dict from method to its rows, in their order."""
    groups = collections.defaultdict(dict)
    for row, (setting, method) in zip(rows, names(rows), strict=True):
        groups[setting].setdefault(method, []).append(row)
    return groups
