import math
import re
from dataclasses import fields, replace

import pytest

from lowerbound.commands.assignments import parse_settings
from lowerbound.evaluation.diagnosis import CHECKS, NOTE, SERIOUS, WARNING, diagnose
from lowerbound.evaluation.health import HealthMetrics
from lowerbound.evaluation.thresholds import NOISE
from lowerbound.foundation.numerics import Estimate
from lowerbound.runs.experiment import merge, resolve
from measured_health import HEALTHY, ILL

SETTINGS_OF = {
    "unused codes": {"model": {"posterior": "vq", "latent_dim": 64}},
    "σ at its bound": {"model": {"likelihood": "gaussian"}},
    "distortion above the allowed one": {"objective": {"rate": "geco", "rate_options": {"distortion": 1.0}}},
}
"""Without these settings the remedy of the finding is none."""


def finding_of(name, **further):
    (finding,) = diagnose(replace(HEALTHY, **ILL[name] | further))
    return finding


def settings_in(remedy):
    return [assignment.rstrip(",;.)") for assignment in re.findall(r"--set (\S+)", remedy)]


def test_a_healthy_model_has_no_findings():
    assert diagnose(HEALTHY) == ()


def test_quantities_that_were_not_measured_give_no_finding():
    assert diagnose(HealthMetrics()) == ()


@pytest.mark.parametrize("name", [field.name for field in fields(HealthMetrics) if field.default is None])
def test_a_healthy_model_stays_healthy_if_a_number_is_missing(name):
    assert diagnose(replace(HEALTHY, **{name: None})) == ()


def test_nan_gives_no_finding():
    unknown = Estimate(math.nan, math.nan)
    estimates = {name: unknown for name, value in vars(HEALTHY).items() if isinstance(value, Estimate)}
    assert diagnose(replace(HEALTHY, **estimates)) == ()


def test_every_check_has_an_example():
    assert set(ILL) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_each_example_has_its_own_finding_and_no_other(name):
    assert finding_of(name).name == name


@pytest.mark.parametrize("name", CHECKS)
def test_a_finding_has_sentence_number_threshold_and_remedy(name):
    finding = finding_of(name)
    assert finding.severity in (SERIOUS, WARNING, NOTE)
    assert re.match(r"[A-Z].*\w", finding.sentence)
    assert math.isfinite(finding.number)
    assert math.isfinite(finding.threshold)
    assert finding.unit
    assert finding.source
    assert settings_in(finding.remedy)


@pytest.mark.parametrize("name", CHECKS)
def test_a_remedy_is_a_setting_that_the_command_line_accepts(name):
    for assignment in settings_in(finding_of(name).remedy):
        resolve("conv", merge(SETTINGS_OF.get(name, {}), parse_settings([assignment])))


@pytest.mark.parametrize(("allowed", "excess", "stated"), [(15, 50.6, 66), (-20, 5.71, -14), (0, 0.234, 0.24)])
def test_the_distortion_of_the_remedy_is_one_that_was_reached(allowed, excess, stated):
    health = {"allowed_distortion": allowed, "distortion": Estimate(allowed + excess, 0.01)}
    assert f"distortion={stated})" in finding_of("distortion above the allowed one", **health).remedy


def test_findings_are_sorted_by_severity_then_by_their_order_in_the_table():
    everything = {key: value for name in ILL if name != "undertrained" for key, value in ILL[name].items()}
    findings = diagnose(replace(HEALTHY, **everything))
    assert {finding.name for finding in findings} == set(CHECKS) - {"undertrained"}
    order = list(CHECKS)
    places = [(finding.severity, order.index(finding.name)) for finding in findings]
    assert places == sorted(places)
    assert findings[0].name == "data outside the support"


@pytest.mark.parametrize(
    "name",
    [
        "overfitting",
        "holes in the latent space",
        "encoder is the bottleneck",
        "log-evidence estimate below a lower bound",
    ],
)
def test_a_difference_within_noise_gives_no_finding(name):
    ((field, ill),) = ILL[name].items()
    healthy = getattr(HEALTHY, field)
    uncertain = Estimate(ill.value, abs(ill.value - healthy.value) / NOISE)
    assert diagnose(replace(HEALTHY, **{field: uncertain})) == ()


def test_some_unused_dimensions_are_less_serious_than_all():
    severities = [diagnose(replace(HEALTHY, latent_dim=10, active_units=active))[0].severity for active in (0, 4, 9)]
    assert severities == [SERIOUS, WARNING, NOTE]


def test_a_collapse_names_the_number_of_latents_that_are_used():
    (finding,) = diagnose(replace(HEALTHY, latent_dim=10, active_units=7))
    assert "--set model.latent_dim=7" in finding.remedy
    assert "Of 10 latent dimensions, 3 carry no information" in finding.sentence


