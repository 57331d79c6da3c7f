"""Objective and Loss: bound, gradient, rate and penalties combined.

    objective = bound(log p(x|z) - weight * rate) - sum of weight * penalty,   in nats per example

A posterior may add its own charge, such as the commitment of vector quantisation.

The sign changes only here: `Loss.value` is minimised, and everything else is a bound in nats, where higher is better.
The objective of a paper is a choice of parts, an entry in `presets`. The true ELBO, rate and distortion are always
reported.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.keywords import meaning
from lowerbound.foundation.progress import MeanTerms
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.settings import check_fields, setting
from lowerbound.models.families import Families
from lowerbound.objectives.bounds import BOUNDS, ENCODER_BOUNDS, Bound
from lowerbound.objectives.combinations import refuse_unfit_families, refuse_wrong_combinations
from lowerbound.objectives.gradients import GRADIENTS
from lowerbound.objectives.options import Option, check_options, option
from lowerbound.objectives.penalties import PENALTIES, PenaltyContext
from lowerbound.objectives.rates import OF_BATCH, RATES, Scale, rates_by_level, true_rate
from lowerbound.objectives.state import ObjectiveState, StatePart
from lowerbound.objectives.two_bounds import two_bounds
from lowerbound.probability.samples import PosteriorSamples

TERMS = ("objective", "elbo", "rate", "distortion")
"""Names of the terms that every objective has; those of its penalties follow."""

CLASSIFICATION = "classification"
"""The name of a classifier's cross-entropy on labelled examples, in nats."""

STANDARD_CLASSIFICATION_WEIGHT = 10.0
"""The weight of that for a model with a classifier, unless one is set."""

GECO_VIOLATION = 100.0
"""What a nat of distortion above the allowed one costs, in nats of rate, when the best epoch is chosen."""


