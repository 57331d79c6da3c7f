"""The base of all posteriors: what a posterior of one's own need not define."""

import torch

from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.posterior import Posterior


class UnitNormal(Posterior):
    @property
    def raw_shape(self):
        return (self.latent_dim,)

    def forward(self, raw):
        return DiagonalNormal(raw, torch.zeros_like(raw))


def test_a_posterior_of_ones_own_has_one_head_and_no_weights():
    posterior, stream = UnitNormal(3), generator(0, "weights")
    before = stream.get_state()
    posterior.initialise(stream)
    assert posterior.head_sizes == (3,)
    assert torch.equal(stream.get_state(), before)
