"""What all flows share: quasi-random moments, and transforms that leave torch's global generator alone."""

import pytest
import torch
from torch.testing import assert_close

from densities import shifted_weights
from lowerbound.foundation.seeding import generator
from lowerbound.probability.flow_prior import FlowPrior
from lowerbound.probability.flows import mirrored_noise
from lowerbound.probability.iaf_posterior import InverseAutoregressivePosterior

pytestmark = pytest.mark.usefixtures("float64")

FLOWS = {"posterior": InverseAutoregressivePosterior, "prior": FlowPrior}
every_flow = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


@pytest.mark.parametrize("latent_dim", [1, 2, 40])
def test_fixed_noise_has_mean_zero_and_variance_one(latent_dim):
    noise = mirrored_noise(64, latent_dim)
    assert_close(noise.mean(0), torch.zeros(latent_dim))
    assert_close(noise.square().mean(0), torch.ones(latent_dim))
    assert torch.equal(noise, mirrored_noise(64, latent_dim))


@every_flow
def test_weights_are_drawn_from_the_given_stream_and_no_other(flow):
    state = torch.get_rng_state()
    first, second = flow(3, hidden=8), flow(3, hidden=8)
    assert torch.equal(torch.get_rng_state(), state)
    second.initialise(generator(1, "other"))
    pairs = list(zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)
    second.initialise(generator(0, "weights"))
    first.initialise(generator(0, "weights"))
    assert all(torch.equal(a, b) for a, b in pairs)


@every_flow
def test_half_precision_around_a_flow_does_not_enter_it(flow):
    part = shifted_weights(flow(3, hidden=8), 0.2).float()
    raw = [] if flow is FlowPrior else [torch.randn(4, *part.raw_shape, generator=generator(0, "r")).float()]
    exact = part(*raw).draw(generator(0, "draws"), 2)
    with torch.autocast("cpu", torch.bfloat16):
        within = part(*raw).draw(generator(0, "draws"), 2)
        assert torch.equal(within.value, exact.value)
        assert_close(part(*raw).log_prob(within.value), exact.log_density, rtol=0, atol=1e-4)
