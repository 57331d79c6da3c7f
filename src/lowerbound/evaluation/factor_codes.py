"""FactorCodes: codes of examples with the levels of their factors, the input of disentanglement metrics."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, Integer

from lowerbound.data.sources import Examples
from lowerbound.evaluation.latent_statistics import encode_examples
from lowerbound.models.vae import VAE


@dataclass(frozen=True, eq=False)
class FactorCodes:
    """Representations with the level of every factor, from 0."""

    centre: Float64[np.ndarray, "n latent"]
    levels: Int64[np.ndarray, "n factor"]

    def __len__(self) -> int:
        return len(self.centre)

    def subset(self, chosen: Integer[np.ndarray, " index"]) -> "FactorCodes":
        """The examples at these positions."""
        return FactorCodes(self.centre[chosen], self.levels[chosen])

    def of_factors(self, is_kept: Bool[np.ndarray, " factor"]) -> "FactorCodes":
        """The same with some of the factors."""
        return replace(self, levels=self.levels[:, is_kept])

    @property
    def num_levels(self) -> list[int]:
        """One more than the highest level of each factor."""
        return [int(number) for number in self.levels.max(0) + 1]


@torch.no_grad()
def factor_codes(model: VAE, examples: Examples, device: torch.device | str = "cpu") -> FactorCodes:
    """The centre of every posterior, its mean for normals, with the factors of the examples."""
    assert examples.factors is not None
    centre = encode_examples(model, examples, device).centre
    return FactorCodes(centre.double().cpu().numpy(), examples.factors.codes)
