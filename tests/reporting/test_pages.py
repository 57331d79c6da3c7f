"""Parts of pages: figures of several runs side by side."""

import pytest
from PIL import Image

from lowerbound.reporting.pages import FIGURES_OF_RUNS, ShownRun, figures_of, link_to, strips
from lowerbound.reporting.plots import PLOTS


@pytest.fixture
def runs(make_results, tmp_path):
    found = []
    for name, figures, variational in (("a b", ("manifold_7", "samples"), True), ("c", ("reconstructions",), False)):
        (tmp_path / name / "figures").mkdir(parents=True)
        for figure in figures:
            Image.new("L", (900, 300)).save(tmp_path / name / "figures" / f"{figure}.png")
        found.append(ShownRun(name, tmp_path / name, make_results(variational=variational)))
    return found


def test_subjects_are_those_of_the_plots():
    subjects = {row.subject for row in PLOTS.values()}
    assert set(FIGURES_OF_RUNS) <= subjects


def test_every_run_has_its_figure_or_the_reason_and_a_link_to_its_report(runs, tmp_path):
    found = {strip.title: strip.cells for strip in strips(runs, tmp_path / "page.html", FIGURES_OF_RUNS)}
    assert list(found) == ["Latent manifold", "Samples from the prior", "Reconstructions"]  # no run has a latent space
    first, second = found["Latent manifold"]
    assert first.source.startswith("data:image/png;base64,") and not second.source
    assert second.reason
    assert first.link == "a%20b/report.html" == link_to(tmp_path / "a b", tmp_path / "page.html")


def test_the_preferred_figure_comes_first(runs):
    folder = runs[0].folder / "figures"
    Image.new("L", (3, 3)).save(folder / "manifold_15.png")
    assert [path.stem for path in figures_of(runs[0].folder, "Latent manifold")][:1] == ["manifold_15"]
