"""Single features: a panel for each, without missing cells."""

import numpy as np
import pytest

from lowerbound.reporting.plots import PLOTS


def test_every_feature_has_a_panel_named_after_its_column(make_results):
    results = make_results(rows=True, num_labels=0, latent_dim=3)
    panels = PLOTS["sampled_features"].draw(results).axes
    assert [axes.get_title(loc="left") for axes in panels][1:] == ["visits", "is new", "city"]


def test_bars_are_shares_of_the_known_cells(make_results):
    results = make_results(rows=True, num_labels=0, latent_dim=3)
    axes = PLOTS["sampled_features"].draw(results).axes[2]
    known = results.arrays["elements"][:, 2]
    known = known[~np.isnan(known)]
    assert axes.patches[0].get_data().values.tolist() == pytest.approx([(known == 0).mean(), (known == 1).mean()])


def test_dots_of_numbers_stand_at_value_and_reconstruction(make_results):
    results = make_results(rows=True, num_labels=0, latent_dim=3)
    dots = PLOTS["reconstructed_features"].draw(results).axes[0].lines[0]
    np.testing.assert_allclose(dots.get_xdata(), results.arrays["elements"][:, 0])
    np.testing.assert_allclose(dots.get_ydata(), results.arrays["elements_reconstructed"][:, 0])
