"""Names that somebody else chose, of columns, levels, labels, runs and data, are shown in figures and never obeyed."""

import dataclasses
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text

from lowerbound.evaluation.comparison import ComparedScore, Comparison, ComparisonRow
from lowerbound.evaluation.results import Score
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting import theme
from lowerbound.reporting.comparison_plot import comparison_figure
from lowerbound.reporting.plots import PLOTS, plots_for
from lowerbound.reporting.report import write_report

pytestmark = pytest.mark.usefixtures("coarse_figures")

NASTY = {
    "unfinished mathematics": r"$\frac{$",
    "finished mathematics": "$x^2$",
    "one dollar": "5 $",
    "hidden": "_private",
    "scripts": "a_b^{c",
    "backslash": "\\alpha\\",
    "escaped dollar": r"\$5\$",
    "emoji": "😀👩‍👩‍👧",
    "two lines": "one\ntwo\r\n\tthree",
    "markup": "<script>alert(1)</script>",
    "comment": "--><g/><!--",
    "controls": "\x00\x01\x1b[31m\u202e",
    "surrogate": "\ud800",
    "very long": "x" * 10_000,
    "wide": "𝕎\u0301" * 50,
    "other scripts": "名前 שם नाम",
    "nothing": "",
}


NAMES = list(NASTY.values())


def named(make_results, names=NAMES, **kind):
    """Results in which these are the names of the columns, of their levels and of the labels, each once at least."""
    results = make_results(**{"num_labels": len(names)} | kind)
    context = dict(results.context)
    context["recipe"] = context["command"] = names[0]
    context["data"] = context["data"] | {"name": names[0], "source": names[0], "label_names": names}
    if results.context["data"].get("columns"):
        context["data"] = context["data"] | {"columns": columns(names)}
        for array in ("elements", "elements_reconstructed", "elements_drawn"):
            results.arrays[array] = results.arrays[array][:, np.arange(len(names)) % 4]
        results.arrays["elements_shown"] = np.arange(len(names))
    return dataclasses.replace(results, context=context)


def columns(names):
    """As many columns as there are names, every fourth of them with two levels."""
    is_binary = (np.arange(len(names)) % 4 == 2).tolist()
    return [
        {"name": name, "kind": "binary" if binary else "numeric", "levels": [name, names[index - 1]] if binary else []}
        for index, (name, binary) in enumerate(zip(names, is_binary, strict=True))
    ]


def texts(figure):
    """Every text that is seen of a figure, once it is drawn."""
    theme.png(figure)
    return seen(figure)


def seen(figure):
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


KINDS = {
    "table": {"rows": True, "full": True},
    "table of three latents": {"rows": True, "latent_dim": 3},
    "images": {"full": True, "manifold_sizes": (3,)},
    "images of one latent": {"latent_dim": 1},
    "images of five latents": {"latent_dim": 5},
    "deterministic": {"variational": False},
}


OURS = (r"$z_{", r"$N$", r"$\mathbf{", r"$\phi$", r"$\theta$", r"$p_\theta", r"$q_\phi")
"""Beginnings of the formulas in figures."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_drawn_whatever_things_are_called_and_only_our_own_formulas_are_mathematics(make_results, kind):
    results = named(make_results, **KINDS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)  # before 3.11
        for plot in plots_for(results).values():
            figure = plot.draw(results)
            ElementTree.fromstring(theme.svg(figure))
            read = [text.get_text() for text in seen(figure) if text.get_parse_math()]
            assert [text for text in read if not text.startswith(OURS)] == []


@pytest.mark.parametrize(
    ("plot", "kind"),
    [("sampled_features", "table"), ("latent_space", "images"), ("latent_line", "images of one latent")],
)
def test_names_are_shown_character_by_character(make_results, plot, kind):
    found = texts(PLOTS[plot].draw(named(make_results, **KINDS[kind])))
    for name in (r"$\frac{$", "$x^2$", "5 $", "_private", "a_b^{c", r"\$5\$", "\\alpha\\"):
        shown = [text for text in found if text.get_text() == name]
        assert shown
        assert not any(text.get_parse_math() for text in shown)


def test_formulas_are_still_set_as_mathematics(make_results):
    for name, kind in (("rates", "images"), ("traversals", "images of five latents"), ("graph", "table")):
        found = texts(PLOTS[name].draw(make_results(**KINDS[kind])))
        formulas = [text for text in found if text.get_text().startswith("$")]
        assert formulas
        assert all(text.get_parse_math() for text in formulas)


def test_runs_are_compared_whatever_they_are_called():
    score = Score(
        name="elbo", value=-1.0, standard_error=0.1, unit="nats", split="test", convention="grey", num_examples=9,
        num_draws=1, description="",
    )  # fmt: skip
    others = [ComparisonRow(name, score, Estimate(0.5, 0.1)) for name in NAMES]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)  # before 3.11
        compared = ComparedScore("elbo", (ComparisonRow(NAMES[0], score), *others), "higher")
        figure = comparison_figure(Comparison((NAMES[0], *NAMES), (compared,)))
        ElementTree.fromstring(theme.svg(figure))
    assert NAMES[0] in figure.axes[0].get_xlabel()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:4] == NAMES[:4]


def test_the_report_is_written_whatever_things_are_called(make_results, tmp_path):
    # A surrogate cannot be written; a configuration that held one would not have been, either.
    names = [NASTY["markup"], *(name for name in NAMES if name != NASTY["surrogate"])]
    results = named(make_results, names, **KINDS["table of three latents"])
    assert "<script>alert" not in write_report(results, tmp_path).read_text()


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("age", 24, "age"),
        ("one\ntwo\t three ", 24, "one two three"),
        ("a\x00b\u202ec", 24, "a�b�c"),
        ("income in 2023", 9, "incom…023"),
        ("", 24, ""),
    ],
)
def test_a_name_is_one_printable_line_that_fits(text, most, shown):
    assert theme.fit_name(text, most) == shown
    assert len(shown) <= most


def test_long_names_that_begin_alike_are_told_apart():
    years = [theme.fit_name(f"annual household income of {year}", 24) for year in range(2000, 2024)]
    assert len(np.unique(years)) == 24
