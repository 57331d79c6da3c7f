import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import distributions

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples
from lowerbound.data.synthetic import LinearGaussian
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps, local_posteriors
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

CONFIG = GapConfig(num_prior_draws=100, num_judging_draws=200)
FAST = GapConfig(num_steps=5, num_prior_draws=10, num_judging_draws=10)
EXACT = replace(CONFIG, num_steps=200, num_draws=64)
NUM_IMAGES = 40
BASINS = [((-6, 0), -3.75), ((0, 4), 1.0)]
MOVED = {"mean": 0.4, "log_variance": -0.8}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Steps as small as these are slower with two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def examples_of(data, num_images=NUM_IMAGES):
    """Draws of a linear-Gaussian model as images of 1×2×3, and their exact log p(x)."""
    x = data.sample(num_images, generator(1, "examples")).float()
    images = x.numpy().reshape(num_images, 1, 2, 3).transpose(0, 2, 3, 1)
    return Examples(np.ascontiguousarray(images), 1.0), data.log_evidence(x.double())


def rows(examples):
    return torch.from_numpy(examples.values.transpose(0, 3, 1, 2)).double()


def sheared(linear_gaussian):
    """The model with columns of W that are not orthogonal, so that its posterior has correlations."""
    weight = linear_gaussian.data.weight @ torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    data = LinearGaussian(weight, linear_gaussian.data.bias, linear_gaussian.data.sigma)
    model = deepcopy(linear_gaussian.model)
    with torch.no_grad():
        model.decoder.output.weight.copy_(weight)
    return data, model


def test_the_best_local_gaussian_is_the_exact_posterior_where_that_is_diagonal(linear_gaussian):
    model = linear_gaussian.with_posterior_moved(**MOVED)
    found = local_posteriors(model, linear_gaussian.x, EXACT, generator(0, "search"))
    exact_mean = linear_gaussian.data.posterior_mean(linear_gaussian.x.flatten(1))
    exact_variance = linear_gaussian.data.posterior_covariance().diagonal().expand_as(exact_mean)
    torch.testing.assert_close(found.mean, exact_mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.variance, exact_variance, atol=0, rtol=1e-3)


def test_the_amortisation_gap_is_the_kl_from_the_encoders_to_the_exact_posterior(linear_gaussian):
    examples, log_evidence = examples_of(linear_gaussian.data)
    gaps = inference_gaps(linear_gaussian.with_posterior_moved(**MOVED), examples, log_evidence, CONFIG, seed=0)
    variance = linear_gaussian.data.posterior_covariance().diagonal()
    moved = distributions.Normal(torch.full((2,), MOVED["mean"]), (variance * math.exp(MOVED["log_variance"])).sqrt())
    exact = distributions.Normal(torch.zeros(2), variance.sqrt())
    expected = distributions.kl_divergence(moved, exact).sum().item()
    gap = gaps.mean_amortisation_gap
    assert expected > 1
    assert gap.standard_error < 0.1 * expected
    assert abs(gap.value - expected) < 4 * gap.standard_error


def test_the_approximation_gap_is_nothing_where_the_family_holds_the_posterior(linear_gaussian):
    examples, log_evidence = examples_of(linear_gaussian.data)
    gaps = inference_gaps(linear_gaussian.with_posterior_moved(**MOVED), examples, log_evidence, EXACT, seed=0)
    torch.testing.assert_close(gaps.local_elbo, log_evidence, atol=1e-3, rtol=0)
    gap = gaps.mean_approximation_gap
    assert abs(gap.value) < max(1e-5, 4 * gap.standard_error)


def test_with_correlations_the_best_gaussian_has_the_diagonal_of_the_exact_precision(linear_gaussian):
    data, model = sheared(linear_gaussian)
    examples, _ = examples_of(data)
    found = local_posteriors(model, rows(examples), EXACT, generator(0, "search"))
    precision = torch.linalg.inv(data.posterior_covariance()).diagonal()
    torch.testing.assert_close(found.mean, data.posterior_mean(rows(examples).flatten(1)), atol=1e-2, rtol=0)
    # The same for every image, so the search's noise can be averaged out.
    torch.testing.assert_close(-found.log_variance.mean(0), precision.log(), atol=0.01, rtol=0)


