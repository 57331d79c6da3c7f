"""Figures on the bound, with the numbers that they were given."""

import numpy as np
import pytest

from lowerbound.reporting.plots import PLOTS


def test_rates_are_ordered_from_the_most_used_dimension(make_results):
    axes = PLOTS["rates"].draw(make_results(latent_dim=4)).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == sorted(heights, reverse=True)
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"$z_{{{i}}}$" for i in (4, 3, 2, 1)]


def test_the_sweep_shows_the_mean_bound_of_each_k_below_the_exact_line(make_results):
    results = make_results(full=True)
    axes = PLOTS["bound_sweep"].draw(results).axes[0]
    bound = axes.containers[0].lines[0]
    np.testing.assert_allclose(bound.get_xdata(), [1, 10, 100])
    np.testing.assert_allclose(bound.get_ydata(), results.arrays["sweep_bounds"].mean(1), rtol=1e-6)
    exact = next(line for line in axes.lines if line.get_label() == "log p(x), exact")
    assert exact.get_ydata()[0] == pytest.approx(results.arrays["log_evidence_per_image"].mean())
    assert axes.get_title(loc="left") == "30 test images, grey pixels"


def test_a_level_of_fewer_images_than_the_sweep_is_not_drawn(make_results):
    results = make_results(full=True)
    results.arrays["annealed_evidence_per_image"] = results.arrays["log_evidence_per_image"][:29]
    del results.arrays["log_evidence_per_image"]
    labels = [line.get_label() for line in PLOTS["bound_sweep"].draw(results).axes[0].lines]
    assert not any("log p(x)" in label for label in labels)


def test_each_gap_is_a_bar_with_its_number_and_unit(make_results):
    results = make_results(full=True)
    axes = PLOTS["inference_gaps"].draw(results).axes[0]
    for bar, text, name in zip(axes.patches, axes.texts, ("amortisation", "approximation"), strict=True):
        gap = results.arrays[f"{name}_gap_per_image"]
        assert bar.get_width() == pytest.approx(gap.mean(), rel=1e-5)
        assert text.get_text().endswith(" nats")
        assert float(text.get_text().split()[0]) == pytest.approx(gap.mean(), abs=0.005)
