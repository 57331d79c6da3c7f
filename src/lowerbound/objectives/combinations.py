"""Combinations of bound, gradient, rate and penalties that would be silently wrong, refused with the reason."""

from collections.abc import Mapping
from typing import Protocol

from lowerbound.foundation.errors import ConfigError
from lowerbound.models.families import Families
from lowerbound.objectives.bounds import BOUNDS, ENCODER_BOUNDS, GROUPED
from lowerbound.objectives.options import Option, option
from lowerbound.objectives.rates import PLAIN, check_is_sum_over_latents
from lowerbound.objectives.total_correlation import check_has_independent_latents
from lowerbound.probability.spaces import REAL


class Choices(Protocol):
    """The choices of an objective that are checked together."""

    @property
    def bound(self) -> str: ...
    @property
    def bound_options(self) -> Mapping[str, Option]: ...
    @property
    def gradient(self) -> str: ...
    @property
    def rate(self) -> str: ...
    @property
    def rate_weight(self) -> float: ...
    @property
    def rate_warm_up(self) -> float: ...
    @property
    def rate_cycles(self) -> int: ...
    @property
    def classification_weight(self) -> float: ...
    @property
    def num_samples(self) -> int: ...
    @property
    def penalties(self) -> Mapping[str, float]: ...


def refuse_wrong_combinations(objective: Choices) -> None:
    """ConfigError for a combination that is not what its parts promise."""
    for check in (_of_bound, _of_rate, _of_gradient, _of_groups, _of_schedule):
        check(objective)


OF_SINGLE_LATENTS = ("total-correlation", "factor", "dip-i", "dip-ii", "latent-l2")
"""Penalties of single latents, which on a sphere, on a simplex and in codes are not free to move independently."""

OF_BATCH = ("mmd", "total-correlation", "factor", "dip-i", "dip-ii")
"""Penalties that compare the examples of a batch."""


def refuse_unfit_training(objective: Choices, batch_size: int, num_epochs: int) -> None:
    """ConfigError for a training in which a part of the objective would have no effect."""
    comparing = [name for name in objective.penalties if name in OF_BATCH]
    if comparing and batch_size < 2:
        names = ", ".join(comparing)
        raise ConfigError(
            f"objective.penalties ({names}) compare the examples of a batch, but training.batch_size is {batch_size}; "
            "raise it."
        )
    cycle = num_epochs / objective.rate_cycles
    if objective.rate_cycles > 1 and objective.rate_warm_up > cycle:
        raise ConfigError(
            f"objective.rate_warm_up is {objective.rate_warm_up:g} epochs, longer than a cycle: {num_epochs} epochs in "
            f"objective.rate_cycles={objective.rate_cycles} parts are {cycle:g} each; lower it, or train longer."
        )


def refuse_unfit_families(objective: Choices, families: Families) -> None:
    """ConfigError for an objective that needs more than the model's posterior and prior have."""
    if families.posterior.has_relaxed_draws:
        _refuse_densities_of_draws(objective, families.posterior_name)
    if families.posterior.is_deterministic:
        _refuse_several_draws(objective, families.posterior_name)
    if objective.rate == "free-bits":
        check_is_sum_over_latents(families.of_posterior, families.of_prior, families.in_words)
    _refuse_unfit_classification(objective, families)
    for name in objective.penalties:
        if name in OF_SINGLE_LATENTS and families.posterior.space != REAL:
            raise ConfigError(
                f"penalty {name!r} is of single latents, which must be real numbers, but those of posterior "
                f"{families.posterior_name!r} are {families.posterior.space.about}; use a posterior of real latents."
            )
        if name == "total-correlation":
            check_has_independent_latents(families.of_posterior, f"posterior {families.posterior_name!r}")


def _refuse_unfit_classification(objective: Choices, families: Families) -> None:
    if not families.has_classifier:
        if objective.classification_weight:
            raise ConfigError(
                f"objective.classification_weight is {objective.classification_weight:g}, and the model has no "
                "classifier; set model.classifier=true, or leave the weight out."
            )
        return
    accepted = {"bound": ("elbo",), "gradient": ("reparameterized",), "rate": ("auto", "analytic", "monte-carlo")}
    for key, names in accepted.items():
        if (value := getattr(objective, key)) not in names:
            raise ConfigError(
                f"objective.{key} {value!r} does not fit model.classifier, whose bound is an expectation over labels; "
                f"set objective.{key}={names[0]}."
            )
    if objective.penalties:
        raise ConfigError(
            f"objective.penalties ({', '.join(objective.penalties)}) do not fit model.classifier, whose bound is an "
            "expectation over labels; leave them out."
        )


