"""Runs are compared by their paths, with a page or a plot."""

from dataclasses import replace

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import read_config

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8)
TINY = {"model": {"hidden": [4]}, "evaluation": {"num_draws": 2, "num_exact": 2, "manifold_sizes": [2]}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A VAE and a plain autoencoder on the same data, and a VAE on others; under the same name."""
    root, found = tmp_path_factory.mktemp("runs"), []
    for name, recipe, images in (("a", "dense", IMAGES), ("b", "autoencoder", IMAGES), ("c", "dense", IMAGES[::-1])):
        found.append(lb.train(images, recipe=recipe, settings=TINY, epochs=1, out=root / name / "run"))
    return found


def test_an_autoencoder_is_compared_with_a_vae_by_what_they_share(runs, tmp_path):
    found = lb.compare(runs[:2], tmp_path / "page.html")
    assert [(score.name, score.is_paired) for score in found.scores] == [("distortion", True), ("squared-error", True)]
    own = [run.results.arrays["squared_error_per_image"].astype(float) for run in runs[:2]]
    difference = found.score("squared-error").rows[1].difference
    assert difference.value == pytest.approx((own[1] - own[0]).mean())
    assert difference.value == pytest.approx(np.diff([row.score.value for row in found.score("squared-error").rows])[0])
    assert found.names == tuple(str(run.path) for run in runs[:2])  # both directories have the same name
    assert "Not compared" in (tmp_path / "page.html").read_text()


def test_the_values_of_examples_are_those_behind_the_scores(runs):
    results = runs[0].results
    for name in ("elbo", "distortion", "rate", "squared-error"):
        values = results.arrays[f"{name.replace('-', '_')}_per_image"]
        assert values.mean(dtype=float) == pytest.approx(results.score(name).value, rel=1e-6)


def test_a_plot_alone_is_a_png_and_other_formats_are_refused_before_anything_is_read(runs, tmp_path):
    lb.compare(runs[:2], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").is_file()
    with pytest.raises(UsageError, match=r"accepted: \.html, \.png"):
        lb.compare(runs[:2], tmp_path / "plot.pdf")


def test_results_without_values_per_example_have_a_page_but_no_plot(runs, tmp_path):
    first, second = (lb.Run(run.path, run.model, run.results).save(tmp_path / run.path.parent.name) for run in runs[:2])
    results = read_results(second.path)
    replace(results, arrays={}).write(second.path)
    found = lb.compare([first, second], tmp_path / "page.html")
    assert not any(score.is_paired for score in found.scores)
    with pytest.raises(UsageError, match=r"there is no plot; write a \.html page"):
        lb.compare([first, second], tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()


def test_runs_on_other_examples_are_refused_and_nothing_is_written(runs, tmp_path):
    with pytest.raises(UsageError, match="different test examples"):
        lb.compare([runs[0], runs[2]], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
    assert read_config(runs[0].path)["run"]["data_checksum"] != read_config(runs[2].path)["run"]["data_checksum"]
