"""Images side by side."""

import numpy as np

from keras_reinit.plots.canvas import panels, styled


@styled()
def image_figure(columns, titles):
    """Draws images side by side, each with its title.

    Args:
        columns: Sequence of arrays of images, (n, height, width, channels), uint8 or
            floats in [0, 1]; one column each.
        titles: Sequence of lists of n strings, one list for each column.

    Returns:
        A matplotlib figure of n rows.
    """
    rows = len(columns[0])
    figure, axes = panels(rows, len(columns), (1.25, 1.4))
    for column, images in enumerate(columns):
        for row, image in enumerate(images):
            axis = axes[row, column]
            gray = image.shape[-1] == 1
            most = 255 if image.dtype == np.uint8 else 1
            axis.imshow(image.squeeze(-1) if gray else image, "gray", vmin=0, vmax=most)
            axis.set_title(titles[column][row], fontsize=7)
            axis.axis("off")
    return figure
