"""write_score_page: the page of `score`, with the most anomalous examples and why they are anomalous."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps

from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.number_format import format_number
from lowerbound.foundation.storage import check_is_no_dangling_link, write_text
from lowerbound.foundation.text import skipped_lines
from lowerbound.inference.explanations import Explanation, Reason
from lowerbound.inference.scored import Scored, verdict_in_words
from lowerbound.reporting.pages import embedded, rendered
from lowerbound.reporting.plots import caption_of
from lowerbound.reporting.score_plot import score_figure
from lowerbound.reporting.tiles import as_png, data_url, displayable, fit_tiles

TILE = 160  # pixels
RESIDUAL_COLOURS = "RdBu_r"


@dataclass(frozen=True)
class _Tile:
    """A picture of an example."""

    caption: str
    source: str


@dataclass(frozen=True)
class _Card:
    """One example on the page."""

    id: str
    score: str
    verdict: str
    terms: str
    tiles: list[_Tile]
    reasons: tuple[Reason, ...]


def check_page(page: Path) -> None:
    """UsageError for a path that is not a page of HTML."""
    if page.suffix.lower() != ".html":
        raise UsageError(f"{page} is not a page of HTML; accepted: .html.", hint="page")
    check_is_no_dangling_link(page)


def write_score_page(page: Path, run: str, scored: Scored) -> Path:
    """Write the page, atomically."""
    judged = scored.judged
    scale = _residual_scale(list(scored.explained.values()))
    figure = score_figure(judged.scores[judged.by], scored.held_out, judged.threshold.value, judged.by)
    text = rendered(
        "score.html.j2",
        title=f"Anomaly scores by {run}",
        verdict=verdict_in_words(scored),
        by=judged.by,
        kind="" if any(not name.isdigit() for name in scored.ids) else "Example ",
        pictures=[embedded(figure, "scores", "Scores and threshold", caption_of(score_figure))],
        cards=list(_cards(scored, scale)),
        scale=format_number(scale, 2),
        notes=[*scored.notes, *skipped_lines(scored.skipped)],
        num_examples=len(scored),
    )
    write_text(page, text)
    return page


def _cards(scored: Scored, scale: float) -> Iterator[_Card]:
    deciding = scored.judged.scores[scored.judged.by]
    for index, explanation in scored.explained.items():
        yield _Card(
            id=scored.ids[index],
            score=format_number(float(deciding[index]), 2),
            verdict="anomalous" if scored.is_anomalous[index] else "below the threshold",
            terms=_terms(explanation),
            tiles=list(_tiles(explanation, scale)),
            reasons=explanation.reasons,
        )


def _terms(explanation: Explanation) -> str:
    whole = f"−ELBO {_signed(explanation.excess)} nats from the mean of held-out examples"
    if np.isnan(explanation.distortion):
        return whole
    return f"{whole} (distortion {_signed(explanation.distortion)}, rate {_signed(explanation.rate)})"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{format_number(value, 1)}"


def _residual_scale(explanations: Sequence[Explanation]) -> float:
    """The largest residual of all shown images, at which the colours end; 0 without images."""
    return max((float(np.abs(_residual(one)).max()) for one in explanations if one.pictures), default=0.0)


def _residual(explanation: Explanation) -> Float[np.ndarray, "height width"]:
    given, expected = explanation.pictures
    residual: np.ndarray = (given - expected).mean(axis=-1)
    return residual


def _tiles(explanation: Explanation, scale: float) -> Iterator[_Tile]:
    if not explanation.pictures:
        return
    given, expected = explanation.pictures
    for caption, image in (("given", given), ("decoded", expected)):
        yield _Tile(caption, _picture(displayable(image[None])))
    coloured = colormaps[RESIDUAL_COLOURS](0.5 + 0.5 * _residual(explanation) / (scale or 1.0))[..., :3]
    yield _Tile("residual", _picture((coloured[None] * 255).round().astype(np.uint8)))


def _picture(tile: UInt8[np.ndarray, "1 height width 3"]) -> str:
    size = max(TILE, tile.shape[1], tile.shape[2])
    return data_url(as_png(fit_tiles(tile, size, size)[0]), "image/png")
