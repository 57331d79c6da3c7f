"""pixel_bits: where the bits of images go, pixel by pixel, and how many are those of z."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64

from lowerbound.coding.bits_back import Heads, posterior_of
from lowerbound.coding.element_coding import ElementCoder, Levels
from lowerbound.coding.portable_tables import STEPS
from lowerbound.coding.rounded_networks import Exceptions, RoundedNetworks
from lowerbound.models.vae import VAE
from lowerbound.probability.kl import has_closed_form_kl, kl_divergence

NUM_DRAWS = 16  # of z, over which bits are averaged


@dataclass(frozen=True)
class PixelBits:
    """Images in [0, 1], the bits that each pixel takes on average over draws of z, and those of z."""

    images: Float32[np.ndarray, "n height width channel"]
    of_pixels: Float64[np.ndarray, "n height width"]
    of_latents: Float64[np.ndarray, " n"]


def has_pixels(event_shape: tuple[int, ...]) -> bool:
    """Whether examples are images of one or three channels."""
    return len(event_shape) == 3 and event_shape[0] in (1, 3)


def pixel_bits(networks: RoundedNetworks, elements: ElementCoder, levels: Levels) -> PixelBits:
    """Where the bits of images go. Those of z are the rate, KL(q(z|x) || p(z)): bits back are already subtracted."""
    model, numbers, x = networks.model, np.arange(len(levels)), elements.to_x(levels)
    raw = networks.encoded(x, numbers, Exceptions(), is_writing=True)
    mean, deviation = posterior_of(raw, model.latent_dim)
    draws = mean + deviation * np.random.default_rng(0).standard_normal((NUM_DRAWS, *mean.shape))
    bits = np.mean([_bits_given(networks, elements, levels, z) for z in draws], axis=0)
    rate = _rate(model, raw, draws) / np.log(2)
    images = np.moveaxis((x / x.max(initial=1)).reshape(-1, *model.event_shape), 1, -1).astype(np.float32)
    return PixelBits(images, bits.reshape(-1, *model.event_shape).sum(1), rate)


def _rate(model: VAE, raw: Heads, draws: Float64[np.ndarray, "draw image latent"]) -> Float64[np.ndarray, " image"]:
    """KL(q(z|x) || p(z)) in nats, in closed form where there is one, else over these draws."""
    posterior, prior = model.posterior(torch.from_numpy(raw / STEPS)), model.prior()
    if has_closed_form_kl(posterior, prior):
        rate = kl_divergence(posterior, prior)
    else:
        z = torch.from_numpy(draws)
        rate = (posterior.log_prob(z) - prior.log_prob(z)).mean(0)
    found: np.ndarray = rate.double().numpy()
    return found


def _bits_given(networks: RoundedNetworks, elements: ElementCoder, levels: Levels, z: np.ndarray) -> np.ndarray:
    raw = networks.decoded(z, np.arange(len(z)), Exceptions(), is_writing=True)
    return elements.bits(raw, levels)
