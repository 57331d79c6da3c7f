"""with_captions: a picture of tiles with a caption of several lines below each column."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from lowerbound.reporting.theme import fit_name
from lowerbound.reporting.tiles import WHITE

SIZE = 11  # pixels of the letters
LINE = 14  # pixels from line to line
INK = 36


def with_captions(
    picture: UInt8[np.ndarray, "height width 3"], captions: Sequence[Sequence[str]], pitch: int
) -> UInt8[np.ndarray, "new_height width 3"]:
    """A picture with one caption below each of its columns, which begin every `pitch` pixels.

    A line that is wider than its column is shortened in the middle; a font of matplotlib is used, so a picture does not
    depend on the fonts of the machine.
    """
    num_lines = max((len(lines) for lines in captions), default=0)
    if not num_lines:
        return picture
    band = Image.new("RGB", (picture.shape[1], num_lines * LINE + LINE // 2), (WHITE, WHITE, WHITE))
    draw = ImageDraw.Draw(band)
    for column, lines in enumerate(captions):
        for number, line in enumerate(lines):
            draw.text((column * pitch, number * LINE + 2), _fitted(line, pitch - 2), fill=(INK, INK, INK), font=_font())
    return np.concatenate([picture, np.asarray(band)])


def _fitted(line: str, width: int) -> str:
    """The line, shortened to a width in pixels."""
    text = fit_name(line, len(line) or 1)
    for most in range(len(text), 1, -1):
        if _font().getlength(text) <= width:
            return text
        text = fit_name(line, most - 1)
    return text


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), SIZE)
