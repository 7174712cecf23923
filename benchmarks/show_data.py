"""Draws training images as a network sees them, with clean and noisy labels.

    python -m benchmarks.show_data --dataset=digits --label_noise=0.4 \\
        --augment=crop_flip+cutout

Writes OUTPUT/data.png: one example a row, the image itself first, then in four epochs.
Takes seconds.
"""

import dataclasses

import numpy as np
from absl import app, flags

from benchmarks import flags as shared
from keras_reinit import data, plots, storage, training
from keras_reinit.data.images import pixels_of

ROWS = flags.DEFINE_integer("rows", 8, "number of examples", lower_bound=1)
EPOCHS = 4


def columns(config, folder, count):
    """Images and titles of each column, for `plots.image_figure`."""
    config = dataclasses.replace(config, regularization="D")
    splits = training.load(config, folder)
    chosen = some_of(splits, count)
    images, labels = (part[chosen] for part in splits.train)
    images, names = pixels_of(images), splits.class_names
    clean = labels if splits.clean_labels is None else splits.clean_labels[chosen]
    shown = [images]
    titles = [
        [
            names[a] if a == b else f"{names[a]} \N{RIGHTWARDS ARROW} {names[b]}"
            for a, b in zip(clean, labels, strict=True)
        ]
    ]
    augment = config.augmentation(images.shape[1], splits.flip)
    for epoch in range(EPOCHS):
        draws = np.random.default_rng((config.seed, epoch)).random(
            (len(images), sum(one.num_draws for one in augment)), "float32"
        )
        vectors = np.eye(len(names), dtype="float32")[labels]
        seen, soft = data.augment_batch(augment, images, vectors, draws)
        shown.append(np.asarray(seen))
        titles.append([mixture(row, names) for row in np.asarray(soft)])
    return shown, titles


def some_of(splits, count):
    """Places of training examples: wrongly labelled ones, then others."""
    labels = splits.train[1]
    clean = labels if splits.clean_labels is None else splits.clean_labels
    wrong, right = np.flatnonzero(labels != clean), np.flatnonzero(labels == clean)
    wrong = wrong[: count // 2]
    return np.concatenate([wrong, right[: count - len(wrong)]])


def mixture(chances, names):
    """What a label consists of, the largest part first."""
    parts = [(c, name) for c, name in zip(chances, names, strict=True) if c > 0.005]
    if len(parts) == 1:
        return parts[0][1]
    return "\n".join(f"{chance:.2f} {name}" for chance, name in sorted(parts)[::-1])


def main(argv):
    """Flags in, one picture out."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        folder = storage.writable_folder(flags.FLAGS.output)
        shown, titles = columns(shared.config(), flags.FLAGS.folder, ROWS.value)
    except (ValueError, flags.Error) as error:
        raise app.UsageError(str(error)) from error

    path = folder / "data.png"
    path.write_bytes(plots.png(plots.image_figure(shown, titles), dpi=150))
    print(path)


if __name__ == "__main__":
    shared.define("results/data")
    app.run(main)
