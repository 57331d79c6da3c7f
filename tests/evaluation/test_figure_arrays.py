"""The arrays that figures are drawn from."""

from dataclasses import replace

import numpy as np
import pytest

from digits_models import FAST, model_of
from lowerbound.evaluation.quick_evaluation import evaluate_quick


@pytest.mark.parametrize(("latent_dim", "expected"), [(1, set()), (2, {"manifold_3"}), (5, {"traversals"})])
def test_the_arrays_suit_the_number_of_latents(digits, latent_dim, expected):
    arrays = evaluate_quick(model_of("conv", latent_dim=latent_dim), digits, FAST).arrays
    assert {"manifold_3", "traversals"} & set(arrays) == expected
    assert arrays["latent_mean"].shape == (60, latent_dim)
    assert arrays["rate_per_dimension"].shape == (latent_dim,)
    assert arrays["samples"].shape == (100, 8, 8, 1)
    assert arrays["originals"].shape == arrays["reconstructions"].shape == (20, 8, 8, 1)
    np.testing.assert_allclose(arrays["originals"], digits.test.values[:20] / 16)


def test_per_dimension_rates_add_up_to_the_rate(digits):
    results = evaluate_quick(model_of(latent_dim=5), digits, FAST)
    assert results.arrays["rate_per_dimension"].sum() == pytest.approx(results.score("rate").value, rel=1e-5)


def test_a_linear_manifold_has_the_given_range(digits):
    config = replace(FAST, manifold="linear", manifold_range=(-2.0, 2.0, -1.0, 3.0))
    axes = evaluate_quick(model_of(), digits, config).arrays["manifold_3_axes"]
    np.testing.assert_allclose(axes, [[-2, 0, 2], [-1, 1, 3]])