def _refuse_densities_of_draws(objective: Choices, posterior: str) -> None:
    accepted = {
        "bound": ("elbo",),
        "gradient": ("reparameterized",),
        "rate": ("auto", "analytic", "free-bits-total", "capacity", "capacity-per-example", "geco"),
    }
    for key, names in accepted.items():
        if (value := getattr(objective, key)) not in names:
            raise ConfigError(
                f"objective.{key} {value!r} does not fit posterior {posterior!r}, whose draws are relaxed in training "
                f"and have no log q(z|x); set objective.{key}={names[0]}."
            )


def _refuse_several_draws(objective: Choices, posterior: str) -> None:
    """For discrete codes: every draw is the same, and log q(z|x) = 0 has no gradient."""
    for key, name in (("bound", "elbo"), ("gradient", "reparameterized")):
        if (value := getattr(objective, key)) != name:
            raise ConfigError(
                f"objective.{key} {value!r} does not fit posterior {posterior!r}, which chooses one code for each "
                f"example, so that all draws are equal; set objective.{key}={name}."
            )


def _of_bound(objective: Choices) -> None:
    bound, rate = objective.bound, objective.rate
    if bound == "elbo":
        return
    if rate == "analytic":
        raise ConfigError(
            f"bound {bound!r} with rate 'analytic' is not a lower bound: the closed-form KL is the same for every "
            "draw, and weights without their own log q can exceed log p(x); use rate 'monte-carlo'."
        )
    if rate == "none":
        raise ConfigError(f"bound {bound!r} needs log q(z|x) in its weights; use rate 'monte-carlo', not 'none'.")
    if rate not in PLAIN:
        raise ConfigError(
            f"bound {bound!r} needs the rate of each draw, which rate {rate!r} is not: it changes the KL of the "
            "batch; use rate 'monte-carlo', or bound 'elbo'."
        )
    if bound in ENCODER_BOUNDS and (objective.rate_weight != 1 or objective.rate_warm_up):
        raise ConfigError(f"bound {bound!r} needs a rate with weight 1 throughout: the two bounds are of log p(x).")


def _of_rate(objective: Choices) -> None:
    if objective.rate == "geco" and objective.rate_weight != 1:
        raise ConfigError(
            "rate 'geco' learns the weight of the rate; leave objective.rate_weight at 1, and set the distortion with "
            "objective.rate_options.distortion."
        )


def _of_gradient(objective: Choices) -> None:
    bound, gradient, rate = objective.bound, objective.gradient, objective.rate
    if gradient in ("stl", "dreg") and rate not in ("monte-carlo", "auto"):
        raise ConfigError(
            f"gradient {gradient!r} changes how log q(z|x) of each draw is differentiated, which rate {rate!r} does "
            "not contain; use rate 'monte-carlo'."
        )
    if gradient == "stl" and bound != "elbo":
        raise ConfigError(f"gradient 'stl' is biased for bound {bound!r}; use {_unbiased_for(bound)}.")
    if gradient == "dreg" and bound != "iwae":
        other = "'stl'" if bound == "elbo" else "'reparameterized'"
        raise ConfigError(f"gradient 'dreg' needs bound 'iwae', got {bound!r}; for it use gradient {other}.")
    if gradient == "dreg" and (objective.rate_weight != 1 or objective.rate_warm_up):
        raise ConfigError("gradient 'dreg' is biased unless the rate's weight is 1 throughout; use 'reparameterized'.")
    if gradient == "score-function" and rate == "none":
        raise ConfigError("gradient 'score-function' needs a posterior with a density; use another rate than 'none'.")
    if gradient != "reparameterized" and bound in ENCODER_BOUNDS:
        raise ConfigError(f"bound {bound!r}, which is two bounds, needs gradient 'reparameterized', got {gradient!r}.")
    if gradient == "score-function" and (rate not in PLAIN or objective.penalties):
        came = "penalties" if objective.penalties else f"rate {rate!r}"
        raise ConfigError(
            f"gradient 'score-function' does not differentiate through the draws, and {came} would lose a part of "
            "the gradient; use gradient 'reparameterized'."
        )


def _unbiased_for(bound: str) -> str:
    return "gradient 'dreg'" if bound == "iwae" else "gradient 'reparameterized'"


def _of_groups(objective: Choices) -> None:
    if objective.bound not in GROUPED:
        return
    num_groups = int(option(BOUNDS[objective.bound], objective.bound_options, "num_groups"))
    if objective.num_samples % num_groups:
        raise ConfigError(
            f"bound {objective.bound!r} divides the draws into objective.bound_options.num_groups={num_groups} groups "
            f"of equal size, but objective.num_samples is {objective.num_samples}; use a multiple of {num_groups}."
        )


def _of_schedule(objective: Choices) -> None:
    if objective.rate_cycles > 1 and not objective.rate_warm_up:
        raise ConfigError(
            f"objective.rate_cycles is {objective.rate_cycles}, but objective.rate_warm_up is 0, so that no cycle "
            "rises; set it to the epochs in which the weight rises in each cycle."
        )
