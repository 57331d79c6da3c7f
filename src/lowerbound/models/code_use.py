"""CodeUse: how many of the codes of a model's codebooks are used, and how evenly, from counts over examples."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from lowerbound.models.vae import VAE
from lowerbound.probability.code_posteriors import CodesPosterior
from lowerbound.probability.codes import ChosenCodes
from lowerbound.probability.distributions import Distribution


def codes_of(model: VAE) -> CodesPosterior | None:
    """The posterior of a model of discrete codes; None for any other model."""
    return model.posterior if isinstance(model.posterior, CodesPosterior) else None


def no_uses(posterior: CodesPosterior, device: torch.device | str = "cpu") -> Float64[Tensor, "book code"]:
    """Counts of no examples."""
    return torch.zeros(posterior.space.num_codebooks, posterior.num_codes, dtype=torch.float64, device=device)


def count_uses(uses: Float64[Tensor, "book code"], posterior: Distribution) -> None:
    """Add the uses of every code by the posteriors of some examples, over all positions."""
    assert isinstance(posterior, ChosenCodes)
    by_book = posterior.indices.flatten().unflatten(0, (-1, len(uses)))
    for counts, indices in zip(uses, by_book.T, strict=True):
        counts += torch.bincount(indices, minlength=len(counts))


@dataclass(frozen=True)
class CodeUse:
    """Use of the codes of all codebooks."""

    share: float  # of the codes, used at least once
    perplexity: float  # exp of the entropy of the frequencies, in codes: geometric mean over codebooks

    @classmethod
    def of(cls, uses: Float64[Tensor, "book code"]) -> "CodeUse":
        """That of counts."""
        frequency = uses / uses.sum(-1, keepdim=True).clamp(min=1)
        entropy = -torch.xlogy(frequency, frequency).sum(-1)
        return cls(float((uses > 0).double().mean()), math.exp(float(entropy.mean())))
