"""The autoregressive prior: probabilities add up to one, sampling with a cache is the full pass, draws follow p(c)."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.autoregressive_prior import AutoregressivePrior, drawn

pytestmark = pytest.mark.usefixtures("float64")


def prior_of(num_indices=4, num_codes=2, scale=0.5):
    prior = AutoregressivePrior(num_indices, num_codes, 1, hidden=32).double().requires_grad_(False)
    for parameter in prior.parameters():  # unlike the start, which is uniform
        parameter += scale * torch.randn(parameter.shape, generator=generator(0, "shifts"))
    return prior


def model_of(levels="2,2", positions=3):
    prior = {"prior": "autoregressive", "prior_options": {"num_codes": 4, "code_dim": 2, "hidden": 32}}
    config = ModelConfig(
        hidden=(4,), latent_dim=2 * positions, posterior="fsq", posterior_options={"levels": levels}, **prior
    )
    model = build_model(config, (1, 3, 3), generator(0, "weights")).double().eval().requires_grad_(False)
    for parameter in model.prior.parameters():
        parameter += 0.5 * torch.randn(parameter.shape, generator=generator(0, "shifts"))
    return model


def test_probabilities_of_all_sequences_add_up_to_one():
    indices = torch.tensor(list(itertools.product(range(2), repeat=4)))
    log_prob = prior_of().log_prob_of_indices(indices)
    assert_close(log_prob.exp().sum(), torch.tensor(1.0))
    assert log_prob.std() > 0.1


def test_a_new_prior_is_uniform():
    prior = AutoregressivePrior(4, 7, 1)
    assert_close(prior.log_prob_of_indices(torch.zeros(2, 4, dtype=torch.int64)), torch.full((2,), -4 * math.log(7)))


def test_an_index_has_the_conditional_probability_given_the_earlier_ones_only():
    network, indices = prior_of(num_codes=5).network, torch.tensor([[1, 4, 0, 2]])
    logits = network(indices)
    for place, other in itertools.product(range(4), range(5)):
        changed = indices.clone()
        changed[0, place] = other
        assert_close(network(changed)[:, : place + 1], logits[:, : place + 1])


def test_logits_with_a_cache_are_those_of_the_full_pass():
    network = prior_of(num_codes=5).network
    indices = torch.randint(5, (3, 4), generator=generator(0, "indices"))
    tokens, cache, parts = torch.full((3, 1), 5), [], []
    for place in range(4):
        parts.append(network.next(tokens, place, cache))
        tokens = indices[:, place : place + 1]
    assert_close(torch.cat(parts, 1), network(indices), atol=1e-10, rtol=0)


def test_draws_with_a_cache_are_those_of_full_passes():
    model, num = model_of(), 70  # more than a block
    distribution = model.prior()
    found = distribution.draw_indices(generator(0, "draws"), num)
    stream = generator(0, "draws")
    uniform = torch.stack([torch.rand(3, generator=stream) for _ in range(num)])
    expected = torch.zeros(num, 3, dtype=torch.int64)
    for place in range(3):
        expected[:, place : place + 1] = drawn(model.prior.network(expected)[:, place], uniform[:, place])
    assert torch.equal(found, expected)
    assert torch.equal(found[:5], distribution.draw_indices(generator(0, "draws"), 5))


def test_the_shares_of_draws_are_their_probabilities():
    model, num = model_of(positions=2), 20_000
    indices = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    expected = model.prior.log_prob_of_indices(indices).exp()
    found = model.prior().draw_indices(generator(0, "draws"), num)
    shares = torch.bincount(found[:, 0] * 4 + found[:, 1], minlength=16) / num
    assert ((shares - expected).abs() <= 4.5 * (expected * (1 - expected) / num).sqrt()).all()


def test_a_low_temperature_draws_the_most_probable_index_each_time():
    model = model_of()
    z = model.prior.sample(generator(0, "draws"), 20, temperature=1e-4)
    assert len(z.unique(dim=0)) == 1
    with pytest.raises(ConfigError, match="above 0"):
        model.prior.sample(generator(0, "draws"), 1, temperature=0.0)


def test_the_log_probability_of_latents_is_that_of_their_indices():
    model = model_of()
    z = model.sample_prior(10, generator(0, "draws"))
    assert_close(model.prior.log_prob(z), model.prior.log_prob_of_indices(model.posterior.indices_of(z)))


def test_a_width_that_is_no_multiple_is_refused():
    with pytest.raises(ConfigError, match="set it to 64"):
        AutoregressivePrior(4, 7, 1, hidden=70)
