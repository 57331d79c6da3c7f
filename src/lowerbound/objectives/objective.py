"""Objective and Loss: bound, gradient, rate and penalties combined; refused combinations; named objectives.

    objective = bound(log p(x|z) - weight * rate) - sum of weight * penalty,   in nats per example

The sign changes only here: `Loss.value` is minimised, and everything else is a bound in nats, where higher is better.
The objective of a paper is an entry in `OBJECTIVES`, a choice of parts. The true ELBO, rate and distortion are always
reported.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.gradients import GRADIENTS
from lowerbound.objectives.penalties import PENALTIES, PenaltyContext
from lowerbound.objectives.rates import RATES, true_rate
from lowerbound.probability.samples import PosteriorSamples

TERMS = ("objective", "elbo", "rate", "distortion")
"""Names of the terms that every objective has; those of its penalties follow."""


@dataclass(frozen=True, eq=False)
class Loss:
    """One evaluation of the objective on a batch."""

    value: Float[Tensor, ""]  # minimised: minus the surrogate, mean over the batch; only its gradient has a meaning
    objective: Float[Tensor, " batch"]  # nats
    distortion: Float[Tensor, " batch"]  # -E[log p(x|z)], nats
    rate: Float[Tensor, " batch"]  # KL(q || p), nats; zero for rate 'none'
    penalties: dict[str, Float[Tensor, ""]] = field(default_factory=dict)  # of the batch, unweighted

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The true ELBO, -(distortion + rate), unweighted; for rate 'none' minus the reconstruction error."""
        return -(self.distortion + self.rate)

    def terms(self) -> dict[str, Float[Tensor, " batch"]]:
        """All named terms of each example, in the order of `Objective.term_names`."""
        per_example = {name: getattr(self, name) for name in TERMS}
        return per_example | {name: value.expand_as(self.objective) for name, value in self.penalties.items()}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Choices of bound, rate and penalties by name; also the `objective` section of a configuration."""

    bound: str = "elbo"
    gradient: str = "reparameterized"
    rate: str = "auto"  # closed form if posterior and prior have one, else Monte Carlo
    rate_weight: float = 1.0  # β
    rate_warm_up: float = 0.0  # epochs in which the rate's weight rises linearly from 0
    num_samples: int = 1  # draws for each example
    penalties: dict[str, float] = field(default_factory=dict)  # weight by name

    def __post_init__(self) -> None:
        for key, table in (("bound", BOUNDS), ("gradient", GRADIENTS), ("rate", RATES)):
            if getattr(self, key) not in table:
                raise UnknownName(f"objective.{key}", getattr(self, key), table)
        if not 0 <= self.rate_weight < math.inf:
            raise ConfigError(f"objective.rate_weight needs a finite number of at least 0, got {self.rate_weight:g}.")
        if not 0 <= self.rate_warm_up < math.inf:
            raise ConfigError(
                f"objective.rate_warm_up needs at least 0 epochs, a finite number, got {self.rate_warm_up:g}."
            )
        if self.num_samples < 1:
            raise ConfigError(f"objective.num_samples needs at least 1, got {self.num_samples}.")
        _check_penalties(self.penalties)
        _refuse_wrong_combinations(self)

    @property
    def through_draws(self) -> bool:
        """Whether the gradient passes through the draws."""
        return GRADIENTS[self.gradient].through_draws

    @property
    def _needs_draws(self) -> bool:
        """Whether log q(z|x) of each draw is needed, as for importance weights and some gradients."""
        return self.bound == "iwae" or self.gradient in ("stl", "dreg")

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms that training logs, with those of penalties last."""
        return (*TERMS, *self.penalties)

    def __call__(
        self,
        samples: PosteriorSamples,
        rate_scale: float | Float[Tensor, ""] = 1.0,
        context: PenaltyContext | None = None,
    ) -> Loss:
        """The loss for given draws; `rate_scale` in [0, 1] is the warm-up's factor; penalties need a `context`."""

        charge = RATES["monte-carlo" if self.rate == "auto" and self._needs_draws else self.rate]

        def log_weight(draws: PosteriorSamples) -> Tensor:
            return draws.log_likelihood - rate_scale * self.rate_weight * charge(draws)

        bound = BOUNDS[self.bound]
        surrogate = GRADIENTS[self.gradient].surrogate(samples, bound, log_weight)
        penalties = self._penalties(samples, context)
        charged = sum(weight * penalties[name] for name, weight in self.penalties.items())
        with torch.no_grad():
            objective = surrogate if self.gradient == "reparameterized" else bound(log_weight(samples))
            rate = torch.zeros_like(objective) if self.rate == "none" else true_rate(samples)
        return Loss(
            value=charged - surrogate.mean(),
            objective=(objective - charged).detach(),
            distortion=-samples.log_likelihood.detach().mean(dim=0),
            rate=rate,
            penalties={name: value.detach() for name, value in penalties.items()},
        )

    def _penalties(self, samples: PosteriorSamples, context: PenaltyContext | None) -> dict[str, Tensor]:
        if self.penalties and context is None:
            raise ConfigError("an objective with penalties needs a PenaltyContext (training passes one).")
        values = {name: PENALTIES[name](samples, context) for name in self.penalties if context is not None}
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                came = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
                raise ConfigError(f"penalty {name!r} must return a tensor with one number, got {came}.")
        return {name: value.reshape(()) for name, value in values.items()}

    def resolved(self, posterior: str, has_closed_form: bool) -> "Objective":
        """The objective with rate 'auto' replaced, depending on whether the model's KL has a closed form.

        For a point mass it is 'none'. ConfigError for an explicit 'analytic' without a closed form.
        """
        if self.rate == "analytic" and not has_closed_form:
            raise ConfigError(
                f"objective.rate 'analytic' needs a closed-form KL, which posterior {posterior!r} and the model's "
                "prior do not have; use 'monte-carlo' or 'auto'."
            )
        if self.rate != "auto":
            return self
        if posterior == "point-mass":
            return replace(self, rate="none")
        return replace(self, rate="analytic" if has_closed_form and not self._needs_draws else "monte-carlo")

    def check_posterior(self, posterior: str) -> None:
        """Refuse a posterior that does not fit the rate, with the reason."""
        if self.rate != "auto" and (posterior == "point-mass") != (self.rate == "none"):
            if posterior == "point-mass":
                reason = "a point mass has no log q(z|x); set objective.preset=autoencoder, or objective.rate=none"
            else:
                reason = (
                    "without a rate the model is a plain autoencoder; set model.posterior=point-mass, or another rate"
                )
            raise ConfigError(f"model.posterior {posterior!r} does not fit objective.rate {self.rate!r}: {reason}.")


