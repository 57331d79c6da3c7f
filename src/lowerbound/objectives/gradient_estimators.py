"""ESTIMATORS: gradients of a bound with respect to the parameters of q(z; θ), estimated many times, for measurements.

A `Target` is the bound of K draws z_k ~ q(z; θ), for rows of parameters θ: raw encoder outputs of a VAE, or mean and
standard deviation of a normal under which the expectation of any function f is differentiated. Each entry returns
independent estimates of the gradient; those that training uses come from GRADIENTS, and are computed by the same code.

With the log-weights l_k and the score s_k = d log q(z_k; θ) / dθ, the score-function estimators are

    sum_k (signal_k - baseline) s_k + direct part,

whose direct part is the gradient of the bound through θ at fixed draws. See `objectives/gradients.py` for the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.objectives.bounds import BOUNDS, ENCODER_BOUNDS, Bound
from lowerbound.objectives.gradients import GRADIENTS, Gradient, bounds_with_replaced, score_surrogate
from lowerbound.objectives.measure_valued import evaluations_per_draw, measure_valued_derivatives
from lowerbound.objectives.rates import PLAIN
from lowerbound.probability.distributions import DiagonalNormal, Distribution, Draws
from lowerbound.probability.samples import PosteriorSamples

Parameters = Float[Tensor, "row parameter"]
SamplesAt = Callable[[Draws, Distribution, Parameters], PosteriorSamples]


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """The quantity whose gradient is estimated: the expected bound of K draws, for each row of parameters."""

    parameters: Parameters
    posterior: Callable[[Parameters], Distribution]  # q(z; θ), of batch shape [row]
    samples_at: SamplesAt  # log p(x|z) and the prior at draws; rows are repeated as a whole
    bound: str = "elbo"
    rate: str = "none"  # analytic, monte-carlo, or none: log-weights are then the values of a function f
    num_samples: int = 1  # K
    num_pilot: int = 1000  # draws from which baselines are estimated
    evaluations_at_once: int = 2**17

    @classmethod
    def of_normal(
        cls,
        function: Callable[[Float[Tensor, "*sample row latent"]], Float[Tensor, "*sample row"]],
        mean: Float[Tensor, "row latent"],
        standard_deviation: Float[Tensor, "row latent"],
        *,
        num_samples: int = 1,
        num_pilot: int = 1000,
    ) -> "Target":
        """E[f(z)] for z ~ N(mean, standard_deviation²), as a function of (mean, standard deviation).

        `function` is evaluated at many draws of all rows at once, and may differ from row to row.
        """

        def posterior(parameters: Tensor) -> DiagonalNormal:
            means, deviations = parameters.chunk(2, dim=-1)
            return DiagonalNormal(means, 2 * deviations.log())

        def samples_at(draws: Draws, normal: Distribution, _: Tensor) -> PosteriorSamples:
            values = function(draws.value.unflatten(1, (-1, len(mean)))).flatten(1)
            return PosteriorSamples.of_one_group(draws, values, normal, normal)

        return cls(
            parameters=torch.cat([mean, standard_deviation], dim=-1),
            posterior=posterior,
            samples_at=samples_at,
            num_samples=num_samples,
            num_pilot=num_pilot,
        )

    @property
    def bound_function(self) -> Bound:
        """The bound as a function of log-weights, with its default options: the one that the posterior maximises."""
        return ENCODER_BOUNDS.get(self.bound, BOUNDS[self.bound])

    @cached_property
    def is_mean(self) -> bool:
        """Whether the bound is the mean over draws, as the ELBO is, and any bound of one draw."""
        log_weights = torch.linspace(-1, 1, self.num_samples, dtype=torch.float64).square().unsqueeze(1)
        return torch.allclose(self.bound_function(log_weights), log_weights.mean(dim=0))

    @cached_property
    def one_draw(self) -> Float[Tensor, "sample row latent"]:
        """One draw for each row, from noise of its own."""
        noise = torch.Generator(self.parameters.device).manual_seed(0)
        return self.posterior(self.repeated(1)).sample(noise, 1)

    def repeated(self, num: int) -> Parameters:
        """All rows `num` times, as variables to differentiate by."""
        return self.parameters.detach().repeat(num, 1).requires_grad_()

    def draw(self, parameters: Parameters, generator: Generator, through_draws: bool) -> PosteriorSamples:
        """K draws for each row."""
        posterior = self.posterior(parameters)
        draws = posterior.draw(generator, self.num_samples)
        # A log-density that came with the draw is differentiated through it.
        return self.samples_at(draws if through_draws else Draws(draws.value.detach()), posterior, parameters)

    def log_weight(self, samples: PosteriorSamples, rate: str = "") -> Float[Tensor, "sample row"]:
        """The log-weights of draws, by default with the target's own rate."""
        return samples.log_likelihood - PLAIN[rate or self.rate](samples)


