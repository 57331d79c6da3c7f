"""Information between latents and factors, against scikit-learn's, and what MIG and modularity are for known codes."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from factor_samples import LEVELS, mixed_codes, perfect_codes, random_codes, rotated_codes
from lowerbound.evaluation.factor_codes import FactorCodes
from lowerbound.evaluation.factor_information import (
    binned,
    information_gaps,
    information_matrix,
    mig_and_modularity,
    modularity,
)


def estimates(codes):
    return mig_and_modularity(codes, 20, np.random.default_rng(0))


def test_information_and_entropy_are_those_of_scikit_learn():
    codes = mixed_codes(500, 3)
    bins = binned(codes.centre)
    information, entropy = information_matrix(bins, codes.levels)
    expected = [[mutual_info_score(levels, one) for one in bins.T] for levels in codes.levels.T]
    assert information == pytest.approx(np.array(expected), abs=1e-12)
    assert entropy == pytest.approx([mutual_info_score(levels, levels) for levels in codes.levels.T], abs=1e-12)


def test_weights_count_examples_several_times():
    codes, weights = mixed_codes(200, 3), np.random.default_rng(0).integers(0, 4, 200)
    repeated = np.repeat(np.arange(200), weights)
    bins = binned(codes.centre)
    by_weight = information_matrix(bins, codes.levels, weights)[0]
    assert by_weight == pytest.approx(information_matrix(bins[repeated], codes.levels[repeated])[0], abs=1e-12)


def test_bins_are_those_of_a_histogram_of_the_latents_range():
    mean = np.random.default_rng(0).normal(size=(1000, 2))
    bins = binned(mean, 20)
    for latent in range(2):
        counts, _ = np.histogram(mean[:, latent], 20)
        assert np.array_equal(np.bincount(bins[:, latent], minlength=20), counts)
    assert (binned(np.ones((3, 1))) == 0).all()  # a latent that does not vary


def test_a_latent_for_each_factor_has_a_mig_of_nearly_1_and_noise_of_0():
    assert estimates(perfect_codes())["mig"].value == pytest.approx(1, abs=0.01)
    assert estimates(random_codes())["mig"].value == pytest.approx(0, abs=0.01)


def test_turning_two_latents_by_45_degrees_lowers_the_mig_by_their_share():
    # The first factor keeps its latent; each of the others is told as well by two.
    assert estimates(rotated_codes())["mig"].value == pytest.approx(1 / 3, abs=0.1)


def test_the_mig_of_one_latent_counts_all_it_tells():
    codes = perfect_codes()
    alone = FactorCodes(codes.centre[:, [2]], codes.levels)
    gaps = information_gaps(*information_matrix(binned(alone.centre), alone.levels))
    assert gaps == pytest.approx([0, 0, 1], abs=0.03)


def test_modularity_is_1_minus_squared_information_about_other_factors():
    # By hand: the first latent (0.9, 0.3, 0), the second equal, the third none.
    information = np.array([[0.9, 0.5, 0.0], [0.3, 0.5, 0.0], [0.0, 0.5, 0.0]])
    assert modularity(information) == pytest.approx([1 - 0.09 / (0.81 * 2), 0.0, 0.0])


def test_standard_errors_are_the_spread_over_new_samples():
    repeats = [estimates(mixed_codes(1000, seed)) for seed in range(20)]
    for name in ("mig", "modularity"):
        spread = np.std([repeat[name].value for repeat in repeats], ddof=1)
        stated = np.mean([repeat[name].standard_error for repeat in repeats])
        assert 0.5 * spread < stated < 3 * spread


def test_the_factors_of_the_samples_are_independent():
    assert [int(number) for number in perfect_codes().num_levels] == list(LEVELS)
