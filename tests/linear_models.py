"""A VAE without hidden layers whose evidence and posterior are closed forms: what many tests hold the code against."""

import math

import torch

from lowerbound.data.synthetic import LinearGaussian
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE, ModelConfig, build_model


def exact_model(
    data: LinearGaussian, log_widening: float = 0.0, event_shape: tuple[int, int, int] | None = None
) -> VAE:
    """A model that decodes as `data` do and encodes the exact posterior, its log-variances raised by `log_widening`."""
    dimension, latent_dim = data.weight.shape
    config = ModelConfig(
        hidden=(), latent_dim=latent_dim, likelihood="gaussian", likelihood_options={"sigma": data.sigma}
    )
    model = build_model(config, event_shape or (1, 1, dimension), generator(0, "weights")).double()
    covariance = data.posterior_covariance()
    to_mean = covariance @ data.weight.T / data.sigma**2
    log_variance = covariance.diagonal().log() + log_widening
    with torch.no_grad():
        model.likelihood.log_sigma.fill_(math.log(data.sigma))
        model.decoder.output.weight.copy_(data.weight)
        model.decoder.output.bias.copy_(data.bias)
        model.encoder.heads.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
        model.encoder.heads.bias.copy_(torch.cat([-to_mean @ data.bias, log_variance]))
    return model