Values = Float[Tensor, "row value"]
Estimate = Callable[[Parameters, Generator], Values]
"""One estimate for each row of parameters."""


@dataclass(frozen=True, kw_only=True)
class GradientEstimator:
    """An estimator of a target's gradient."""

    about: str
    prepare: Callable[[Target, Generator], Estimate]  # draws what the estimates need, such as a baseline
    why_not: Callable[[Target], str] = lambda target: ""  # why it is not defined for a target; empty if it is
    is_biased: Callable[[Target], bool] = lambda target: False
    evaluations: Callable[[int], int] = lambda num_latents: 1  # of the log-weight for each draw
    gradient: str = ""  # the entry of GRADIENTS that it is


def estimate_gradients(
    target: Target, name: str, num_estimates: int, generator: Generator
) -> Float[Tensor, "estimate row parameter"]:
    """Independent estimates of the gradient by one of ESTIMATORS, in float64 on the CPU."""
    estimate = ESTIMATORS[name].prepare(target, generator)
    return repeated_estimates(estimate, target, num_estimates, generator)


def repeated_estimates(
    estimate: Estimate, target: Target, num_estimates: int, generator: Generator
) -> Float[Tensor, "estimate row value"]:
    """Independent estimates, computed in parts that bound the memory."""
    num_rows = len(target.parameters)
    at_once = max(1, target.evaluations_at_once // (num_rows * target.num_samples))
    parts = []
    for start in range(0, num_estimates, at_once):
        found = estimate(target.repeated(min(at_once, num_estimates - start)), generator)
        parts.append(found.detach().unflatten(0, (-1, num_rows)).double().cpu())
    return torch.cat(parts)


def _surrogate(gradient: Gradient, rate: str, target: Target, _: Generator) -> Estimate:
    """The gradient of a surrogate of GRADIENTS; `rate` is that of the target if it is empty."""

    def estimate(parameters: Parameters, generator: Generator) -> Parameters:
        samples = target.draw(parameters, generator, gradient.through_draws)
        log_weight = partial(target.log_weight, rate=rate)
        return _gradient(gradient.surrogate(samples, target.bound_function, log_weight), parameters)

    return estimate


def _without_baseline(target: Target, _: Generator) -> Estimate:
    def estimate(parameters: Parameters, generator: Generator) -> Parameters:
        samples = target.draw(parameters, generator, through_draws=False)
        return _gradient(_plain_surrogate(target, samples), parameters)

    return estimate


def _with_mean_baseline(target: Target, generator: Generator) -> Estimate:
    baseline = _mean_log_weight(target, generator)

    def signal(bound: Bound, log_weights: Tensor) -> Tensor:
        constant = baseline.repeat(log_weights.shape[1] // len(baseline)).expand_as(log_weights)
        return bound(log_weights) - bounds_with_replaced(bound, log_weights, constant)

    def estimate(parameters: Parameters, generator: Generator) -> Parameters:
        samples = target.draw(parameters, generator, through_draws=False)
        return _gradient(score_surrogate(samples, target.bound_function, target.log_weight, signal), parameters)

    return estimate


def _with_optimal_baseline(target: Target, generator: Generator) -> Estimate:
    """Minus b s, where s is the sum of the scores and b = E[g s] / E[s²] minimises the variance of each element.

    For one draw of a function f this is the baseline E[f s²] / E[s²] (Mohamed et al., arXiv:1906.10652, Section 7.4).
    """

    def both(parameters: Parameters, generator: Generator) -> tuple[Parameters, Parameters]:
        samples = target.draw(parameters, generator, through_draws=False)
        plain = _gradient(_plain_surrogate(target, samples), parameters, keep=True)
        return plain, _gradient(samples.log_posterior.sum(dim=0), parameters)

    def stacked(parameters: Parameters, generator: Generator) -> Values:
        return torch.cat(both(parameters, generator), dim=-1)

    pilot = repeated_estimates(stacked, target, -(-target.num_pilot // target.num_samples), generator)
    plain, score = pilot.chunk(2, dim=-1)
    squared = score.square().mean(0)
    coefficient = torch.where(squared > 0, (plain * score).mean(0) / squared, 0.0).to(target.parameters)

    def estimate(parameters: Parameters, generator: Generator) -> Parameters:
        plain, score = both(parameters, generator)
        return plain - coefficient.repeat(len(parameters) // len(coefficient), 1) * score

    return estimate


def _measure_valued(target: Target, _: Generator) -> Estimate:
    bound = target.bound_function
    # The direct part of the ELBO's Monte Carlo rate is the score of q, whose mean is zero.
    has_direct_part = not target.is_mean or target.rate == "analytic"

    def estimate(parameters: Parameters, generator: Generator) -> Parameters:
        posterior = target.posterior(parameters)
        assert isinstance(posterior, DiagonalNormal)
        fixed = posterior.detach()
        assert isinstance(fixed, DiagonalNormal)

        def values(z: Tensor) -> Tensor:
            return target.log_weight(target.samples_at(Draws(z), fixed, parameters.detach()))

        of_mean, of_sd, z = measure_valued_derivatives(values, bound, fixed, generator, target.num_samples)
        samples = target.samples_at(Draws(z), posterior, parameters)
        samples = samples if has_direct_part else samples.with_fixed_posterior()
        sd = posterior.standard_deviation.expand_as(posterior.mean)
        # Its gradient is that of the expectation, by the chain rule from mean and standard deviation to θ.
        surrogate = (of_mean * posterior.mean + of_sd * sd).sum(dim=-1)
        return _gradient(surrogate + bound(target.log_weight(samples)), parameters)

    return estimate


def _gradient(surrogate: Float[Tensor, " row"], parameters: Parameters, keep: bool = False) -> Parameters:
    """The gradient of each row's surrogate: rows are independent."""
    (found,) = torch.autograd.grad(surrogate.sum(), parameters, retain_graph=keep)
    return found


def _plain_surrogate(target: Target, samples: PosteriorSamples) -> Float[Tensor, " row"]:
    """Without a baseline: the bound for every draw; of a mean over draws only the draw's own term matters."""

    def signal(bound: Bound, log_weights: Tensor) -> Tensor:
        return log_weights / len(log_weights) if target.is_mean else bound(log_weights).expand_as(log_weights)

    return score_surrogate(samples, target.bound_function, target.log_weight, signal)


@torch.no_grad()
def _mean_log_weight(target: Target, generator: Generator) -> Float[Tensor, " row"]:
    def mean(parameters: Parameters, generator: Generator) -> Values:
        return target.log_weight(target.draw(parameters, generator, through_draws=False)).mean(dim=0).unsqueeze(-1)

    pilot = repeated_estimates(mean, target, -(-target.num_pilot // target.num_samples), generator)
    return pilot.mean(0).squeeze(-1).to(target.parameters.device)


def _if_differentiable(target: Target) -> str:
    return "" if target.one_draw.requires_grad else "draws are not differentiable in the posterior's parameters"


def _if_analytic(target: Target) -> str:
    if target.rate != "analytic":
        return "the same as 'reparameterized', which has no closed-form rate here"
    return _if_differentiable(target)


def _if_log_q(target: Target) -> str:
    return _if_differentiable(target) if target.rate != "none" else "the function does not contain log q"


def _if_importance_weighted(target: Target) -> str:
    return _if_log_q(target) if target.bound == "iwae" else "it is an estimator for the importance-weighted bound only"


def _if_several(target: Target) -> str:
    return "" if target.num_samples > 1 else "the mean of the other draws needs at least two draws"


def _if_diagonal_normal(target: Target) -> str:
    is_normal = isinstance(target.posterior(target.parameters), DiagonalNormal)
    return "" if is_normal else "it is implemented for diagonal normal posteriors only"


ESTIMATORS: dict[str, GradientEstimator] = {
    "reparameterized": GradientEstimator(
        about="pathwise, through the draws and all densities",
        prepare=partial(_surrogate, GRADIENTS["reparameterized"], ""),
        why_not=_if_differentiable,
        gradient="reparameterized",
    ),
    "reparameterized-monte-carlo": GradientEstimator(
        about="the same, with the Monte Carlo rate",
        prepare=partial(_surrogate, GRADIENTS["reparameterized"], "monte-carlo"),
        why_not=_if_analytic,
        gradient="reparameterized",
    ),
    "stl": GradientEstimator(
        about="pathwise, without the score of q",
        prepare=partial(_surrogate, GRADIENTS["stl"], "monte-carlo"),
        why_not=_if_log_q,
        is_biased=lambda target: not target.is_mean,
        gradient="stl",
    ),
    "dreg": GradientEstimator(
        about="pathwise, with squared normalised weights",
        prepare=partial(_surrogate, GRADIENTS["dreg"], "monte-carlo"),
        why_not=_if_importance_weighted,
        gradient="dreg",
    ),
    "score-function-none": GradientEstimator(about="score of q times the bound", prepare=_without_baseline),
    "score-function-mean": GradientEstimator(about="minus the mean of pilot draws", prepare=_with_mean_baseline),
    "score-function-optimal": GradientEstimator(
        about="minus the best constant for each parameter, from pilot draws", prepare=_with_optimal_baseline
    ),
    "score-function": GradientEstimator(
        about="minus the mean of the other draws",
        prepare=partial(_surrogate, GRADIENTS["score-function"], ""),
        why_not=_if_several,
        gradient="score-function",
    ),
    "measure-valued": GradientEstimator(
        about="differences at coupled draws, one latent at a time",
        prepare=_measure_valued,
        why_not=_if_diagonal_normal,
        evaluations=evaluations_per_draw,
    ),
}
