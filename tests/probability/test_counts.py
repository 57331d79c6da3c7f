"""Distributions of counts, against scipy."""

import math

import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from lowerbound.probability.counts import NegativeBinomial, Poisson

pytestmark = pytest.mark.usefixtures("float64")


def test_counts_have_the_probabilities_of_scipy():
    counts = torch.arange(50.0)
    p = Poisson(torch.tensor(math.log(3.7)), event_ndim=0)
    assert_close(p.log_prob(counts), torch.from_numpy(scipy.stats.poisson.logpmf(counts.numpy(), 3.7)))
    mean, r = 5.2, 0.8
    q = NegativeBinomial(torch.tensor(math.log(mean)), torch.tensor(math.log(r)), event_ndim=0)
    assert_close(q.log_prob(counts), torch.from_numpy(scipy.stats.nbinom.logpmf(counts.numpy(), r, r / (r + mean))))


def test_a_negative_binomial_of_a_great_shape_is_a_poisson():
    counts, log_mean = torch.arange(20.0, dtype=torch.float32), torch.tensor(math.log(4.0), dtype=torch.float32)
    q = NegativeBinomial(log_mean, torch.tensor(16.0, dtype=torch.float32), event_ndim=0)
    assert_close(q.log_prob(counts), Poisson(log_mean, event_ndim=0).log_prob(counts), rtol=0, atol=1e-4)