def test_with_correlations_the_approximation_gap_is_the_kl_of_the_best_diagonal_gaussian(linear_gaussian):
    data, model = sheared(linear_gaussian)
    examples, log_evidence = examples_of(data)
    gap = inference_gaps(model, examples, log_evidence, EXACT, seed=0).mean_approximation_gap
    covariance = data.posterior_covariance()
    best = distributions.MultivariateNormal(
        torch.zeros(2).double(), (1 / torch.linalg.inv(covariance).diagonal()).diag()
    )
    exact = distributions.MultivariateNormal(torch.zeros(2).double(), covariance)
    expected = distributions.kl_divergence(best, exact).item()
    assert expected > 0.1
    assert gap.standard_error < 0.1 * expected
    assert abs(gap.value - expected) < 4 * gap.standard_error


def test_an_encoder_that_is_best_already_has_no_amortisation_gap(linear_gaussian):
    examples, _ = examples_of(linear_gaussian.data)
    gaps = inference_gaps(linear_gaussian.model, examples, None, EXACT, seed=0)
    torch.testing.assert_close(gaps.amortisation_gap, torch.zeros(NUM_IMAGES).double(), atol=1e-3, rtol=0)
    assert gaps.approximation_gap is None
    assert gaps.mean_approximation_gap is None


def test_a_search_that_goes_astray_leaves_the_encoders_posterior(linear_gaussian):
    astray = replace(CONFIG, num_steps=1, learning_rate=50.0)
    model = linear_gaussian.with_posterior_moved(mean=0.02, log_variance=0.1)
    encoded = model.encode(linear_gaussian.x)
    found = local_posteriors(model, linear_gaussian.x, astray, generator(0, "search"))
    torch.testing.assert_close(found.mean, encoded.mean)
    torch.testing.assert_close(found.variance, encoded.variance)


def test_both_elbos_meet_the_same_noise(linear_gaussian):
    data, model = sheared(linear_gaussian)
    precision = torch.linalg.inv(data.posterior_covariance())
    to_mean = data.posterior_covariance() @ data.weight.T / data.sigma**2
    with torch.no_grad():
        model.encoder.heads.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
        model.encoder.heads.bias.copy_(torch.cat([-to_mean @ data.bias, -precision.diagonal().log()]))
    examples, log_evidence = examples_of(data)
    # The encoder is the best of its family already, and this search finds nothing better.
    astray = replace(CONFIG, num_steps=1, learning_rate=50.0)
    gaps = inference_gaps(model, examples, log_evidence, astray, seed=0)
    assert gaps.approximation_gap.std() > 0.01
    torch.testing.assert_close(gaps.amortisation_gap, torch.zeros(NUM_IMAGES).double(), atol=1e-12, rtol=0)


def test_pixels_that_are_redrawn_are_those_of_one_pass_over_all_examples():
    shades = np.random.default_rng(0).random((10, 1, 2, 3), np.float32).transpose(0, 2, 3, 1).copy()
    examples = Examples(shades, 1.0, is_redrawn=True)
    model = build_model(ModelConfig(hidden=()), (1, 2, 3), generator(0, "weights")).double()
    with torch.no_grad():
        model.decoder.output.weight.zero_()  # so that log p(x|z) = log p(x), and the prior is the exact posterior
        model.encoder.heads.weight.zero_()
        model.encoder.heads.bias.zero_()
    gaps = inference_gaps(model, examples, None, replace(FAST, batch_size=3), seed=0)
    expected = model.decode(torch.zeros(10, 2).double()).log_prob(scaled(examples).double())
    torch.testing.assert_close(gaps.encoder_elbo, expected)


