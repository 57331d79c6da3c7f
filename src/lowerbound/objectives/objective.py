"""The objective: what training maximises, and the true terms to report beside it.

    objective = bound(log p(x|z) - weight * rate),   in nats per example

The sign flips once, here: `Loss.value` is minimised, and everything else is a bound in nats, higher being better.
A paper is a row of `OBJECTIVES`: a choice of parts, not a class.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lowerbound.errors import ConfigError, UnknownName
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.rates import RATES, true_rate
from lowerbound.probability.samples import PosteriorSamples


@dataclass(frozen=True, eq=False)
class Loss:
    """One evaluation of the objective on a batch."""

    value: Float[Tensor, ""]  # to be minimised: minus the objective, mean over the batch
    objective: Float[Tensor, " batch"]  # nats
    distortion: Float[Tensor, " batch"]  # -E[log p(x|z)], nats
    rate: Float[Tensor, " batch"]  # KL(q || p), nats; zero by definition of rate 'none'

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The true ELBO, -(distortion + rate), whatever was charged; for rate 'none' minus the reconstruction error."""
        return -(self.distortion + self.rate)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Choices of bound and rate, by their names in the tables; also the `objective` section of a configuration."""

    bound: str = "elbo"
    rate: str = "analytic"
    rate_weight: float = 1.0  # β
    rate_warm_up: float = 0.0  # epochs over which the rate's weight rises linearly from 0
    num_samples: int = 1  # draws for each example

    def __post_init__(self) -> None:
        for kind, name, table in (("bound", self.bound, BOUNDS), ("rate", self.rate, RATES)):
            if name not in table:
                raise UnknownName(f"objective.{kind}", name, table)
        if not 0 <= self.rate_weight < math.inf:
            raise ConfigError(f"objective.rate_weight needs a finite number of at least 0, got {self.rate_weight:g}.")
        if not 0 <= self.rate_warm_up < math.inf:
            raise ConfigError(
                f"objective.rate_warm_up needs at least 0 epochs, a finite number, got {self.rate_warm_up:g}."
            )
        if self.num_samples < 1:
            raise ConfigError(f"objective.num_samples needs at least 1, got {self.num_samples}.")

    def __call__(self, samples: PosteriorSamples, rate_scale: float = 1.0) -> Loss:
        """The loss for given draws; `rate_scale` in [0, 1] is where the warm-up stands."""
        charged = RATES[self.rate](samples)
        objective = BOUNDS[self.bound](samples.log_likelihood - rate_scale * self.rate_weight * charged)
        rate = charged.mean(dim=0) if self.rate in ("analytic", "none") else true_rate(samples)
        return Loss(
            value=-objective.mean(),
            objective=objective.detach(),
            distortion=-samples.log_likelihood.detach().mean(dim=0),
            rate=rate.detach(),
        )

    def check_posterior(self, posterior: str) -> None:
        """Refuse a posterior that this objective cannot be formed with, with the reason."""
        if (posterior == "point-mass") != (self.rate == "none"):
            raise ConfigError(
                f"model.posterior {posterior!r} does not go with objective.rate {self.rate!r}: a point mass has no "
                "log q(z|x), so its rate is 'none'; any other posterior is charged ('analytic' or 'monte-carlo')."
            )


OBJECTIVES: dict[str, Objective] = {
    "vae": Objective(),
    "beta-vae": Objective(rate_weight=4.0),  # Higgins et al., "beta-VAE", 2017
    "autoencoder": Objective(rate="none"),
}
