"""Annealed importance sampling and its bracket, on models whose log p(x) is known in closed form or by quadrature."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.integrate import quad
from torch.testing import assert_close

from linear_models import linear_model
from lowerbound.evaluation.annealing import (
    ANNEALING_SCHEDULES,
    AnnealedEvidence,
    AnnealingConfig,
    Chains,
    Ladder,
    advance,
    anneal,
    annealed_evidence,
)
from lowerbound.evaluation.bidirectional import bidirectional
from lowerbound.evaluation.hamiltonian import BASES, AnnealedPath
from lowerbound.foundation.errors import ConfigError, RunError, UnknownName
from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

pytestmark = pytest.mark.usefixtures("float64")

CONFIG = AnnealingConfig(num_temperatures=4, num_leapfrog=3, num_chains=3)


def noisy(num_examples=4):
    """A model with so much noise that a few temperatures do, examples of it, and their log p(x)."""
    model, data = linear_model(6, 2, sigma=3.0)
    x = data.sample(num_examples, generator(0, "examples"))
    return model, x.unflatten(-1, (1, 1, 6)), data.log_evidence(x)


def two_sided():
    """A model of one latent with the decoder |z| (1, -1/2), one example, and its exact log p(x)."""
    config = ModelConfig(hidden=(2,), latent_dim=1, likelihood="gaussian", likelihood_options={"sigma": 0.25})
    model = build_model(config, (1, 1, 2), generator(0, "weights"))
    with torch.no_grad():
        model.decoder.body[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model.decoder.output.weight.copy_(torch.tensor([[1.0, 1.0], [-0.5, -0.5]]))
    x = torch.tensor([1.2, -0.6]).reshape(1, 1, 1, 2)
    return model, x, math.log(2 * quadrature(model, x[0], 0.0, 8.0))


def quadrature(model, x, low, high):
    """The integral of p(x, z) over one latent between two limits, where `x` is one example."""
    with torch.no_grad():
        value, _ = quad(
            lambda z: float(model.log_joint(x.unsqueeze(0), torch.tensor([[z]])).exp()), low, high, epsabs=1e-12
        )
    return value


def standard_error(values):
    return values.std(0) / len(values) ** 0.5


# ---- weights


@pytest.mark.parametrize("schedule", ANNEALING_SCHEDULES)
@pytest.mark.parametrize("start", BASES)
@pytest.mark.parametrize("num_pilot_chains", [0, 1])
def test_weights_are_unbiased_with_few_temperatures_and_poor_steps(schedule, start, num_pilot_chains):
    model, x, truth = noisy()
    config = replace(
        CONFIG, schedule=schedule, start=start, num_pilot_chains=num_pilot_chains, step_size=0.5, num_chains=4000
    )
    evidence = annealed_evidence(model, x, config, generator(0, "noise"))
    relative = (evidence.log_weight - truth).exp()
    assert (evidence.log_weight.std(0) > 0.1).all()
    assert (standard_error(relative) < 0.1).all()
    assert ((relative.mean(0) - 1).abs() < 4 * standard_error(relative)).all()


def test_the_log_of_a_mean_weight_is_a_bound_from_below_and_tighter_with_more_chains():
    model, x, truth = noisy()
    evidence = annealed_evidence(model, x, replace(CONFIG, num_chains=20_000), generator(0, "noise"))
    slacks = []
    for num_chains in (1, 4, 16):
        error = (log_mean_exp(evidence.log_weight.reshape(num_chains, -1, 4), dim=0) - truth).mean(1)
        assert error.mean() < -4 * standard_error(error)
        slacks.append(-error.mean())
    assert slacks[0] > 2 * slacks[1] > 4 * slacks[2]


def test_one_temperature_is_importance_sampling_from_the_prior():
    model, x, _ = noisy()
    config = replace(CONFIG, num_temperatures=1, num_pilot_chains=0)
    evidence = annealed_evidence(model, x, config, generator(0, "noise"))
    z = model.prior().sample(generator(0, "noise"), 3 * 4).reshape(3, 4, 2)
    assert_close(evidence.log_weight, model.decode(z).log_prob(x))
    assert evidence.acceptance.isnan().all()


def test_the_estimate_tends_to_the_truth_with_more_temperatures(linear_gaussian):
    errors = []
    for num_temperatures in (10, 40, 160):
        config = AnnealingConfig(num_temperatures=num_temperatures, num_leapfrog=5, num_chains=400)
        evidence = annealed_evidence(linear_gaussian.model, linear_gaussian.x, config, generator(0, "noise"))
        errors.append((evidence.log_weight.mean(0) - linear_gaussian.log_evidence).mean())
    assert errors[0] < 2 * errors[1] < 4 * errors[2] < 0
    assert (evidence.log_evidence - linear_gaussian.log_evidence).mean().abs() < 0.02
    assert (evidence.log_evidence - linear_gaussian.log_evidence).abs().max() < 0.1


def test_from_an_exact_posterior_every_weight_is_the_evidence(linear_gaussian):
    config = replace(CONFIG, start="posterior")
    evidence = annealed_evidence(linear_gaussian.model, linear_gaussian.x, config, generator(0, "noise"))
    assert_close(evidence.log_weight, linear_gaussian.log_evidence.expand(3, -1))
    assert_close(evidence.effective_sample_size, torch.full((8,), 3.0))


def test_the_effective_sample_size_counts_the_chains_that_matter():
    log_weight = torch.tensor([[0.0, 0.0, -1000.0], [0.0, -1000.0, 0.0], [0.0, -1000.0, 0.0]])
    evidence = AnnealedEvidence(log_weight - 900.0, torch.ones(3))
    assert_close(evidence.effective_sample_size, torch.tensor([3.0, 1.0, 2.0]))


def test_the_pilot_brings_the_acceptance_to_its_target(linear_gaussian):
    for target in (0.65, 0.9):
        config = AnnealingConfig(num_temperatures=120, num_leapfrog=4, target_acceptance=target)
        evidence = annealed_evidence(linear_gaussian.model, linear_gaussian.x, config, generator(0, "noise"))
        assert abs(float(evidence.acceptance.mean()) - target) < 0.05


def test_examples_and_chains_do_not_depend_on_one_another(linear_gaussian):
    """One example's weights are uncorrelated with the next one's, and one chain's with the next one's."""
    config = replace(CONFIG, num_temperatures=20, num_chains=2000)
    log_weight = annealed_evidence(linear_gaussian.model, linear_gaussian.x, config, generator(0, "noise")).log_weight
    between_examples = torch.corrcoef(log_weight.T) - torch.eye(8)
    between_chains = torch.stack([torch.corrcoef(column.reshape(2, -1))[0, 1] for column in log_weight.T])
    assert between_examples.abs().max() < 4.5 / 2000**0.5
    assert between_chains.abs().max() < 4 / 1000**0.5


# ---- what is hard: two modes, grey pixels


def test_both_modes_are_covered_and_the_evidence_is_that_of_quadrature():
    model, x, truth = two_sided()
    config = AnnealingConfig(num_temperatures=60, num_leapfrog=5, num_chains=400)
    evidence = annealed_evidence(model, x, config, generator(0, "noise"))
    assert abs(float(evidence.log_evidence) - truth) < 0.05
    path = AnnealedPath.of(model, x, "prior")
    stream = generator(1, "noise")
    chains = Chains.at(path.draw(stream, 400))
    ladder = Ladder(ANNEALING_SCHEDULES["sigmoid"](60).tolist(), torch.full((59, 1), 0.1), 5)
    while chains.temperature < ladder.num_temperatures:
        advance(chains, path, ladder, stream)
    assert (chains.point.z.abs() - 1.2).abs().mean() < 0.4  # in the modes, and
    assert abs(float((chains.point.z > 0).double().mean()) - 0.5) < 4 * 0.5 / 400**0.5  # in both of them


def test_a_start_that_sees_one_mode_loses_the_other():
    """Which is why the prior is where annealing starts unless told otherwise."""
    model, x, truth = two_sided()
    with torch.no_grad():
        model.encoder.heads.weight.zero_()
        model.encoder.body[1].weight.zero_()
        model.encoder.heads.bias.copy_(torch.tensor([1.2, -3.0]))
    config = AnnealingConfig(num_temperatures=50, num_leapfrog=5, num_chains=100, start="posterior")
    evidence = annealed_evidence(model, x, config, generator(0, "noise"))
    assert abs(float(evidence.log_evidence) - (truth - math.log(2))) < 0.05


def test_of_grey_pixels_it_is_the_grey_evidence():
    model = build_model(ModelConfig(hidden=(4,), latent_dim=1), (1, 2, 3), generator(1, "weights"))
    with torch.no_grad():
        model.decoder.output.weight.mul_(4)
    x = torch.rand(2, 1, 2, 3, generator=generator(0, "x"))
    config = AnnealingConfig(num_temperatures=50, num_leapfrog=5, num_chains=2000)
    evidence = annealed_evidence(model, x, config, generator(0, "noise"))
    truth = torch.tensor([math.log(quadrature(model, image, -8.0, 8.0)) for image in x])
    assert_close(evidence.log_evidence, truth, atol=0.02, rtol=0)


# ---- randomness, resuming, refusals


def test_the_same_stream_gives_the_same_weights_and_the_global_one_is_not_touched():
    model, x, _ = noisy()
    before = torch.random.get_rng_state()
    first, second = (annealed_evidence(model, x, CONFIG, generator(0, "noise")) for _ in range(2))
    other = annealed_evidence(model, x, CONFIG, generator(1, "noise"))
    bidirectional(model, 2, CONFIG, generator(0, "noise"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.log_weight, second.log_weight)
    assert not torch.equal(first.log_weight, other.log_weight)


def nonlinear():
    model = build_model(ModelConfig(hidden=(7,), latent_dim=2), (1, 2, 3), generator(0, "weights")).float()
    return model, torch.rand(5, 1, 2, 3, generator=generator(0, "x")).float()


@pytest.mark.parametrize("start", BASES)
@pytest.mark.parametrize(("save_every", "killed_after"), [(1, 1), (1, 7), (2, 11), (3, 12), (4, 19), (5, 21), (7, 23)])
def test_killed_anywhere_and_resumed_annealing_is_identical_to_the_bit(tmp_path, start, save_every, killed_after):
    model, x = nonlinear()
    config = AnnealingConfig(num_temperatures=12, num_leapfrog=3, num_chains=4, start=start, step_size=0.8)
    stream = generator(0, "noise")
    whole = list(anneal(model, x, config, stream))
    path = tmp_path / "annealing.safetensors"
    records = anneal(model, x, config, generator(0, "noise"), checkpoint=path, save_every=save_every)
    for _ in range(killed_after):
        next(records)
    records.close()
    # A stream of another seed: the saved one is what counts, unless nothing was saved.
    resumed_stream = generator(1 if path.exists() else 0, "noise")
    resumed = list(anneal(model, x, config, resumed_stream, checkpoint=path, save_every=save_every))
    assert torch.equal(resumed[-1].evidence.log_weight, whole[-1].evidence.log_weight)
    assert torch.equal(resumed[-1].evidence.acceptance, whole[-1].evidence.acceptance)
    assert torch.equal(resumed_stream.get_state(), stream.get_state())
    same = [(record.stage, record.temperature, record.acceptance) for record in resumed]
    assert same == [(record.stage, record.temperature, record.acceptance) for record in whole][-len(same) :]


def test_restored_latents_lie_in_memory_as_those_that_were_saved(tmp_path):
    """Or products of matrices of some sizes, as of these, are rounded otherwise."""
    model = build_model(ModelConfig(hidden=(8,), latent_dim=5), (1, 4, 4), generator(0, "weights")).float()
    x = torch.rand(4, 1, 4, 4, generator=generator(0, "x")).float()
    config = AnnealingConfig(num_temperatures=4, num_leapfrog=1, num_chains=32, num_pilot_chains=0)
    *_, whole = anneal(model, x, config, generator(0, "noise"))
    records = anneal(model, x, config, generator(0, "noise"), checkpoint=tmp_path / "a", save_every=1)
    next(records)
    records.close()
    *_, resumed = anneal(model, x, config, generator(0, "noise"), checkpoint=tmp_path / "a", save_every=1)
    assert torch.equal(resumed.evidence.log_weight, whole.evidence.log_weight)


def test_a_finished_checkpoint_holds_the_result(tmp_path):
    model, x = nonlinear()
    path = tmp_path / "annealing.safetensors"
    *_, first = anneal(model, x, CONFIG, generator(0, "noise"), checkpoint=path)
    (again,) = anneal(model, x, CONFIG, generator(1, "noise"), checkpoint=path)
    assert torch.equal(again.evidence.log_weight, first.evidence.log_weight)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    model, x = nonlinear()
    path = tmp_path / "annealing.safetensors"
    list(anneal(model, x, CONFIG, generator(0, "noise"), checkpoint=path))
    other_model = build_model(model.config, (1, 2, 3), generator(1, "weights")).float()
    for changed in ((other_model, x, CONFIG), (model, 1 - x, CONFIG), (model, x, replace(CONFIG, num_leapfrog=2))):
        with pytest.raises(RunError, match="another model, other examples or other settings"):
            next(anneal(*changed, generator(0, "noise"), checkpoint=path))


def test_progress_counts_the_temperatures_of_both_stages():
    model, x, _ = noisy()
    records = list(anneal(model, x, CONFIG, generator(0, "noise")))
    assert [(record.stage, record.temperature) for record in records] == [
        (stage, temperature) for stage in ("pilot", "weighted") for temperature in (1, 2, 3, 4)
    ]
    assert [record.evidence is None for record in records] == [True] * 7 + [False]
    assert all(record.num_temperatures == 4 and 0 < record.acceptance <= 1 for record in records)


def test_weights_are_double_whatever_the_model_is():
    model, x = nonlinear()
    evidence = annealed_evidence(model, x, CONFIG, generator(0, "noise"))
    assert evidence.log_weight.dtype == torch.float64
    assert evidence.log_weight.shape == (3, 5)
    assert evidence.log_evidence.shape == evidence.effective_sample_size.shape == evidence.acceptance.shape == (5,)


@pytest.mark.parametrize("schedule", ANNEALING_SCHEDULES)
@pytest.mark.parametrize("num_temperatures", [1, 2, 7, 1000])
def test_schedules_rise_from_0_to_1(schedule, num_temperatures):
    beta = ANNEALING_SCHEDULES[schedule](num_temperatures)
    assert len(beta) == num_temperatures + 1
    assert (beta[0], beta[-1]) == (0, 1)
    assert (beta.diff() > 0).all()
    assert_close(beta + beta.flip(0), torch.ones_like(beta))


def test_a_deterministic_autoencoder_is_refused():
    model = build_model(ModelConfig(hidden=(), posterior="point-mass"), (1, 2, 3), generator(0, "weights"))
    with pytest.raises(ConfigError, match="no evidence"):
        annealed_evidence(model, torch.zeros(1, 1, 2, 3), CONFIG, generator(0, "noise"))
    with pytest.raises(ConfigError, match="no evidence"):
        list(anneal(model, torch.zeros(1, 1, 2, 3), CONFIG, generator(0, "noise")))
    with pytest.raises(ConfigError, match="no prior to simulate from"):
        bidirectional(model, 1, CONFIG, generator(0, "noise"))


def test_save_every_needs_at_least_one_temperature():
    model, x, _ = noisy()
    with pytest.raises(ConfigError, match="save_every needs at least 1"):
        next(anneal(model, x, CONFIG, generator(0, "noise"), save_every=0))


def test_progress_covers_both_directions_to_the_last_temperature():
    model, _, _ = noisy()
    seen = []
    bidirectional(model, 2, CONFIG, generator(0, "noise"), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]  # the pilot, forwards and back, four temperatures each


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_temperatures", 0),
        ("num_leapfrog", 0),
        ("num_chains", 0),
        ("num_pilot_chains", -1),
        ("step_size", 0.0),
        ("step_size", math.nan),
        ("target_acceptance", 0.0),
        ("target_acceptance", 1.0),
    ],
)
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"annealing.{key} needs"):
        AnnealingConfig(**{key: value})


@pytest.mark.parametrize(("key", "value", "nearest"), [("schedule", "sigmoidal", "sigmoid"), ("start", "q", None)])
def test_unknown_names_are_refused(key, value, nearest):
    with pytest.raises(UnknownName, match=f"unknown evaluation.annealing.{key}") as caught:
        AnnealingConfig(**{key: value})
    assert caught.value.nearest == nearest
