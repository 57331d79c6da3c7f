"""The page of `lowerbound learn`: three lessons with the numbers and pictures of one run.

Formulas are MathML, which browsers typeset. docs/write_formulas.py writes them, docs/write_font.py their font.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from lowerbound.evaluation.bound_terms import EXACT, BoundTerms
from lowerbound.evaluation.gradient_bench import GradientBench
from lowerbound.evaluation.results import Results
from lowerbound.evaluation.worked_example import DrawnCodes, WorkedExample
from lowerbound.foundation.number_format import (
    MINUS,
    format_estimate,
    format_measured,
    format_number,
    format_significant,
    format_sizes,
)
from lowerbound.foundation.numerics import Estimate
from lowerbound.foundation.storage import write_text
from lowerbound.reporting import wording
from lowerbound.reporting.learn_plots import drawn_codes, gradient_variances, lesson_rows
from lowerbound.reporting.model_graph import model_graph
from lowerbound.reporting.pages import Picture, embedded, rendered
from lowerbound.reporting.plots import PLOTS, caption_of
from lowerbound.reporting.terms import adapted_wording
from lowerbound.reporting.tiles import as_png, data_url, displayable

MOST_SHOWN = 4  # numbers of a vector
MOST_LATENTS = 8  # rows of a table


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """What the lessons show of a run."""

    results: Results
    run: Path
    number: int  # of the example in the test split
    label: str
    worked: WorkedExample
    population: BoundTerms | None  # of the first test examples; None for a plain autoencoder
    bench: GradientBench | None
    why_no_gradients: str


@dataclass(frozen=True)
class DrawRow:
    """One draw from the posterior, as text."""

    number: int
    epsilon: str
    z: str
    log_likelihood: str
    log_prior: str
    log_posterior: str
    tile: str  # a data URL; empty unless the data are images


@dataclass(frozen=True)
class VarianceRow:
    """One estimator of the gradient, as text."""

    words: str
    variance: str
    ratio: str  # to the variance of the pathwise estimator


def write_learn_page(material: Material, page: Path) -> Path:
    """Write the page; it loads nothing and contains no scripts."""
    write_text(page, rendered("learn.html.j2", **_view(material)))
    return page


@cache
def formulas() -> Mapping[str, Markup]:
    """The formulas of the page by name, as MathML."""
    stored = json.loads(files("lowerbound.reporting").joinpath("formulas.json").read_text(encoding="utf-8"))
    return {name: Markup(formula["mathml"]) for name, formula in stored.items()}


@cache
def formula_font() -> str:
    """The font of the formulas, as a data URL."""
    return data_url(files("lowerbound.reporting").joinpath("formulas.woff2").read_bytes(), "font/woff2")


def _view(material: Material) -> dict[str, Any]:
    results, worked = material.results, material.worked
    context = results.context
    return {
        "title": f"Learn: {wording.title(results)}",
        "lead": wording.lead(results),
        "version": context.get("versions", {}).get("lowerbound", ""),
        "run": material.run,
        "model": context.get("config", {}).get("model", {}),
        "number": material.number,
        "label": material.label,
        "formula": formulas(),
        "font": formula_font(),
        "worked": worked,
        "terms": worked.terms,
        "population": material.population,
        "is_exact": material.population is not None and material.population.method == EXACT,
        "tile": _tile_of(results, worked.x),
        "decoded_tile": _tile_of(results, worked.decoded),
        "layers": {name: _layers(context, name) for name in ("encoder", "decoder")},
        "graph": _picture("graph", model_graph(results), PLOTS["graph"].caption, results),
        "plane": _plane(material),
        "draws": [] if worked.draws is None else _draw_rows(results, worked.draws),
        "rates": _rates(worked),
        "variances": [] if material.bench is None else _variance_rows(material.bench),
        "variance_picture": _variance_picture(material),
        "why_no_gradients": material.why_no_gradients,
        "adapt": lambda text: adapted_wording(results, text),
        "num": format_number,
        "estimate": lambda value, error: format_estimate(float(value), float(error), "nats"),
        "term": term,
        "vector": vector,
        "sizes": format_sizes,
    }


def term(value: float, decimals: int = 2) -> str:
    """A number within a sum, in brackets if it is negative."""
    text = format_number(value, decimals)
    return f"({text})" if text.startswith(MINUS) else text


def vector(values: Float[np.ndarray, " n"], decimals: int = 2) -> str:
    """The first numbers of a vector, in brackets."""
    shown = ", ".join(format_number(float(value), decimals) for value in values[:MOST_SHOWN])
    return f"({shown}{', …' if len(values) > MOST_SHOWN else ''})"


def _tile_of(results: Results, x: np.ndarray) -> str:
    """An image as a data URL; empty for data of another layout."""
    if results.context.get("data", {}).get("layout", "image") != "image" or x.ndim != 3:
        return ""
    picture = displayable(np.moveaxis(x, 0, -1)[None].astype(np.float32))[0]
    return data_url(as_png(np.ascontiguousarray(picture)), "image/png")


def _layers(context: Mapping[str, Any], name: str) -> list[str]:
    """The layers of a network that have parameters, as kind and output shape."""
    rows = context.get("layers", {}).get(name) or []
    return [f"{row['kind']} {format_sizes(row['output_shape'])}" for row in rows if row["num_parameters"]]


def _picture(name: str, figure: Any, caption: str, results: Results) -> Picture:
    return embedded(figure, name, "", adapted_wording(results, caption))


def _plane(material: Material) -> Picture | None:
    if not material.worked.true_posterior or material.worked.draws is None:
        return None
    return _picture("draws", drawn_codes(material.worked), caption_of(drawn_codes), material.results)


def _variance_picture(material: Material) -> Picture | None:
    if material.bench is None:
        return None
    return _picture("variances", gradient_variances(material.bench), caption_of(gradient_variances), material.results)


def _draw_rows(results: Results, draws: DrawnCodes) -> list[DrawRow]:
    densities = zip(draws.log_likelihood, draws.log_prior, draws.log_posterior, strict=True)
    return [
        DrawRow(
            number=index + 1,
            epsilon="" if draws.epsilon is None else vector(draws.epsilon[index]),
            z=vector(draws.z[index]),
            log_likelihood=format_number(float(of_x), 2),
            log_prior=format_number(float(of_z), 2),
            log_posterior=format_number(float(of_q), 2),
            tile=_tile_of(results, draws.decoded[index]),
        )
        for index, (of_x, of_z, of_q) in enumerate(densities)
    ]


def _rates(worked: WorkedExample) -> list[tuple[str, ...]]:
    """Latent, mean, standard deviation and KL of the latents with the largest KL."""
    rate, deviation = worked.rate_per_latent, worked.standard_deviation
    if rate is None or deviation is None:
        return []
    largest = sorted(np.argsort(-rate, kind="stable")[:MOST_LATENTS])
    columns = (worked.centre, deviation, rate)
    return [(str(j + 1), *(format_number(float(column[j]), 3) for column in columns)) for j in largest]


def _variance_rows(bench: GradientBench) -> list[VarianceRow]:
    rows = lesson_rows(bench)
    pathwise = next((numbers[0] for words, numbers in rows if "pathwise" in words), 0.0)
    return [
        VarianceRow(
            words,
            format_measured(Estimate(float(value), float(error))),
            format_significant(float(value / pathwise)) if pathwise else "",
        )
        for words, (value, error) in rows
    ]
