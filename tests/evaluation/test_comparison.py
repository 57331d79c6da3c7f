import numpy as np
import pytest
from scipy import stats

from lowerbound.evaluation.comparison import compare
from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.errors import UsageError


def results(values, convention="grey", checksum="a", name="elbo", array="elbo_per_image", data_name="digits"):
    score = Score(
        name=name,
        value=float(np.mean(values)),
        standard_error=float(stats.sem(values)),
        unit="nats",
        split="test",
        convention=convention,
        num_examples=len(values),
        num_draws=1,
        description="",
    )
    data = {"name": data_name, "sizes": {"test": len(values)}, "test_checksum": checksum}
    return Results((score,), {array: np.asarray(values, np.float32)}, {"data": data})


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(-100, 20, 400)


def test_a_small_difference_common_to_all_images_is_sure_though_the_errors_of_the_means_overlap(values):
    noise = np.random.default_rng(1).normal(0, 0.5, len(values))
    comparison = compare([("a", results(values)), ("b", results(values + 0.3 + noise))])
    row = comparison.rows[1]
    expected = stats.ttest_1samp(0.3 + noise, 0.0)
    assert row.difference.value == pytest.approx((0.3 + noise).mean(), abs=1e-4)
    assert row.difference.standard_error == pytest.approx(stats.sem(noise), rel=1e-3)
    assert row.num_standard_errors == pytest.approx(expected.statistic, rel=1e-3)
    assert row.score.standard_error > 10 * row.difference.standard_error


def test_a_run_does_not_differ_from_itself(values):
    row = compare([("a", results(values)), ("b", results(values.copy()))]).rows[1]
    assert (row.difference.value, row.num_standard_errors) == (0.0, 0.0)


def test_the_same_examples_are_compared_whatever_their_file_is_called(values):
    assert len(compare([("a", results(values)), ("b", results(values, data_name="moved.csv"))]).rows) == 2


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"convention": "binary"}, "different data conventions"), ({"checksum": "b"}, "different test examples")],
)
def test_runs_that_are_not_comparable_are_refused(values, other, reason):
    with pytest.raises(UsageError, match=reason):
        compare([("a", results(values)), ("b", results(values, **other))])


def test_an_elbo_is_not_compared_with_a_reconstruction_error(values):
    deterministic = results(values, name="reconstruction-error", array="reconstruction_error_per_image")
    with pytest.raises(UsageError, match="no score in common"):
        compare([("a", results(values)), ("b", deterministic)])
    assert compare([("a", deterministic), ("b", deterministic)]).quantity == "reconstruction-error"


def test_one_run_is_no_comparison(values):
    with pytest.raises(UsageError, match="at least two"):
        compare([("a", results(values))])
