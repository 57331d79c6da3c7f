"""Rows of a table and arrays of any shape are trained on, evaluated wholly and reported on, as what they are."""

import csv
import html
import re

import numpy as np
import pytest
from matplotlib.text import Text

from lowerbound.evaluation.results import read_results
from lowerbound.reporting import report
from lowerbound.reporting.plots import plots_for
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import Callbacks, train

NASTY = [r"$\frac{$", "_a^b", "1 < 2 & 3", "x" * 300, "c\nd"]
"""Names of the table's columns."""


def table(path):
    """Rows of all kinds of columns, some of whose cells are missing."""
    rng = np.random.default_rng(0)
    columns = [
        [f"{value:.1f}" for value in rng.normal(40, 10, 80)],
        [str(value) for value in rng.poisson(30, 80)],
        rng.choice(["m", "f"], 80).tolist(),
        rng.choice(["Ulm", "Köln", "$5"], 80).tolist(),
        [f"{value:.2f}" for value in rng.lognormal(5, 1, 80)],
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    for index in range(0, 80, 7):
        rows[index][index % 5] = ""
    with path.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([NASTY, *rows])
    return path.with_suffix(".csv")


def array(values):
    """A function that writes an array file."""

    def write(path):
        np.save(path.with_suffix(".npy"), values)
        return path.with_suffix(".npy")

    return write


RNG = np.random.default_rng(1)
KINDS = {
    "table, 1 latent": (table, 1, "table"),
    "table, 2 latents": (table, 2, "table"),
    "table, 3 latents": (table, 3, "table"),
    "rows of numbers": (array(RNG.normal(7, 2, (60, 6)).astype(np.float32)), 2, "density"),
    "matrices": (array(RNG.normal(size=(60, 3, 2)).astype(np.float32)), 2, "density"),
    "counts": (array(RNG.poisson(4, (60, 5))), 2, "counts"),
    "binary values": (array(RNG.integers(0, 2, (60, 5)).astype(np.float32)), 2, "binary"),
}
SLOW = ("table, 1 latent", "table, 3 latents", "rows of numbers", "matrices", "binary values")
"""What adds little to the others; three latents take half a minute to integrate."""

SETTINGS = {
    "training": {"num_epochs": 1, "min_steps": 0},
    "evaluation": {
        "num_draws": 2,
        "num_exact": 4,
        "importance_draws": 20,
        "num_bounded": 4,
        "num_gaps": 2,
        "num_simulated": 2,
    },
}
CODE = re.compile(r"<style.*?</style>|<pre.*?</pre>", re.DOTALL)


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in KINDS]
)
def evaluated(request, tmp_path_factory):
    """A run after its whole evaluation, the convention that is expected of it, and the stages that were told."""
    write, latent_dim, convention = KINDS[request.param]
    folder = tmp_path_factory.mktemp("kind")
    settings = SETTINGS | {"model": {"hidden": [8], "latent_dim": latent_dim}}
    stages = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "plots_for", lambda results: {})  # the second report is the one that is looked at
        run = train(str(write(folder / "data")), out=folder / "run", settings=settings)
    reevaluate(run.path, None, "cpu", Callbacks(stage=lambda stage, done, total: stages.append(stage)))
    return run.path, convention, stages


def test_every_metric_is_finite_and_every_figure_written(evaluated):
    path, convention, _ = evaluated
    results = read_results(path)
    assert {score.convention for score in results.scores} == {convention}
    assert all(np.isfinite(score.value) for score in results.scores)
    assert {"log-evidence", "importance-bound", "amortisation-gap"} <= {score.name for score in results.scores}
    assert results.score("log-evidence").value > results.score("elbo").value
    figures = {figure.stem for figure in (path / "figures").iterdir()}
    assert figures == set(plots_for(results)) >= {"sampled_features", "reconstructed_features", "bound_sweep"}
    assert ("true_posterior" in figures) == (results.arrays["latent_mean"].shape[1] == 2)


def test_nothing_is_called_an_image(evaluated):
    path, _, stages = evaluated
    results = read_results(path)
    page = html.unescape(re.sub(r"<[^>]*>", " ", CODE.sub(" ", (path / "report.html").read_text())))
    page = page.replace("the data are not images", "")  # the reason for figures that are not shown
    told = [page, *stages, *(score.description for score in results.scores)]
    for plot in plots_for(results).values():
        told += [text.get_text() for text in plot.draw(results).findobj(Text)]
    told += [part for finding in results.findings for part in (finding.name, finding.sentence, finding.unit)]
    assert len(page) > 2000
    for text in told:
        assert not (found := re.search(r".{0,60}\b(image|pixel)s?\b.{0,60}", text, re.IGNORECASE)), found[0]


def test_bits_are_given_of_probabilities_alone(evaluated):
    path, convention, _ = evaluated
    bits = {score.name for score in read_results(path).scores if score.unit == "bits/dim"}
    assert bits == (set() if convention in ("table", "density") else {"bits-per-dimension", "evidence-bits"})