@dataclass(frozen=True, eq=False)
class Loss:
    """One evaluation of the objective on a batch."""

    value: Float[Tensor, ""]  # minimised: minus the surrogate, mean over the batch; only its gradient has a meaning
    objective: Float[Tensor, " batch"]  # nats
    distortion: Float[Tensor, " batch"]  # -E[log p(x|z)], nats
    rate: Float[Tensor, " batch"]  # KL(q || p), nats; zero for rate 'none'
    penalties: dict[str, Float[Tensor, ""]] = field(default_factory=dict)  # of the batch, unweighted
    levels: tuple[Float[Tensor, " batch"], ...] = ()  # rate of each level, nats; empty without levels

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The true ELBO, -(distortion + rate), unweighted; for rate 'none' minus the reconstruction error."""
        return -(self.distortion + self.rate)

    def terms(self) -> dict[str, Float[Tensor, " batch"]]:
        """All named terms of each example, in the order of `Objective.term_names`; last the rates of the levels."""
        per_example = {name: getattr(self, name) for name in TERMS}
        per_example |= {name: value.expand_as(self.objective) for name, value in self.penalties.items()}
        return per_example | {f"level {number}": rate for number, rate in enumerate(self.levels, 1)}


@named_arguments
@dataclass(frozen=True, kw_only=True)
class Objective:
    """Choices of bound, rate and penalties by name; also the `objective` section of a configuration.

    Examples:
        >>> objective = lb.Objective(bound="iwae", num_samples=5, gradient="dreg")
        >>> lb.Objective(gradient="dreg")
        Traceback (most recent call last):
        lowerbound.foundation.errors.ConfigError: gradient 'dreg' ...
    """

    bound: str = setting("elbo", "Lower bound on log p(x), by name.", names=BOUNDS)
    bound_options: dict[str, Option] = setting(default_factory=dict, meaning="Options of the bound.")
    gradient: str = setting("reparameterized", "Estimator of the bound's gradient, by name.", names=GRADIENTS)
    rate: str = setting("auto", "Rate, what the objective charges for the latents in nats, by name.", names=RATES)
    rate_options: dict[str, Option] = setting(default_factory=dict, meaning="Options of the rate.")
    rate_weight: float = setting(1.0, meaning("beta"), at_least=0)
    rate_warm_up: float = setting(
        0.0, "Epochs in which the rate's weight, or its capacity, rises linearly from 0.", at_least=0
    )
    rate_cycles: int = setting(1, "Equal parts of the training, each of which starts with the warm-up.", at_least=1)
    num_samples: int = setting(1, "Draws from the posterior of each training example.", at_least=1)
    classification_weight: float = setting(
        0.0,
        "Weight of a classifier's cross-entropy on labelled examples, in nats of the bound; 0 is the standard weight.",
        at_least=0,
    )
    penalties: dict[str, float] = setting(default_factory=dict, meaning="Weights by penalty.", names=PENALTIES)
    penalty_options: dict[str, dict[str, Option]] = setting(
        default_factory=dict, meaning="Options of each penalty, by its name."
    )

    def __post_init__(self) -> None:
        check_fields(self, "objective")
        for key, table in (("bound", BOUNDS), ("rate", RATES)):
            name = getattr(self, key)
            row: Any = table[name]
            check_options(f"objective.{key}_options", row, name, getattr(self, f"{key}_options"))
        _check_penalties(self.penalties, self.penalty_options)
        refuse_wrong_combinations(self)

    @property
    def through_draws(self) -> bool:
        """Whether the gradient passes through the draws."""
        return GRADIENTS[self.gradient].through_draws

    @property
    def _needs_draws(self) -> bool:
        """Whether log q(z|x) of each draw is needed, as for importance weights and some gradients."""
        return self.bound != "elbo" or self.gradient in ("stl", "dreg")

    @property
    def is_of_batch(self) -> bool:
        """Whether the objective compares the examples of a batch with each other, or averages over them."""
        return bool(self.penalties) or self.rate in OF_BATCH

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Names of the numbers that are logged beside TERMS: penalties, the multiplier of rate 'geco', and a
        classifier's cross-entropy.
        """
        multiplier = [self.rate] if self.rate in self._stateful else []
        return (*self.penalties, *multiplier, *([CLASSIFICATION] if self.classification_weight else []))

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of everything that training logs, except the rates of a model's levels."""
        return (*TERMS, *self.extra_names)

    def new_state(self, latent_dim: int, seed: int, device: torch.device | str = "cpu") -> ObjectiveState:
        """The state of the rates and penalties that have one, before the first step."""
        parts = {
            name: row(latent_dim, generator(seed, f"objective/{name}"), **options)
            for name, (row, options) in self._stateful.items()
        }
        return ObjectiveState(parts).to(device)

    @cached_property
    def _stateful(self) -> dict[str, tuple[type[StatePart], Mapping[str, Option]]]:
        """Rows that are classes, by name, with their options."""
        rows: dict[str, tuple[Any, Mapping[str, Option]]] = {
            self.rate: (RATES[self.rate], self.rate_options),
            **{name: (PENALTIES[name], self.penalty_options.get(name, {})) for name in self.penalties},
        }
        return {name: row for name, row in rows.items() if isinstance(row[0], type)}

    def __call__(
        self, samples: PosteriorSamples, rate_scale: Scale = 1.0, context: PenaltyContext | None = None
    ) -> Loss:
        """The loss for given draws; `rate_scale` in [0, 1] is the warm-up's factor.

        Penalties, and rates with a state, need a `context` (ConfigError without one).
        """
        charge = self._charge(context)

        def log_weight(draws: PosteriorSamples) -> Tensor:
            return draws.log_likelihood - self.rate_weight * charge(draws, rate_scale)

        bound: Bound = partial(BOUNDS[self.bound], **self.bound_options)
        if self.bound in ENCODER_BOUNDS:
            surrogate = two_bounds(samples, bound, partial(ENCODER_BOUNDS[self.bound], **self.bound_options))
        else:
            surrogate = GRADIENTS[self.gradient].surrogate(samples, bound, log_weight)
        penalties = self._penalties(samples, context)
        charged = sum(weight * penalties[name] for name, weight in self.penalties.items()) + _posterior_charge(samples)
        with torch.no_grad():
            is_value = self.gradient == "reparameterized" and self.bound not in ENCODER_BOUNDS
            objective = surrogate if is_value else bound(log_weight(samples))
            rate = torch.zeros_like(objective) if self.rate == "none" else true_rate(samples)
            levels = rates_by_level(samples)
        return Loss(
            value=charged - surrogate.mean(),
            objective=(objective - charged).detach(),
            distortion=-samples.log_likelihood.detach().mean(dim=0),
            rate=rate,
            penalties={name: value.detach() for name, value in (penalties | self._logged(context)).items()},
            levels=levels,
        )

    def watched(self, validation: MeanTerms) -> float:
        """What the best epoch is chosen by, in nats, higher is better: the mean objective on the validation split.

        With rate 'geco', whose multiplier differs between epochs, it is minus the rate, and minus GECO_VIOLATION times
        the distortion above the allowed one.
        """
        if self.allowed_distortion is None:
            return validation.objective
        return -validation.rate - GECO_VIOLATION * max(0.0, validation.distortion - self.allowed_distortion)

    @property
    def allowed_distortion(self) -> float | None:
        """Nats of distortion that rate 'geco' allows; None for all other rates."""
        return float(option(RATES["geco"], self.rate_options, "distortion")) if self.rate == "geco" else None

    def _charge(self, context: PenaltyContext | None) -> Callable[[PosteriorSamples, Scale], Tensor]:
        name = "monte-carlo" if self.rate == "auto" and self._needs_draws else self.rate
        if name in self._stateful:
            return self._part(name, context)
        rate: Callable[[PosteriorSamples, Scale], Tensor] = partial(RATES[name], **self.rate_options)  # type: ignore[assignment]
        return rate

    def _part(self, name: str, context: PenaltyContext | None) -> Any:
        if context is None or context.state is None:
            raise ConfigError(
                f"an objective with {name!r} needs a PenaltyContext with a state, from Objective.new_state (training "
                "passes one)."
            )
        return context.state.parts[name]

    def _logged(self, context: PenaltyContext | None) -> dict[str, Tensor]:
        if context is None or context.state is None:
            return {}
        numbers = {name: part.logged for name, part in context.state.parts.items()}
        return {name: number for name, number in numbers.items() if number is not None}

    def _penalties(self, samples: PosteriorSamples, context: PenaltyContext | None) -> dict[str, Tensor]:
        if self.penalties and context is None:
            raise ConfigError("an objective with penalties needs a PenaltyContext (training passes one).")
        stateful, values = self._stateful, {}
        for name in self.penalties:
            options = self.penalty_options.get(name, {})
            row: Any = self._part(name, context) if name in stateful else partial(PENALTIES[name], **options)
            values[name] = row(samples, context)
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                came = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
                raise ConfigError(f"penalty {name!r} must return a tensor with one number, got {came}.")
        return {name: value.reshape(()) for name, value in values.items()}

    def fitted_to(self, families: Families) -> "Objective":
        """The objective for a posterior and prior, with rate 'auto' replaced; ConfigError if it does not fit them."""
        self.check_posterior(families.posterior_name)
        refuse_unfit_families(self, families)
        found = self.resolved(families.posterior_name, families.has_closed_form_kl)
        if families.has_classifier and not self.classification_weight:
            return replace(found, classification_weight=STANDARD_CLASSIFICATION_WEIGHT)
        return found

    def bound_of_rows(self, samples: PosteriorSamples, rate_scale: Scale = 1.0) -> Float[Tensor, " row"]:
        """The bound of each row of a batch with its gradient, in nats, for objectives without penalties."""
        charge = self._charge(None)
        log_weight = samples.log_likelihood - self.rate_weight * charge(samples, rate_scale)
        return BOUNDS[self.bound](log_weight, **self.bound_options)

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
                    "without a rate, as in presets autoencoder, wae-mmd and rae-l2, the model is a plain autoencoder; "
                    "set model.posterior=point-mass, or another rate"
                )
            raise ConfigError(f"model.posterior {posterior!r} does not fit objective.rate {self.rate!r}: {reason}.")


def _posterior_charge(samples: PosteriorSamples) -> Tensor | float:
    """What training charges for posteriors beside their rate, in nats; mean over the batch."""
    charges = [group.posterior.training_charge for group in samples.groups]
    return sum(charge.mean() for charge in charges if charge is not None)


def _check_penalties(penalties: dict[str, float], options: dict[str, dict[str, Option]]) -> None:
    for name, weight in penalties.items():
        if not 0 <= weight < math.inf:
            raise ConfigError(f"objective.penalties.{name} needs a finite weight of at least 0, got {weight:g}.")
        check_options(f"objective.penalty_options.{name}", PENALTIES[name], name, options.get(name, {}))
    for name in options:
        if name not in penalties:
            raise ConfigError(
                f"objective.penalty_options.{name} has no effect, because objective.penalties.{name} has no weight; "
                f"set objective.penalties.{name}."
            )
