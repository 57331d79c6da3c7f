"""True posteriors: windows, tones and ellipses."""

import math

import numpy as np
import pytest
from matplotlib.patches import Ellipse

from lowerbound.reporting import theme
from lowerbound.reporting.plots import PLOTS
from lowerbound.reporting.posterior_plots import SHARES, density_level

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_a_panel_shows_its_own_window_with_ellipses_at_one_and_two_standard_deviations(make_results):
    results = make_results(full=True)
    figure = PLOTS["true_posterior"].draw(results)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 4
    for index, axes in enumerate(panels):
        scale = 0.1**index
        # The lattice's outermost points are half a cell from the edge.
        np.testing.assert_allclose(axes.get_xlim(), index + scale * np.array([-4.1, 4.1]), rtol=1e-4)
        ellipses = [patch for patch in axes.patches if isinstance(patch, Ellipse)]
        np.testing.assert_allclose([patch.center for patch in ellipses], [(index, -index)] * 4)
        sizes = [(patch.width / scale, patch.height / scale) for patch in ellipses]
        np.testing.assert_allclose(sizes, [(2, 4), (4, 8), (2, 2), (4, 4)], rtol=1e-5)
        assert [text.get_text() for text in axes.texts] == [f"gap {index}.25 nats"]
        assert len(axes.child_axes) == 1


def test_an_example_other_than_an_image_is_named_by_its_place_in_the_test_split(make_results):
    results = make_results(full=True, rows=True, num_labels=0)
    results.arrays["true_posterior_positions"] = np.array([4, 1299, 0, 7])
    panels = [axes for axes in PLOTS["true_posterior"].draw(results).axes if axes.axison]
    assert [axes.texts[0].get_text().splitlines()[0] for axes in panels] == [
        f"test example {number}" for number in ("5", "1,300", "1", "8")
    ]
    assert not any(axes.child_axes for axes in panels)


def test_true_posteriors_are_drawn_without_the_best_posterior_and_the_gap(make_results):
    results = make_results(full=True)
    for name in ("local_mean", "local_covariance", "gap"):
        del results.arrays[f"true_posterior_{name}"]
    figure = PLOTS["true_posterior"].draw(results)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "true posterior",
        "encoder's posterior, 1 and 2 σ",
    ]
    assert all(len(axes.patches) == 2 for axes in figure.axes if axes.axison)


def test_a_posterior_within_a_single_cell_is_drawn_all_the_same(make_results):
    results = make_results(full=True)
    density = np.zeros((4, 41, 41), dtype=np.float32)
    density[:, 20, 20] = 1e6
    results.arrays["true_posterior_density"] = density
    assert theme.png(PLOTS["true_posterior"].draw(results)).startswith(PNG_SIGNATURE)


def test_of_a_normal_the_tones_end_where_the_ellipses_run():
    z = np.linspace(-5, 5, 801)
    density = np.exp(-0.5 * (z[:, None] ** 2 + z**2))
    for sigma, share in zip((1, 2), SHARES, strict=True):
        assert density_level(density, share) == pytest.approx(math.exp(-0.5 * sigma**2), rel=0.01)
