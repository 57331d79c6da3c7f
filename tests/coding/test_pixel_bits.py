"""Where the bits go: those of pixels are −log2 p(x|z) over draws of z, and those of z the rate."""

import numpy as np
import torch

from coded_arrays import coded_run
from lowerbound.coding.coders import element_coder
from lowerbound.coding.pixel_bits import has_pixels, pixel_bits
from lowerbound.coding.rounded_networks import RoundedNetworks


def test_bits_of_pixels_and_of_z_are_distortion_and_rate(tmp_path):
    trained, values = coded_run(tmp_path / "run", "mixture of logistics")
    levels = np.moveaxis(values[:10], -1, 1).reshape(10, -1).astype(np.int64)
    found = pixel_bits(RoundedNetworks(trained.vae), element_coder(trained.vae.likelihood), levels)
    np.testing.assert_array_equal(np.rint(found.images * 255), values[:10])
    x = torch.from_numpy(np.moveaxis(values[:10], -1, 1) / 255)
    model = trained.vae.double()
    posterior = model.encode(x)
    z = posterior.mean + posterior.standard_deviation * torch.randn(400, 10, 3, generator=torch.manual_seed(0))
    likelihood = model.likelihood(model.decoder(z.flatten(0, 1)))
    distortion = -likelihood.log_prob(x.repeat(400, 1, 1, 1)).view(400, 10).mean(0)
    np.testing.assert_allclose(found.of_pixels.sum((1, 2)), distortion.detach() / np.log(2), rtol=0.05)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.standard_deviation), torch.distributions.Normal(0.0, 1.0)
    ).sum(1)
    np.testing.assert_allclose(found.of_latents, expected.detach() / np.log(2), atol=0.01)


def test_the_rate_of_a_mixture_prior_is_averaged_over_draws(tmp_path):
    trained, values = coded_run(tmp_path / "run", "bernoulli, mixture prior")
    with torch.no_grad():
        trained.vae.prior.means.add_(1.5)
    levels = (values[:10].reshape(10, -1) > 0).astype(np.int64)
    found = pixel_bits(RoundedNetworks(trained.vae), element_coder(trained.vae.likelihood), levels)
    model = trained.vae.double()
    posterior = model.encode(torch.from_numpy(levels.reshape(10, 1, 5, 4).astype(np.float64)))
    normal = torch.distributions.Normal(posterior.mean.detach(), posterior.standard_deviation.detach())
    torch.manual_seed(0)
    z = normal.sample((20_000,))
    prior = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=model.prior.logits.detach()),
        torch.distributions.Independent(
            torch.distributions.Normal(model.prior.means.detach(), (model.prior.log_variances.detach() / 2).exp()), 1
        ),
    )
    expected = (normal.log_prob(z).sum(-1) - prior.log_prob(z)).mean(0) / np.log(2)
    np.testing.assert_allclose(found.of_latents.mean(), expected.mean(), rtol=0.1)


def test_images_of_one_or_three_channels_have_pixels():
    assert has_pixels((1, 8, 8)) and has_pixels((3, 8, 8))
    assert not has_pixels((4, 8, 8)) and not has_pixels((64,)) and not has_pixels((5, 8))