@pytest.fixture
def wrong_mode():
    """p(x|z) = N(3 relu(z) + 0.8 relu(-z), 0.1²), and an encoder that explains x = 3 by z = -3.75, not by z = 1."""
    config = ModelConfig(hidden=(2,), latent_dim=1, likelihood="gaussian", likelihood_options={"sigma": 0.1})
    model = build_model(config, (1, 1, 1), generator(0, "weights")).double()
    with torch.no_grad():
        model.decoder.body[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model.decoder.body[0].bias.zero_()
        model.decoder.output.weight.copy_(torch.tensor([[3.0, 0.8]]))
        model.decoder.output.bias.zero_()
        model.encoder.heads.weight.zero_()
        model.encoder.heads.bias.copy_(torch.tensor([-3.75, -6.0]))
    return model


def test_the_search_leaves_the_basin_of_a_wrong_mode(wrong_mode):
    def joint(z):
        mean = 3 * max(z, 0) + 0.8 * max(-z, 0)
        return stats.norm.pdf(3, mean, 0.1) * stats.norm.pdf(z)

    log_evidence = math.log(sum(integrate.quad(joint, *ends, points=[middle])[0] for ends, middle in BASINS))
    examples = Examples(np.full((2, 1, 1, 1), 3.0, np.float32), 1.0)
    gaps = inference_gaps(wrong_mode, examples, None, CONFIG, seed=0)
    assert torch.all(gaps.encoder_elbo < log_evidence - 5)
    assert torch.all((gaps.local_elbo - log_evidence).abs() < 0.05)


def test_fresh_draws_of_equal_seeds_give_equal_gaps(linear_gaussian):
    examples, _ = examples_of(linear_gaussian.data, 5)
    model = linear_gaussian.with_posterior_moved(**MOVED)
    first, second, other = (inference_gaps(model, examples, None, FAST, seed) for seed in (0, 0, 1))
    assert torch.equal(first.local_elbo, second.local_elbo)
    assert not torch.equal(first.encoder_elbo, other.encoder_elbo)


def test_the_model_is_left_as_it_was(linear_gaussian):
    model = linear_gaussian.with_posterior_moved(**MOVED)
    model.decoder.output.bias.requires_grad_(False)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in model.parameters()]
    local_posteriors(model, linear_gaussian.x, FAST, generator(0, "search"))
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())


def test_means_over_images_carry_their_standard_errors(linear_gaussian):
    examples, log_evidence = examples_of(linear_gaussian.data, 6)
    gaps = inference_gaps(linear_gaussian.with_posterior_moved(**MOVED), examples, log_evidence, FAST, seed=0)
    assert gaps.mean_amortisation_gap == mean_and_standard_error(gaps.local_elbo - gaps.encoder_elbo)
    assert gaps.mean_approximation_gap == mean_and_standard_error(log_evidence - gaps.local_elbo)


def test_a_deterministic_model_is_refused(linear_gaussian):
    examples, _ = examples_of(linear_gaussian.data, 2)
    model = build_model(ModelConfig(hidden=(), posterior="point-mass"), (1, 2, 3), generator(0, "weights"))
    with pytest.raises(ConfigError, match="point-mass"):
        inference_gaps(model, examples, None, CONFIG, seed=0)
    with pytest.raises(ConfigError, match="point-mass"):
        local_posteriors(model, rows(examples).float(), CONFIG, generator(0, "search"))


def test_the_evidence_of_other_examples_is_refused(linear_gaussian):
    examples, log_evidence = examples_of(linear_gaussian.data, 4)
    with pytest.raises(DataError, match="3 values of log p\\(x\\) for 4 examples"):
        inference_gaps(linear_gaussian.model, examples, log_evidence[:3], CONFIG, seed=0)


@pytest.mark.parametrize(
    "wrong", [{"num_steps": 0}, {"num_draws": 3}, {"learning_rate": 0.0}, {"num_judging_draws": 0}, {"batch_size": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GapConfig(**wrong)
