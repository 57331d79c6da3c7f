"""The page of a comparison."""

from dataclasses import replace

import pytest
from PIL import Image

from lowerbound.evaluation.comparison import compare
from lowerbound.reporting.comparison_page import write_comparison
from lowerbound.reporting.pages import ShownRun
from parsed_pages import Page
from sweep_points import results_of, score, without

pytestmark = pytest.mark.usefixtures("coarse_figures")


def test_a_vae_beside_an_autoencoder_shows_common_scores_figures_and_what_is_missing(tmp_path):
    vae = results_of(2, 20, squared_error=0.3)
    plain = without(results_of(0, 18, squared_error=0.2), "elbo", "rate", "distortion")
    plain = replace(plain, scores=(*plain.scores, score("reconstruction-error", 18)))
    runs = [ShownRun("vae", tmp_path / "vae", vae), ShownRun("<plain>", tmp_path / "plain", plain)]
    for run in runs:
        (run.folder / "figures").mkdir(parents=True)
        Image.new("L", (9, 9)).save(run.folder / "figures" / "latent_space.png")
    comparison = compare([(run.name, run.results) for run in runs])
    page = Page(write_comparison(comparison, runs, tmp_path / "page.html"))
    assert "of a plain autoencoder, its reconstruction error vae 20.00 ± 0.10 nats reference <plain> 18.00" in page.text
    assert "ELBO, Rate: <plain> has no prior and no log p(x), as a plain autoencoder" in page.text
    assert [one["alt"] for one in page.all("img")] == ["Latent space of vae", "Latent space of <plain>"]
    assert "plain/report.html" in [attributes["href"] for attributes in page.all("a")]
