"""What a notebook shows of a run: from its results and its report's figures, loading nothing."""

import re

import numpy as np
import pytest

from lowerbound.reporting.run_view import CURVE_HEIGHT, run_view, training_strip
from lowerbound.reporting.tiles import as_png
from parsed_pages import Page


@pytest.fixture
def shown(tmp_path):
    """A function that shows results beside the figures of these names."""

    def show(results, *figures):
        (tmp_path / "figures").mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (1400, 1400, 1)).repeat(3, axis=-1).astype(np.uint8)
        for name in figures:
            (tmp_path / "figures" / f"{name}.png").write_bytes(as_png(noise))
        return Page(run_view(results, tmp_path))

    return show


def test_the_key_number_the_manifold_the_curves_and_the_scores_are_shown(shown, make_results):
    results = make_results()
    page = shown(results, "samples", "manifold_20", "manifold_15")
    assert f"{results.score('elbo').text.lstrip('−')} nats" in page.text
    assert "−ELBO per image, test split, grey pixels; lower is better" in page.text
    assert [image["alt"] for image in page.all("img")] == ["Latent manifold"]
    assert len(page.all("polyline")) == 2
    assert all(score.name in page.text for score in results.scores)


def test_it_is_small_and_loads_nothing(shown, make_results):
    page = shown(make_results(), "manifold_15")
    assert len(page.source) < 150_000  # with a picture of noise, which hardly compresses
    addresses = re.findall(r"""(?:src|href)=["']([^"']{5})|url\(|@import""", page.source)
    assert addresses == ["data:"]
    assert page.all("script") == []


def test_a_run_without_pictures_or_history_is_shown_all_the_same(shown, make_results):
    results = make_results(variational=False)
    assert "reconstruction error" in shown(results).text


def test_the_scale_is_that_of_the_later_epochs():
    fragment = training_strip({"train": [1e6, *np.linspace(30.0, 20.0, 9)], "validation": [25.0] * 10}, "−ELBO")
    train, validation = re.findall(r'points="([^"]*)"', fragment)
    heights = [float(point.split(",")[1]) for point in train.split()]
    assert heights[0] < -1e5 and all(0 < height < CURVE_HEIGHT for height in heights[3:])
    assert len({point.split(",")[1] for point in validation.split()}) == 1
    assert "train 20, validation 25" in fragment


@pytest.mark.parametrize("values", [[20.0], [20.0, 20.0]])
def test_one_epoch_and_no_change_have_a_curve(values):
    assert "nan" not in training_strip({"train": values, "validation": values}, "−ELBO").lower()
