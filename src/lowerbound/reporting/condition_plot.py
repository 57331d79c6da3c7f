"""recoded: codes of test images, decoded with each level of a condition, such as every label."""

import numpy as np
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.image_plots import GAP
from lowerbound.reporting.tiles import centres, compose, displayable, fit_tiles, opaque

LONGEST_NAME = 12


@theme.themed
def recoded(results: Results) -> Figure:
    """The same code under every label. Each row begins with a test image; its code, inferred with its own label, is
    then decoded with each label in turn. What stays the same along a row is in the code, such as slant and thickness;
    what changes is taken from the label. If rows hardly differ, the code is not used; if columns hardly differ, the
    label is not.
    """
    originals, decoded = results.arrays["recoded_originals"], results.arrays["recoded"]
    num_levels = len(decoded) // len(originals)
    rows = [
        tile
        for index, original in enumerate(originals)
        for tile in (original, *decoded[index * num_levels : (index + 1) * num_levels])
    ]
    columns = num_levels + 1
    width = max(1, int(theme.NARROW * theme.DPI) // columns - GAP)
    tiles = opaque(fit_tiles(displayable(np.stack(rows)), width, width * 5 // 4))
    picture = compose(tiles, columns, GAP)
    figure, axes = theme.image_figure(picture, left=0.06, right=0.06, top=0.45, bottom=0.06)
    for middle, name in zip(centres(columns, tiles.shape[2], GAP), ("original", *_levels(results)), strict=False):
        axes.text(middle, -8, name, ha="center", va="bottom", size=8, rotation=0 if len(name) < 4 else 30)
    return figure


def _levels(results: Results) -> list[str]:
    """The levels of the first condition that has some, shortened."""
    known = results.context.get("data", {}).get("conditions", [])
    levels: list[str] = next((list(column["levels"]) for column in known if len(column["levels"]) > 1), [])
    return [level if len(level) <= LONGEST_NAME else f"{level[: LONGEST_NAME - 1]}…" for level in levels]
