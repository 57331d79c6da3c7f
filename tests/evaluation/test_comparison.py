from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lowerbound.evaluation.comparison import compare
from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.errors import UsageError


def score(name, values, convention="grey", unit="nats"):
    return Score(
        name=name,
        value=float(np.mean(values)),
        standard_error=float(stats.sem(values)) if len(values) > 1 else None,
        unit=unit,
        split="test",
        convention=convention,
        num_examples=len(values),
        num_draws=1,
        description="",
    )


def results(values, convention="grey", checksum="a", data_name="digits", factors=(), **others):
    """Results with an ELBO, and other scores by name, each with an array of its values unless that is a number."""
    named = {"elbo": values} | {name.replace("_", "-"): other for name, other in others.items()}
    scores = tuple(score(name, np.atleast_1d(given), convention) for name, given in named.items() if given is not None)
    arrays = {
        f"{name.replace('-', '_')}_per_image": np.asarray(given, np.float32)
        for name, given in named.items()
        if given is not None and np.ndim(given)
    }
    data = {
        "name": data_name, "sizes": {"test": len(values)}, "test_checksum": checksum, "factor_names": list(factors)
    }  # fmt: skip
    return Results(scores, arrays, {"data": data})


def autoencoder(values, **others):
    """Results without an ELBO."""
    found = results(values, **others)
    kept = tuple(score for score in found.scores if score.name != "elbo")
    arrays = {name: array for name, array in found.arrays.items() if name != "elbo_per_image"}
    return Results(kept, arrays, found.context)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(-100, 20, 400)


def test_a_small_difference_common_to_all_images_is_sure_though_the_errors_of_the_means_overlap(values):
    noise = np.random.default_rng(1).normal(0, 0.5, len(values))
    comparison = compare([("a", results(values)), ("b", results(values + 0.3 + noise))])
    row = comparison.score("elbo").rows[1]
    expected = stats.ttest_1samp(0.3 + noise, 0.0)
    assert row.difference.value == pytest.approx((0.3 + noise).mean(), abs=1e-4)
    assert row.difference.standard_error == pytest.approx(stats.sem(noise), rel=1e-3)
    assert row.num_standard_errors == pytest.approx(expected.statistic, rel=1e-3)
    assert row.score.standard_error > 10 * row.difference.standard_error


def test_a_run_does_not_differ_from_itself(values):
    row = compare([("a", results(values)), ("b", results(values.copy()))]).score("elbo").rows[1]
    assert (row.difference.value, row.num_standard_errors) == (0.0, 0.0)


def test_the_same_examples_are_compared_whatever_their_file_is_called(values):
    others = results(values, data_name="moved.csv")
    assert compare([("a", results(values)), ("b", others)]).names == ("a", "b")


def test_runs_on_other_test_examples_are_refused_and_both_are_described(values):
    with pytest.raises(UsageError, match=r"different test examples \(digits, 400 examples, grey, checksum a; .* b\)"):
        compare([("a", results(values)), ("b", results(values, checksum="b"))])


def test_log_likelihoods_of_another_convention_are_left_out_and_squared_errors_are_compared(values):
    first = results(values, squared_error=values**2)
    second = results(values, convention="levels", squared_error=values**2 + 1, active_units=7.0)
    comparison = compare([("a", first), ("b", second)])
    assert [score.name for score in comparison.scores] == ["squared-error"]
    assert comparison.not_compared == {
        "elbo": "different data conventions (a: grey, b: levels)",
        "active-units": "not measured for a",
    }
    with pytest.raises(UsageError, match=r"no score in common \(elbo: different data conventions"):
        compare([("a", results(values)), ("b", results(values, convention="levels"))])


def test_an_autoencoder_beside_a_vae_has_its_reconstruction_error_as_the_distortion(values):
    vae = results(values, distortion=-values - 3, rate=values * 0 + 3, squared_error=values**2)
    plain = autoencoder(values, reconstruction_error=-values - 5, squared_error=values**2 - 1)
    comparison = compare([("vae", vae), ("plain", plain)])
    assert [score.name for score in comparison.scores] == ["distortion", "squared-error"]
    row = comparison.score("distortion").rows[1]
    assert row.score.name == "reconstruction-error"
    assert row.difference.value == pytest.approx(-2, abs=1e-4)
    reason = "plain has no prior and no log p(x), as a plain autoencoder"
    assert comparison.not_compared == {"elbo": reason, "rate": reason}
    both = compare([("a", plain), ("b", plain)])
    assert [score.name for score in both.scores] == ["reconstruction-error", "squared-error"]


def test_evidence_of_the_first_examples_is_paired_with_that_of_all(values):
    few, all_of_them = results(values, grey_evidence=values[:50]), results(values, grey_evidence=values + 1)
    few.arrays["log_evidence_per_image"] = values[:50].astype(np.float32)
    all_of_them.arrays["log_evidence_per_image"] = (values + 1).astype(np.float32)
    row = compare([("a", few), ("b", all_of_them)]).score("grey-evidence").rows[1]
    assert (row.difference.value, row.num_pairs) == (pytest.approx(1, abs=1e-4), 50)


def bounded(values, bounds, num_draws):
    """Results with importance-weighted bounds of as many draws, and worse ones of fewer."""
    found = results(values)
    importance = replace(score("importance-bound", bounds), num_draws=num_draws)
    sweep = {"sweep_ks": np.array([1, num_draws]), "sweep_bounds": np.stack([bounds - 5, bounds]).astype(np.float32)}
    return Results((*found.scores, importance), found.arrays | sweep, found.context)


def test_importance_weighted_bounds_of_as_many_draws_are_paired(values):
    bounds = values[:100] + 3
    gains = np.random.default_rng(1).normal(0.5, 0.2, 100)
    comparison = compare([("one", bounded(values, bounds, 64)), ("two", bounded(values, bounds + gains, 64))])
    found = comparison.score("importance-bound").rows[1]
    assert found.difference.value == pytest.approx(gains.mean(), abs=1e-5)
    assert found.difference.standard_error == pytest.approx(stats.sem(gains), abs=1e-5)


def test_importance_weighted_bounds_of_other_numbers_of_draws_are_not_compared(values):
    comparison = compare([("one", bounded(values, values, 64)), ("two", bounded(values, values, 5000))])
    assert comparison.not_compared["importance-bound"] == "different numbers of draws (one: 64, two: 5,000)"


def test_scores_without_values_for_each_example_are_compared_unpaired(values):
    runs = [(name, results(values, linear_probe=share)) for name, share in (("a", 0.9), ("b", 0.8))]
    found = compare(runs).score("linear-probe")
    assert not found.is_paired
    assert [(row.score.value, row.difference) for row in found.rows] == [(0.9, None), (0.8, None)]


def test_disentanglement_is_compared_for_the_same_factors_only(values):
    same = [(name, results(values, factors=["x"], mig=0.5)) for name in "ab"]
    assert compare(same).score("mig")
    other = [same[0], ("c", results(values, factors=["y"], mig=0.5))]
    assert compare(other).not_compared == {"mig": "different factors of variation"}


def test_one_run_is_no_comparison(values):
    with pytest.raises(UsageError, match="at least two"):
        compare([("a", results(values))])
