"""The checklist: every check with its number, threshold and outcome."""

import json
import math
from dataclasses import asdict, replace

import pytest

from lowerbound.evaluation.checklist import CHECKLIST, NOT_APPLICABLE, NOT_FINITE, checked
from lowerbound.evaluation.diagnosis import CHECKS, diagnose
from lowerbound.evaluation.health import HealthMetrics
from lowerbound.evaluation.thresholds import NOISE
from lowerbound.foundation.numerics import Estimate
from measured_health import HEALTHY, ILL


def keeps(check, slack=0.0):
    """Whether the number is on the right side of the threshold, by some slack on the healthy side."""
    distance = check.number - check.threshold
    return (distance if check.is_lower_bound else -distance) >= slack


def test_every_check_of_the_diagnosis_is_in_the_checklist():
    assert set(CHECKLIST) == set(CHECKS)


def test_a_healthy_model_passes_every_check_by_its_numbers():
    for check in checked(HEALTHY):
        assert check.finding is None
        assert check.unit and keeps(check)


@pytest.mark.parametrize("name", ILL)
def test_a_finding_of_the_diagnosis_is_in_its_row_whose_number_is_beyond_the_threshold(name):
    health = replace(HEALTHY, **ILL[name])
    rows = {check.name: check for check in checked(health)}
    assert [row.finding for row in rows.values() if row.finding] == list(diagnose(health))
    row = rows[name]
    assert row.finding and row.finding.name == name
    assert not keeps(row) or row.number == row.threshold
    assert all(keeps(other) for other in rows.values() if other.name != name and other.number is not None)


def test_what_was_not_measured_has_no_number_and_passes_nothing():
    for check in checked(HealthMetrics()):
        assert check.number is None and check.finding is None
        assert (check.reason == NOT_APPLICABLE) != CHECKLIST[check.name].is_slow


def test_a_number_beyond_the_threshold_by_less_than_noise_passes():
    (row,) = (
        row
        for row in checked(replace(HEALTHY, aggregate_kl=Estimate(1.1, 0.1 / NOISE)))
        if row.name == "holes in the latent space"
    )
    assert row.finding is None and row.standard_error == 0.05


def test_use_of_latents_is_not_judged_of_an_undertrained_model():
    health = replace(HEALTHY, distortion_gain=Estimate(-3.0, 0.1), swap_loss=Estimate(0.0, 0.01))
    row = next(row for row in checked(health) if row.name == "decoder ignores z")
    assert row.number is None and row.reason == "cannot be told before the model is trained"


def test_numbers_that_are_not_finite_are_left_out_so_that_the_results_can_be_written():
    estimates = {name: value for name, value in vars(HEALTHY).items() if isinstance(value, Estimate)}
    of_one_example = {name: Estimate(value.value, math.nan) for name, value in estimates.items()}
    unknown = dict.fromkeys(estimates, Estimate(math.nan, math.nan))
    for health in (replace(HEALTHY, **of_one_example), replace(HEALTHY, **unknown)):
        json.dumps([asdict(check) for check in checked(health)], allow_nan=False)
    assert any(check.reason == NOT_FINITE for check in checked(replace(HEALTHY, **unknown)))
