"""New examples: codes from the prior, decoded to what is expected of them or drawn from p(x|z).

The first examples of a seed are the same, to the bit, however many follow. Codes and the likelihood's noise have a
stream each, and whole blocks are decoded and drawn whatever part of the last one is asked for: the number of rows in a
batch changes the last bits of sums, and how much noise a draw takes.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.evaluation.elements import best_guess
from lowerbound.model import VAE
from lowerbound.seeding import generator

BLOCK = 16  # examples
LARGEST_BLOCK = 2**22  # numbers of a decoder's output


@torch.no_grad()
def codes_from_prior(model: VAE, num: int, seed: int, temperature: float = 1.0) -> Float[Tensor, "n latent"]:
    """Draws z from the prior, its standard deviation scaled by `temperature`."""
    return model.sample_prior(num, generator(seed, "samples", _device(model)), temperature)


@torch.no_grad()
def expected_examples(model: VAE, num: int, seed: int, temperature: float = 1.0) -> Float[Tensor, "n *event"]:
    """The best guess of each element for codes from the prior."""
    blocks = _blocks_of_codes(model, num, seed, temperature)
    return torch.cat([best_guess(model, model.decode(z)) for z in blocks])[:num]


@torch.no_grad()
def drawn_examples(model: VAE, num: int, seed: int, temperature: float = 1.0) -> Float[Tensor, "n *event"]:
    """Draws from p(x|z) for the same codes."""
    stream = generator(seed, "samples/likelihood", _device(model))
    blocks = _blocks_of_codes(model, num, seed, temperature)
    return torch.cat([model.decode(z).sample(stream, 1)[0] for z in blocks])[:num]


def _blocks_of_codes(model: VAE, num: int, seed: int, temperature: float) -> Iterator[Float[Tensor, "block latent"]]:
    size = max(1, min(BLOCK, LARGEST_BLOCK // math.prod(model.likelihood.raw_shape)))
    yield from codes_from_prior(model, math.ceil(num / size) * size, seed, temperature).split(size)


def _device(model: VAE) -> torch.device:
    return next(model.parameters()).device