def test_overfitting_is_measured_by_what_z_gains():
    finding = finding_of("overfitting")
    assert finding.number == pytest.approx(20)  # train -145, test -165
    assert finding.threshold == pytest.approx(0.1 * (205 - 145))
    # The same gap is small compared with a gain of a thousand nats.
    assert diagnose(replace(HEALTHY, **ILL["overfitting"], z_free_distortion=Estimate(1145.0, 1.5))) == ()


def test_an_amortisation_gap_below_the_approximation_gap_is_not_a_bottleneck():
    wider = replace(HEALTHY, **ILL["encoder is the bottleneck"], approximation_gap=Estimate(9.0, 0.1))
    assert diagnose(wider) == ()


def test_an_encoder_that_loses_half_of_what_z_gains_is_a_warning():
    assert finding_of("encoder is the bottleneck").severity == NOTE
    (finding,) = diagnose(replace(HEALTHY, amortisation_gap=Estimate(40.0, 1.0)))
    assert finding.severity == WARNING


def test_an_unresolved_aggregate_kl_is_replaced_by_that_of_its_moments():
    unresolved = replace(HEALTHY, aggregate_kl=None, mutual_information=None)
    assert diagnose(unresolved) == ()
    (finding,) = diagnose(replace(unresolved, moment_kl=3.0))
    assert (finding.name, finding.number) == ("holes in the latent space", 3.0)


def test_holes_are_reported_as_the_share_of_the_prior_that_is_filled():
    assert "filled only 13.5% of it" in finding_of("holes in the latent space").sentence  # e⁻²


def test_the_gain_is_that_of_the_elbo_over_a_model_without_z():
    assert HEALTHY.gain == pytest.approx(205 - 145)
    assert replace(HEALTHY, train_elbo=Estimate(-300.0, 1.0)).gain == 0
    assert HealthMetrics().gain is None


def test_a_plain_autoencoder_is_not_advised_to_weigh_a_rate_that_it_does_not_have():
    ill = replace(HEALTHY, rate=None, **ILL["decoder ignores z"])
    (finding,) = diagnose(replace(ill, is_deterministic=True))
    assert "rate_warm_up" not in finding.remedy and settings_in(finding.remedy)
    assert "rate_warm_up" in diagnose(ill)[0].remedy


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (Estimate(0.01, 0.01), "do as well as its own, to within 0.1 nats"),
        (Estimate(0.09, 0.01), "cost 0.090 ± 0.010 nats, too few to count"),
        (Estimate(1.3, 0.8), "cost 1.30 ± 0.80 nats, which is not more than noise"),  # a table's densities
        (Estimate(-1.3, 0.8), "cost −1.30 ± 0.80 nats, which is not more than noise"),
    ],
)
def test_latents_of_another_example_are_as_good_only_where_that_was_measured(swap, said):
    (finding,) = diagnose(replace(HEALTHY, **ILL["decoder ignores z"] | {"swap_loss": swap}))
    assert finding.name == "decoder ignores z" and said in finding.sentence
    assert ("do as well" in finding.sentence) == ("do as well" in said)


def test_a_gain_that_noise_hides_is_stated_with_its_error():
    hidden = replace(HEALTHY, **ILL["decoder ignores z"] | {"distortion_gain": Estimate(2.0, 1.5)})
    assert "(a gain of 2.0 ± 1.5 nats is within noise)" in diagnose(hidden)[0].sentence


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 16])
@pytest.mark.parametrize("ill", [{"active_units": 0}, {"aggregate_kl": Estimate(9.0, 0.1)}], ids=["collapse", "holes"])
def test_fewer_latents_are_advised_only_where_there_are_more(latent_dim, ill):
    healthy = replace(HEALTHY, latent_dim=latent_dim, active_units=latent_dim)
    (finding,) = diagnose(replace(healthy, **ill))
    advised = [int(number) for number in re.findall(r"model\.latent_dim=(\d+)", finding.remedy)]
    assert all(1 <= number < latent_dim for number in advised)
    assert settings_in(finding.remedy)


@pytest.mark.parametrize(
    ("gain", "swap", "name"),
    [
        (0.05, 0.001, "decoder ignores z"),  # converged: as good as one distribution, and nothing changes with z
        (-0.4, 0.001, "decoder ignores z"),  # noise of its training
        (-3.0, 0.001, "undertrained"),  # it has not learned the average example
        (-3.0, 2.0, "undertrained"),
        (0.05, 2.0, "undertrained"),  # it uses z already
    ],
)
def test_a_decoder_without_gain_ignores_z_only_where_the_evidence_says_so(gain, swap, name):
    evidence = replace(HEALTHY, distortion_gain=Estimate(gain, 0.01), swap_loss=Estimate(swap, 0.01))
    (finding,) = diagnose(evidence)
    assert finding.name == name
    assert ("so it uses them" in finding.sentence) == (swap > 1)


def test_without_a_measurement_of_swapped_latents_the_level_alone_decides():
    for gain, name in ((0.05, "decoder ignores z"), (-3.0, "undertrained")):
        (finding,) = diagnose(replace(HEALTHY, distortion_gain=Estimate(gain, 0.01), swap_loss=None))
        assert finding.name == name
