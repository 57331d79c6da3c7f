"""ConditionalNormalPrior: p(z|y), a diagonal normal whose mean and log-variance are linear in the context."""

from copy import copy

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.seeding import standard_normal
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.mixture_prior import MixtureOfNormalsPrior
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.posterior import LOG_VARIANCE_BOUND
from lowerbound.probability.prior import Inference, Prior


class ConditionalNormalPrior(Prior):
    """N(m(y), diag(s²(y))), with m and log s² linear in the features of the context: for labels, one normal each.

    It starts as the standard normal. The temperature scales its standard deviation.

    Source: Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative Models",
    2015, Equation 4, whose prior depends on what the model is conditioned on.
    """

    takes_context = True
    zeros: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.context: Tensor | None = None
        self.parameters_of: nn.Linear | None = None  # mean and log-variance, from the features of a context

    def bind(self, model: Inference) -> None:
        """Take the number of features from the model; ConfigError for one that is not conditional."""
        if not model.num_context_features:
            raise ConfigError(
                "prior 'conditional-normal' is p(z|y), and the model is given no y; set model.condition_on, or use "
                "prior 'standard-normal'."
            )
        if self.parameters_of is None:  # else it is learned, and the model a part of that which it was learned with
            self.parameters_of = nn.Linear(model.num_context_features, 2 * self.latent_dim)
            self.initialise(torch.Generator())

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Zeros: the standard normal for every context."""
        if self.parameters_of is not None:
            for parameter in self.parameters_of.parameters():
                parameter.zero_()

    def given(self, context: Float[Tensor, "batch feature"]) -> "ConditionalNormalPrior":
        conditioned = copy(self)
        conditioned.context = context
        return conditioned

    def forward(self) -> DiagonalNormal:
        if self.context is None or self.parameters_of is None:
            raise DataError(
                "the prior is p(z|y): it needs the labels or covariates of each example; use model.given(context)."
            )
        mean, log_variance = self.parameters_of(self.context).chunk(2, dim=-1)
        return DiagonalNormal(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))

    def family(self) -> DiagonalNormal:
        return DiagonalNormal(self.zeros, self.zeros)

    def standalone(self) -> Prior:
        """For a context of one row, the normal that it gives; else the prior itself."""
        if self.context is None or len(self.context) != 1:
            return self
        prior: Prior = MixtureOfNormalsPrior.of(MixtureOfNormals(self.zeros.new_zeros(1), self()))
        return prior.eval().requires_grad_(False)

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        """One draw for each example of the context, which is repeated if `num` is a multiple of its length."""
        prior = self()
        if num % len(prior.mean):
            raise DataError(f"the context has {len(prior.mean)} examples, not one for each of {num} draws.")
        repeats = num // len(prior.mean), 1
        # Draw by draw: the first ones are the same however many follow.
        noise = torch.cat([standard_normal(generator, 1, self.zeros) for _ in range(num)])
        return prior.mean.repeat(repeats) + temperature * prior.standard_deviation.repeat(repeats) * noise
