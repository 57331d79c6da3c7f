"""Figures within pages: themes, sizes and names."""

import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lowerbound.reporting import palette, theme
from lowerbound.reporting.inline_svg import inline_svg, theme_css, with_shared_letters
from lowerbound.reporting.plots import PLOTS, plots_for

pytestmark = pytest.mark.usefixtures("coarse_figures")

KINDS = {
    "images": {"full": True, "manifold_sizes": (3,)},
    "many labels": {"num_labels": 57, "manifold_sizes": ()},
    "no labels": {"num_labels": 0, "latent_dim": 8},
    "table": {"rows": True, "full": True},
    "codes": {"space": "one-hot", "latent_dim": 6},
    "autoencoder": {"variational": False},
}


@pytest.fixture(scope="module")
def drawn(make_results):
    """Every figure of every kind of results, as elements."""
    found = {}
    for kind, settings in KINDS.items():
        results = make_results(**settings)
        found |= {(kind, name): inline_svg(plot.draw(results), name, name) for name, plot in plots_for(results).items()}
    return found


def test_every_colour_of_every_figure_has_a_counterpart_on_a_dark_page(drawn):
    for svg in drawn.values():
        shown = re.sub(r'href="[^"]*"', "", svg)
        assert re.findall(r"#[0-9a-f]{6}\b", shown) == []
        assert {f"#{name}" for name in re.findall(r"var\(--([0-9a-f]{6})\)", shown)} <= set(palette.DARK)
        assert not re.search(r"(fill|stroke): ?(white|black|rgb)", shown)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_text_and_dots_stand_out_from_the_page_in_both_themes():
    for paper, colours in (
        (palette.PAPER, [palette.INK, palette.MUTED, *palette.CATEGORIES]),
        (palette.DARK[palette.PAPER], [palette.DARK[colour] for colour in (palette.INK, *palette.CATEGORIES)]),
    ):
        for colour in colours:
            low, high = sorted([luminance(paper), luminance(colour)])
            assert (high + 0.05) / (low + 0.05) > 2


def test_both_themes_define_every_colour():
    light, dark = theme_css().values()
    assert re.findall(r"--\w+", light) == re.findall(r"--\w+", dark) == [f"--{name[1:]}" for name in palette.DARK]


def test_names_of_several_figures_do_not_collide_and_every_reference_has_its_target(drawn):
    page = with_shared_letters("<body>" + "".join(svg for (kind, _), svg in drawn.items() if kind == "images"))
    names = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [name for name, number in names.items() if number > 1] == []
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', page)) <= set(names)


def test_letters_are_defined_once_at_the_beginning_of_the_page(drawn):
    figure = drawn["images", "rates"]
    page = with_shared_letters(f"<body>{figure}{figure}</body>")
    assert page.startswith('<body>\n<svg class="letters" aria-hidden="true"')
    assert len(page) < 2 * len(figure)
    assert with_shared_letters("<body>none</body>") == "<body>none</body>"


def test_dots_are_paths_with_round_ends_at_their_places():
    figure = Figure(figsize=(2, 2))
    axes = figure.add_axes((0, 0, 1, 1))
    place = np.random.default_rng(0).uniform(0, 144, (500, 2))
    axes.scatter(*place.T, s=16, c=[theme.TRAIN] * 250 + [theme.HELD_OUT] * 250, linewidths=0)
    axes.set(xlim=(0, 144), ylim=(0, 144))
    svg = inline_svg(figure, "dots", "dots")
    paths = [path for path in ElementTree.fromstring(svg).iter("path") if "round" in path.get("style", "")]
    assert [re.search(r"stroke:var\(--(\w+)\)", path.get("style"))[1] for path in paths] == ["3a7798", "c4510f"]
    assert all("stroke-width:40;" in path.get("style") and path.get("transform") == "scale(.1)" for path in paths)
    for path, expected in zip(paths, np.split(np.stack([place[:, 0], 144 - place[:, 1]], axis=1), 2), strict=True):
        steps = np.array(re.findall(r"m(-?\d+) ?(-?\d+)h0", path.get("d")), dtype=int)
        shown = steps.cumsum(0) / 10
        distance = np.abs(shown[:, None] - expected[None]).max(-1)
        assert len(shown) == 250
        assert distance.min(0).max() < 0.11 and distance.min(1).max() < 0.11
    assert len(svg) < 500 * 15 + 5_000
    assert all(path.get("clip-path") is None for path in paths)  # it would be scaled with them


def test_an_element_is_much_smaller_than_the_document_it_is_made_of(make_results):
    figure = PLOTS["latent_space"].draw(make_results(num_examples=2_000))
    assert len(inline_svg(figure, "latent_space", "")) < len(theme.svg(figure)) / 4


def test_a_description_is_text_and_never_markup(make_results):
    evil = "\"><script>alert('x')</script>"
    svg = inline_svg(PLOTS["rates"].draw(make_results()), "rates", evil)
    assert ElementTree.fromstring(svg).get("aria-label") == evil
    assert "<script" not in svg
