"""Distributions over codes: a chosen code has probability 1, uniform ones n log K nats, and the rate is -log p(c)."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.code_posteriors import FiniteScalarPosterior
from lowerbound.probability.codes import ChosenCodes, UniformCodes, rate_of_codes
from lowerbound.probability.kl import kl_divergence

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def codebook():
    return FiniteScalarPosterior(4, levels="3,4")


def test_the_chosen_code_has_probability_one_and_another_none(codebook):
    q = codebook(torch.randn(5, 4, generator=generator(0, "raw")))
    assert_close(q.log_prob(q.value), torch.zeros(5))
    assert (q.log_prob(-q.value - 1) == -math.inf).all()
    assert torch.equal(q.sample(generator(0, "draws"), 3), q.value.expand(3, 5, 4))
    assert_close(q.variance, torch.zeros(5, 4))


def test_uniform_codes_add_up_to_one_and_what_is_no_code_has_no_probability(codebook):
    indices = torch.cartesian_prod(torch.arange(12), torch.arange(12))
    prior = UniformCodes(codebook)
    assert_close(prior.log_prob(codebook.vectors_of(indices)).logsumexp(0), torch.tensor(0.0), atol=1e-12, rtol=0)
    assert prior.log_prob(torch.full((4,), 0.3)) == -math.inf


def test_moments_of_uniform_codes_are_those_of_all_of_them(codebook):
    z = codebook.vectors_of(torch.cartesian_prod(torch.arange(12), torch.arange(12)))
    prior = UniformCodes(codebook)
    assert_close(prior.mean, z.mean(0))
    assert_close(prior.variance, z.var(0, correction=0))


def test_the_rate_of_a_code_is_minus_its_log_probability(codebook):
    q, prior = codebook(torch.randn(5, 4, generator=generator(0, "raw"))), UniformCodes(codebook)
    assert_close(rate_of_codes(q, prior), torch.full((5,), 2 * math.log(12)))
    assert_close(kl_divergence(q, prior), q.log_prob(q.value) - prior.log_prob(q.value))


def test_the_charge_of_training_is_the_commitment():
    charge = torch.ones(2)
    assert ChosenCodes(torch.zeros(2, 4), torch.zeros(2, 2, dtype=torch.int64), charge).training_charge is charge
