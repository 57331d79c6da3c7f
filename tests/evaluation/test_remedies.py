"""A remedy never proposes the value that is set, and the findings of one model propose no opposite changes."""

import re
from dataclasses import replace

import pytest

from lowerbound.commands.assignments import parse_settings
from lowerbound.evaluation.checklist import checked
from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.health import TrainedWith
from lowerbound.evaluation.remedies import REMEDIES
from lowerbound.foundation.numerics import Estimate
from lowerbound.runs.experiment import resolve
from measured_health import HEALTHY, ILL

ASSIGNMENT = re.compile(r"--set (\S+?=(?:\[[^\]]*\]|[\w.-]*\w))")
BY_RUN = (
    "data.validation",
    "objective.rate_options",
    "model.latent_dim",
    "objective.preset",
    "model.likelihood_options",
)
"""Settings of which the finding itself, or the number of latents that was measured, says that another value is set."""


def assignments_in(remedy):
    return dict(assignment.split("=", 1) for assignment in ASSIGNMENT.findall(remedy))


def flat(settings):
    return {f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()}


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_goes_on_where_its_proposal_is_set(name):
    health = replace(HEALTHY, **ILL[name])
    for _ in range(4):
        (finding,) = diagnose(health)
        proposed = {key: text for key, text in assignments_in(finding.remedy).items() if not key.startswith(BY_RUN)}
        values = flat(parse_settings([f"{key}={text}" for key, text in proposed.items()]))
        assert all(health.settings.get(key) != value for key, value in values.items())
        health = replace(health, settings={**health.settings, **values})
    assert finding.remedy


def test_overfitting_and_a_bottleneck_do_not_ask_for_fewer_and_for_more_epochs():
    settings = resolve("", {"model": {"hidden": [128]}, "training": {"num_epochs": 60}}).trained_with.settings
    ill = replace(HEALTHY, **ILL["overfitting"] | ILL["encoder is the bottleneck"], settings=settings)
    first, second = diagnose(ill)
    assert "fewer epochs (--set training.num_epochs=10)" in first.remedy
    assert "--set model.hidden=[64]" in first.remedy  # 128 is set
    assert second.remedy == "first that of “overfitting”, which changes this, too"
    shown = {check.name: check.finding for check in checked(ill) if check.finding}
    assert shown == {"overfitting": first, "encoder is the bottleneck": second}


def test_more_and_fewer_latents_are_not_proposed_at_once():
    ill = replace(HEALTHY, allowed_distortion=100.0, aggregate_kl=Estimate(2.0, 0.1), latent_dim=4, active_units=4)
    first, second = diagnose(ill)
    assert "more latents (--set model.latent_dim=16)" in first.remedy
    assert "latent_dim" not in second.remedy and "rate_weight=2" in second.remedy


def test_a_run_that_was_trained_for_long_is_told_to_train_longer_still():
    (finding,) = diagnose(replace(HEALTHY, **ILL["undertrained"], settings={"training.num_epochs": 400}))
    assert "(--set training.num_epochs=800) while the curves still fall" in finding.remedy


def test_what_is_unknown_of_a_model_leaves_the_usual_proposals():
    assert TrainedWith().settings == {}
    (finding,) = diagnose(replace(HEALTHY, **ILL["overfitting"]))
    assert finding.remedy == (
        "--set training.patience=3 to stop when the validation score no longer improves, fewer epochs "
        "(--set training.num_epochs=10), or a smaller network (--set model.hidden=[128])"
    )
