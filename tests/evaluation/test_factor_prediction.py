"""SAP, DCI and the FactorVAE score of known codes, and against the numbers of another implementation.

The numbers of `disent` 0.8.0, a port of disentanglement_lib, are those that
`python benchmarks/disentanglement_oracle.py PATH_OF_THE_UNPACKED_WHEEL` prints.
"""

import numpy as np
import pytest
from scipy import stats

from factor_samples import mixed_codes, perfect_codes, random_codes, rotated_codes
from lowerbound.evaluation import factor_prediction
from lowerbound.evaluation.factor_codes import FactorCodes
from lowerbound.evaluation.factor_information import mig_and_modularity
from lowerbound.evaluation.factor_prediction import dci, disentanglement_and_completeness, sap
from lowerbound.evaluation.factor_votes import factor_vae_score

OF_DISENT = {"mig": 0.6114068953404618, "sap": 0.2568333333333333}
IMPORTANCE = np.array([[0.7, 0.1, 0.2, 0.0], [0.1, 0.8, 0.1, 0.0], [0.0, 0.1, 0.6, 0.3]])  # factor × latent
D_AND_C_OF_DISENT = 0.482903717411737, 0.4376384017055875
OF_GRADIENT_BOOSTING = {"disentanglement": 0.6990, "completeness": 0.7200, "informativeness": 0.8562}


def stream():
    return np.random.default_rng(0)


def both(make, num_train=1000, num_test=500):
    return make(num_train, 0), make(num_test, 1)


def test_mig_and_sap_are_those_of_disent():
    train, test = both(mixed_codes, 4000, 2000)
    assert mig_and_modularity(test, 20, stream())["mig"].value == pytest.approx(OF_DISENT["mig"], abs=1e-12)
    assert sap(train, test, stream()).value == pytest.approx(OF_DISENT["sap"], abs=1e-3)


def test_d_and_c_of_a_matrix_of_importance_are_those_of_disent():
    assert disentanglement_and_completeness(IMPORTANCE) == pytest.approx(D_AND_C_OF_DISENT, abs=1e-8)


def test_d_is_one_minus_the_mean_entropy_of_importance_over_factors():
    per_latent = 1 - stats.entropy(IMPORTANCE, base=3)
    expected = np.average(per_latent, weights=IMPORTANCE.sum(0))
    assert disentanglement_and_completeness(IMPORTANCE)[0] == pytest.approx(expected, abs=1e-12)
    assert disentanglement_and_completeness(np.zeros((3, 4))) == (0.0, 0.0)


def test_trees_agree_with_gradient_boosting_within_a_tenth():
    train, test = both(mixed_codes, 4000, 2000)
    found = dci(train, test, stream())
    for name, expected in OF_GRADIENT_BOOSTING.items():
        assert found[name].value == pytest.approx(expected, abs=0.1)


def test_a_latent_for_each_factor_has_the_best_dci_and_noise_the_worst():
    assert [one.value for one in dci(*both(perfect_codes), stream()).values()] == pytest.approx([1, 1, 1], abs=1e-3)
    noise = dci(*both(random_codes), stream())
    assert noise["disentanglement"].value < 0.05
    assert noise["completeness"].value < 0.05
    assert noise["informativeness"].value == pytest.approx((1 / 3 + 1 / 6 + 1 / 10) / 3, abs=0.05)


def test_turned_latents_are_as_informative_but_less_disentangled():
    found = dci(*both(rotated_codes), stream())
    assert found["informativeness"].value == pytest.approx(1, abs=1e-2)
    assert found["disentanglement"].value < 0.7


def test_sap_of_noise_is_nothing_and_a_latent_alone_is_compared_with_the_most_frequent_level():
    assert sap(*both(random_codes), stream()).value == pytest.approx(0, abs=0.03)
    train, test = both(perfect_codes)
    alone = [FactorCodes(codes.centre[:, [0]], codes.levels[:, :1]) for codes in (train, test)]
    most_frequent = np.mean(test.levels[:, 0] == np.bincount(train.levels[:, 0]).argmax())
    # A linear classifier of a middle level by one latent cannot be right: two of three levels are told.
    assert sap(*alone, stream()).value == pytest.approx(2 / 3 - most_frequent, abs=0.05)


def test_the_factor_vae_score_is_1_for_perfect_codes_and_chance_for_noise():
    perfect = factor_vae_score(*both(perfect_codes), 500, 500, stream())
    assert (perfect.value, perfect.standard_error) == (1.0, 0.0)
    noise = factor_vae_score(*both(random_codes), 3000, 1000, stream())
    assert noise.value == pytest.approx(1 / 3, abs=0.06)
    assert noise.standard_error == pytest.approx(np.sqrt(noise.value * (1 - noise.value) / 1000))


def test_the_factor_vae_score_knows_two_of_three_factors_where_latents_are_turned():
    # The least varying of the two turned latents is a coin flip between their factors.
    assert factor_vae_score(*both(rotated_codes), 2000, 1000, stream()).value == pytest.approx(2 / 3, abs=0.08)


def test_collapsed_latents_have_no_vote():
    train, test = (FactorCodes(1e-3 * codes.centre, codes.levels) for codes in both(perfect_codes))
    assert factor_vae_score(train, test, 100, 100, stream()).value == 0.0


def test_errors_are_the_spread_over_new_samples(monkeypatch):
    monkeypatch.setattr(factor_prediction, "NUM_TREES", 10)
    repeats = [dci(mixed_codes(400, 10 + seed), mixed_codes(300, 50 + seed), stream()) for seed in range(6)]
    for name in ("disentanglement", "completeness", "informativeness"):
        spread = np.std([repeat[name].value for repeat in repeats], ddof=1)
        stated = np.mean([repeat[name].standard_error for repeat in repeats])
        assert 0.3 * spread < stated < 3 * spread
