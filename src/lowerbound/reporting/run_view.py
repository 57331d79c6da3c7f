"""run_view: what a notebook shows of a run: the key number, what it learned as a picture, curves, scores."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from lowerbound.evaluation.results import Results
from lowerbound.foundation import html_view
from lowerbound.foundation.html_view import Html
from lowerbound.foundation.number_format import MINUS, format_significant
from lowerbound.reporting import palette, wording
from lowerbound.reporting.pages import REPORT, figures_of, thumbnail
from lowerbound.reporting.terms import is_autoencoder

PICTURES = ("Latent manifold", "Samples from the prior", "Latent space", "Reconstructions")
"""Subjects of the picture; the first that the report has is shown."""

PICTURE_WIDTH, THUMBNAIL = 300, 330  # CSS pixels, and those of the image
CURVE_WIDTH, CURVE_HEIGHT = 300, 200
PAD = 8  # CSS pixels around the curves
COLOURS = {"train": palette.TRAIN, "validation": palette.VALIDATION}
TEXT = 'fill="currentColor" font-size="12" text-anchor="end" font-family="sans-serif"'
FRAME = (
    f'<rect x="0.5" y="0.5" width="{CURVE_WIDTH - 1}" height="{CURVE_HEIGHT - 1}" fill="none" stroke="currentColor" '
    'opacity="0.3"/>'
)
SETTLED = 0.25  # share of the epochs whose steep descent does not set the scale


def run_view(results: Results, run: Path) -> str:
    """The HTML of a run, from its results and the figures of its report."""
    key = wording.key_number(results)
    return html_view.view(
        wording.title(results),
        html_view.paragraph(wording.lead(results)),
        html_view.paragraph(f"{key.text} {key.score.unit}" if key else "", "key"),
        html_view.paragraph(f"{key.about}; lower is better" if key else "", "note"),
        html_view.in_row(_picture(run), _curves(results)),
        html_view.folded(f"{len(results.scores)} scores", *results.html_parts()),
        html_view.paragraph(f"report: {run / REPORT}", "note"),
    )


def _picture(run: Path) -> Html:
    for subject in PICTURES:
        for path in figures_of(run, subject):
            picture = html_view.image(thumbnail(path, THUMBNAIL), subject, PICTURE_WIDTH)
            return html_view.figure(picture, subject.lower())
    return Html()


def _curves(results: Results) -> Html:
    """The key number by epoch, on the training and the watched split."""
    is_plain = is_autoencoder(results)
    term, sign, name = ("distortion", 1, "reconstruction error") if is_plain else ("elbo", -1, f"{MINUS}ELBO")
    lines = {
        split: [sign * record[split][term] for record in results.history if record[split]]
        for split in ("train", "validation")
    }
    return training_strip(lines, name) if any(lines.values()) else Html()


def training_strip(lines: dict[str, list[float]], name: str) -> Html:
    """Curves by epoch in a small SVG, with their last values in the caption. The scale is that of the later epochs;
    what lies outside of it is cut off.
    """
    later = [value for values in lines.values() for value in values[round(SETTLED * (len(values) - 1)) :]]
    low, high = min(later), max(later)
    drawn = "".join(_line(values, low, high, COLOURS[split]) for split, values in lines.items())
    names = "".join(
        f'<text x="{CURVE_WIDTH - PAD}" y="{20 + 16 * row}" {TEXT}>{split} '
        f'<tspan fill="{COLOURS[split]}">●</tspan></text>'
        for row, split in enumerate(lines)
    )
    last = ", ".join(f"{split} {format_significant(values[-1])}" for split, values in lines.items() if values)
    caption = f"{name} by epoch, in nats; at the end: {last}"
    size = f'width="{CURVE_WIDTH}" height="{CURVE_HEIGHT}" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}"'
    return html_view.figure(
        Html(f'<svg {size} role="img" aria-label="{escape(caption)}">{FRAME}{drawn}{names}</svg>'), caption
    )


def _line(values: Sequence[float], low: float, high: float, colour: str) -> str:
    """One curve, with a dot at its last epoch."""
    width, height = CURVE_WIDTH - 2 * PAD, CURVE_HEIGHT - 2 * PAD
    span = high - low or 1.0
    points = [
        (PAD + width * index / max(1, len(values) - 1), PAD + height * (1 - (value - low) / span))
        for index, value in enumerate(values)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points[-1:])
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>{dots}'
