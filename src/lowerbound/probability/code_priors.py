"""Priors of discrete codes: UniformCodesPrior, and CodesPrior, the base of priors over the indices of codes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.probability.code_posteriors import CODE_DIM, NUM_CODEBOOKS, NUM_CODES, CodesPosterior
from lowerbound.probability.codes import CodeDistribution, UniformCodes
from lowerbound.probability.prior import Inference, Prior
from lowerbound.probability.spaces import CodeVectors, Space

SIZES = {"num_codes": NUM_CODES, "code_dim": CODE_DIM, "num_codebooks": NUM_CODEBOOKS}
"""Options that a prior of codes shares with the posterior; a model with prior "auto" has them from there."""


NumCodes = Annotated[int, "Values of each index, as in the posterior."]
CodeDim = Annotated[int, "Length of a code vector, as in the posterior."]
NumCodebooks = Annotated[int, "Codebooks of posterior 'residual-vq'."]


class CodesPrior(Prior):
    """Base of priors over indices; the map from indices to latents is that of the model's posterior."""

    space: CodeVectors = CodeVectors(512, 64)  # that of the default options
    accepted_options: ClassVar[dict[str, Range]] = dict(SIZES)

    def __init__(
        self, latent_dim: int, num_codes: NumCodes = 512, code_dim: CodeDim = 64, num_codebooks: NumCodebooks = 1
    ) -> None:
        for name, value in (("num_codes", num_codes), ("code_dim", code_dim), ("num_codebooks", num_codebooks)):
            check_number(name, value, SIZES[name])
        self.space = CodeVectors(num_codes, code_dim, num_codebooks)
        super().__init__(latent_dim)
        self.__dict__["_codebook"] = None

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        default = cls.space
        return CodeVectors(
            options.get("num_codes", default.num_codes),
            options.get("code_dim", default.code_dim),
            options.get("num_codebooks", default.num_codebooks),
        )

    @property
    def num_indices(self) -> int:
        """Indices of a code."""
        return self.latent_dim // self.space.code_dim * self.space.num_codebooks

    def bind(self, model: Inference) -> None:
        """Receive the model, whose posterior has the codebook; ConfigError for a posterior without one."""
        if not isinstance(model.posterior, CodesPosterior):
            raise ConfigError(
                "a prior over codes needs the codebook of its model's posterior; use posterior 'vq', 'residual-vq' or "
                "'fsq'."
            )
        # Not as a submodule: it is the model's.
        self.__dict__["_codebook"] = model.posterior

    @property
    def codebook(self) -> CodesPosterior:
        """The posterior of the model that the prior belongs to; ConfigError if it has none yet."""
        codebook: CodesPosterior | None = self.__dict__["_codebook"]
        if codebook is None:
            raise ConfigError("a prior over codes uses the codebook of its model: pass it to VAE(prior=...) first.")
        return codebook


class UniformCodesPrior(CodesPrior):
    """Every code with the same probability: the rate of n indices of K values is n log K nats. No temperature."""

    def forward(self) -> UniformCodes:
        return UniformCodes(self.codebook)

    def family(self) -> CodeDistribution:
        return UniformCodes(self.__dict__["_codebook"])