def _check_penalties(penalties: dict[str, float]) -> None:
    for name, weight in penalties.items():
        if name not in PENALTIES:
            raise UnknownName("objective.penalties", name, PENALTIES)
        if not 0 <= weight < math.inf:
            raise ConfigError(f"objective.penalties.{name} needs a finite weight of at least 0, got {weight:g}.")


def _refuse_wrong_combinations(objective: Objective) -> None:
    """Refuse combinations that would be silently wrong, with the reason."""
    bound, gradient, rate = objective.bound, objective.gradient, objective.rate
    if bound == "iwae" and rate == "analytic":
        raise ConfigError(
            "bound 'iwae' with rate 'analytic' is not a lower bound: the closed-form KL is the same for every draw, "
            "and weights without their own log q can exceed log p(x); use rate 'monte-carlo'."
        )
    if bound == "iwae" and rate == "none":
        raise ConfigError("bound 'iwae' needs log q(z|x) in its weights; use rate 'monte-carlo', not 'none'.")
    if gradient in ("stl", "dreg") and rate not in ("monte-carlo", "auto"):
        raise ConfigError(f"gradient {gradient!r} changes how log q(z|x) of each draw is differentiated, which rate "
                          f"{rate!r} does not contain; use rate 'monte-carlo'.")  # fmt: skip
    if gradient == "stl" and bound == "iwae":
        raise ConfigError("gradient 'stl' is biased for bound 'iwae'; use gradient 'dreg'.")
    if gradient == "dreg" and bound != "iwae":
        raise ConfigError(f"gradient 'dreg' needs bound 'iwae', got {bound!r}; for the ELBO use gradient 'stl'.")
    if gradient == "dreg" and (objective.rate_weight != 1 or objective.rate_warm_up):
        raise ConfigError("gradient 'dreg' is biased unless the rate's weight is 1 throughout; use 'reparameterized'.")
    if gradient == "score-function" and rate == "none":
        raise ConfigError("gradient 'score-function' needs a posterior with a density; use another rate than 'none'.")


OBJECTIVES: dict[str, Objective] = {
    "vae": Objective(),
    "beta-vae": Objective(rate_weight=4.0),  # Higgins et al., "beta-VAE", 2017
    "autoencoder": Objective(rate="none"),
    "iwae": Objective(bound="iwae", rate="monte-carlo", num_samples=50),  # Burda et al., arXiv:1509.00519
    "sticking-the-landing": Objective(gradient="stl", rate="monte-carlo"),  # Roeder et al., arXiv:1703.09194
    "dreg": Objective(bound="iwae", gradient="dreg", rate="monte-carlo", num_samples=50),  # Tucker et al., 1810.04152
    "score-function": Objective(gradient="score-function", rate="monte-carlo", num_samples=8),  # Mnih, 1402.0030
}
