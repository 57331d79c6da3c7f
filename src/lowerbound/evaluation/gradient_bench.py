"""measure_gradients(): variance, bias and cost of every gradient estimator, at the parameters of a trained model.

The gradient is that of a bound on log p(x) with respect to the posterior's parameters, which for a diagonal normal are
mean and log-variance, of each of a few examples; and, of their mean, with respect to the encoder's weights, where these
are few enough. The encoder's gradient is J' g, with the estimates g for all examples and the Jacobian J of the
posterior's parameters: its statistics follow from J J', for every estimator.
"""

import math
import time
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import Batch, Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation.gradient_statistics import GradientStatistics, gradient_statistics, total_variance
from lowerbound.evaluation.inference_gap import frozen
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.foundation.errors import ConfigError, TooLarge
from lowerbound.foundation.numerics import Estimate
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text import pluralise
from lowerbound.models.vae import VAE
from lowerbound.objectives.gradient_estimators import ESTIMATORS, Target, estimate_gradients, repeated_estimates
from lowerbound.objectives.objective import Objective
from lowerbound.probability.distributions import DiagonalNormal, Distribution, Draws
from lowerbound.probability.samples import PosteriorSamples

REFERENCE_FACTOR = 4
"""Estimates of the reference, in units of those of an estimator."""

MAX_STORED = 2**26
"""Estimated derivatives held at once, in float64: 512 MiB."""

MAX_JACOBIAN = 2**26
"""Elements of the Jacobian of the posterior's parameters in the encoder's weights, in float32: 256 MiB."""

MAX_ACTIVATIONS = 2**28
"""Elements that decoding all draws of one estimate may need at once: 1 GiB in float32."""

AT_ONCE = 2**25
"""Elements needed by the estimates that are computed at once."""

ACTIVATIONS_PER_ELEMENT = 64
"""Elements of the decoder's activations for each element of an example, roughly, as in a convolutional decoder."""

LEAST_ACTIVATIONS = 4096

MAX_EVALUATIONS = 2**20
"""Decoded draws for one estimator: one that decodes many for each estimate has fewer estimates."""

FEWEST = 100  # estimates
LEAST_ROUNDS, MOST_ROUNDS = 5, 40  # in which all estimators are timed in turn
TIMING = 4.0  # seconds, after which no further round begins
TIMED = 128  # decoded draws of each timing, about

ENCODER = "encoder weights"
UNKNOWN = Estimate(math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class GradientConfig:
    """What is measured."""

    bound: str = "elbo"
    num_samples: int = 2  # draws for each estimate
    num_examples: int = 8
    num_estimates: int = 500  # independent ones, for each estimator and example
    seed: int = 0

    def __post_init__(self) -> None:
        Objective(bound=self.bound, num_samples=self.num_samples)  # refuses what training refuses
        if self.num_examples < 1:
            raise ConfigError(f"num_examples needs at least 1, got {self.num_examples}.")
        if self.num_estimates < FEWEST:
            raise ConfigError(f"num_estimates needs at least {FEWEST}, got {self.num_estimates}.")


@dataclass(frozen=True)
class EstimatorResult:
    """One estimator: its statistics by group of parameters, or why it is left out."""

    name: str
    about: str
    left_out: str = ""
    is_biased: bool = False  # by construction
    num_estimates: int = 0
    evaluations: int = 0  # of the decoder, for each draw
    seconds: Estimate = UNKNOWN  # of one estimate for all examples, on this machine
    relative_time: Estimate = UNKNOWN  # to the first estimator that is not left out
    statistics: dict[str, GradientStatistics] = field(default_factory=dict)  # by group of parameters

    def variance_at_equal_time(self, group: str) -> Estimate:
        """Variance of the mean of as many estimates as the first estimator computes one in."""
        time, variance = self.relative_time, self.statistics[group].variance
        error = math.hypot(time.value * variance.standard_error, variance.value * time.standard_error)
        return Estimate(time.value * variance.value, error)


@dataclass(frozen=True)
class GradientBench:
    """All estimators at one trained model, with means over examples in nats² per parameter unit squared."""

    bound: str
    rate: str  # of the estimators that may use the closed form
    num_samples: int
    num_examples: int
    num_estimates: int  # for each estimator, unless it decodes too much
    reference: str  # the estimator to whose mean all others are compared
    num_reference: int
    groups: tuple[str, ...]
    left_out_groups: dict[str, str]  # with the reasons
    estimators: tuple[EstimatorResult, ...]

    @property
    def bound_in_words(self) -> str:
        """The bound with its number of draws."""
        names = {"elbo": "the ELBO", "iwae": "the importance-weighted bound"}
        return f"{names.get(self.bound, f'the bound {self.bound}')}, {pluralise(self.num_samples, 'draw')}"

    def __repr__(self) -> str:
        measured = ", ".join(estimator.name for estimator in self.estimators if not estimator.left_out)
        return f"GradientBench({self.bound_in_words}: {measured})"


def measure_gradients(
    model: VAE,
    examples: Examples,
    config: GradientConfig,
    device: torch.device | str = "cpu",
    progress: ProgressCallback = lambda stage, done, total: None,
) -> GradientBench:
    """Statistics of every estimator, at the first examples.

    ConfigError for a model without an ELBO, TooLarge if the draws of an estimate, or all estimates, exceed the memory.
    """
    if model.is_deterministic:
        raise ConfigError("a point-mass posterior has no ELBO, and its gradient no estimators; use another model.")
    if model.posterior.is_deterministic:
        raise ConfigError(
            f"posterior {model.config.posterior!r} chooses one code for each example, so the gradient has no noise to "
            "measure; use another model."
        )
    some = examples.head(config.num_examples)
    batch = next(iter(Batches(some, len(some), device)))
    model.eval()
    target = target_of(model, batch, config)
    _check_memory(target, model, config)
    encoder, why_not = _encoder_factor(model, batch)
    with frozen(model):
        bench = _measured(target, config, _Groups(_columns(model, target), encoder), progress)
    return replace(bench, left_out_groups={ENCODER: why_not}) if why_not else bench


def target_of(model: VAE, batch: Batch, config: GradientConfig) -> Target:
    """The bound of a model at some examples, as a function of the raw output of its encoder."""
    conditioned, x = model.given(batch.context), batch.x
    with torch.no_grad():
        raw, prior = raw_posteriors(model, batch), conditioned.prior()

    def samples_at(draws: Draws, posterior: Distribution, parameters: Tensor) -> PosteriorSamples:
        likelihood = conditioned.decode(draws.value.unflatten(1, (-1, len(x))))
        return PosteriorSamples.of_one_group(draws, likelihood.log_prob(x).flatten(1), posterior, prior)

    has_closed_form = config.bound == "elbo" and model.has_closed_form_kl
    return Target(
        parameters=raw,
        posterior=lambda rows: model.posterior(rows.unflatten(1, model.posterior.raw_shape)),
        samples_at=samples_at,
        bound=config.bound,
        rate="analytic" if has_closed_form else "monte-carlo",
        num_samples=config.num_samples,
        evaluations_at_once=max(1, AT_ONCE // _activations(model)),
    )


def raw_posteriors(model: VAE, batch: Batch) -> Float[Tensor, "batch parameter"]:
    """The encoder's output for each example: the posterior's parameters, before any limits."""
    outputs: list[Tensor] = []
    hook = model.posterior.register_forward_pre_hook(lambda _, arguments: outputs.append(arguments[0]))
    try:
        model.given(batch.context).encode(batch.x)
    finally:
        hook.remove()
    return outputs[0].flatten(1)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups of parameters by name: columns of the posterior's raw parameters, and the encoder's weights."""

    of_posterior: dict[str, slice]
    encoder: Float[Tensor, "n n"] | None  # a factor of J J'

    def parts(self, estimates: Float[Tensor, "estimate example parameter"]) -> dict[str, Tensor]:
        """Estimates for each group; those for the mean of all examples are of one example."""
        parts = {name: estimates[..., columns] for name, columns in self.of_posterior.items()}
        if self.encoder is not None:
            parts[ENCODER] = (estimates.flatten(1) @ self.encoder / estimates.shape[1]).unsqueeze(1)
        return parts


def _measured(target: Target, config: GradientConfig, groups: _Groups, progress: ProgressCallback) -> GradientBench:
    reasons = {name: estimator.why_not(target) for name, estimator in ESTIMATORS.items()}
    names = [name for name, reason in reasons.items() if not reason]
    found: dict[str, Tensor] = {}
    for done, name in enumerate(names):
        progress("estimating gradients", done, len(names) + 1)
        noise = generator(config.seed, f"gradients/{name}", target.parameters.device)
        found[name] = estimate_gradients(target, name, _num_estimates(target, name, config), noise)
    progress("estimating gradients", len(names), len(names) + 1)
    best, reference = _reference(target, found, config)
    reference_parts = groups.parts(reference)
    progress("timing estimators", 0, 1)
    times = _times(target, names)
    rows = [
        _result(target, name, groups.parts(found[name]), reference_parts, times[name])
        if name in found
        else EstimatorResult(name, ESTIMATORS[name].about, left_out=reason)
        for name, reason in reasons.items()
    ]
    return GradientBench(
        bound=target.bound,
        rate=target.rate,
        num_samples=target.num_samples,
        num_examples=len(target.parameters),
        num_estimates=config.num_estimates,
        reference=best,
        num_reference=len(reference),
        groups=tuple(reference_parts),
        left_out_groups={},
        estimators=tuple(rows),
    )


def _result(
    target: Target, name: str, parts: dict[str, Tensor], reference: dict[str, Tensor], times: tuple[Estimate, Estimate]
) -> EstimatorResult:
    estimator = ESTIMATORS[name]
    is_biased = estimator.is_biased(target)
    return EstimatorResult(
        name=name,
        about=estimator.about,
        is_biased=is_biased,
        num_estimates=len(next(iter(parts.values()))),
        evaluations=estimator.evaluations(target.one_draw.shape[-1]),
        seconds=times[0],
        relative_time=times[1],
        statistics={group: gradient_statistics(part, reference[group], is_biased) for group, part in parts.items()},
    )


def _num_estimates(target: Target, name: str, config: GradientConfig) -> int:
    of_one = len(target.parameters) * target.num_samples * ESTIMATORS[name].evaluations(target.one_draw.shape[-1])
    return min(config.num_estimates, max(FEWEST, MAX_EVALUATIONS // of_one))


def _reference(target: Target, found: dict[str, Tensor], config: GradientConfig) -> tuple[str, Tensor]:
    """Many new estimates by the unbiased estimator with the least variance, of those that decode each draw once."""
    unbiased = [
        name
        for name in found
        if not ESTIMATORS[name].is_biased(target) and ESTIMATORS[name].evaluations(target.one_draw.shape[-1]) == 1
    ]
    best = min(unbiased, key=lambda name: total_variance(found[name]).value)
    noise = generator(config.seed, f"gradients/reference/{best}", target.parameters.device)
    return best, estimate_gradients(target, best, REFERENCE_FACTOR * config.num_estimates, noise)


def _times(target: Target, names: list[str]) -> dict[str, tuple[Estimate, Estimate]]:
    """Seconds of one estimate for all examples, and relative to the first estimator, over rounds of all in turn."""
    device = target.parameters.device
    noise = generator(0, "timing", device)
    estimates = {name: ESTIMATORS[name].prepare(replace(target, num_pilot=1), noise) for name in names}
    num = max(1, min(TIMED, target.evaluations_at_once) // (len(target.parameters) * target.num_samples))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    while (done := len(seconds[names[0]])) < LEAST_ROUNDS + 1 or (
        done <= MOST_ROUNDS and time.perf_counter() - begin < TIMING
    ):
        for name in names:
            start = time.perf_counter()
            repeated_estimates(estimates[name], target, num, noise)
            seconds[name].append((time.perf_counter() - start) / num)
    rounds = {name: torch.tensor(own[1:], dtype=torch.float64) for name, own in seconds.items()}  # the first warms up
    return {name: (_middle(own), _middle(own / rounds[names[0]])) for name, own in rounds.items()}


def _middle(values: Float[Tensor, " n"]) -> Estimate:
    """Median and its standard error, from quartiles: other programs slow down some rounds.

    The standard error is that for a normal distribution, sqrt(pi / 2) sd / sqrt(n), where the quartiles are 1.349 sd
    apart.
    """
    lower, middle, upper = values.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype)).tolist()
    return Estimate(middle, math.sqrt(math.pi / 2 / len(values)) * (upper - lower) / 1.349)


def _columns(model: VAE, target: Target) -> dict[str, slice]:
    """The parameters of the posterior by name: columns of its raw output."""
    size = target.parameters.shape[1]
    if isinstance(model.posterior_of_zeros(), DiagonalNormal) and size == 2 * model.latent_dim:
        return {"mean": slice(0, model.latent_dim), "log-variance": slice(model.latent_dim, size)}
    return {"posterior's parameters": slice(0, size)}


def _encoder_factor(model: VAE, batch: Batch) -> tuple[Float[Tensor, "n n"] | None, str]:
    """A factor A of J J' = A A', for n = examples × parameters, or why the Jacobian J is not computed."""
    weights = [weight for weight in model.encoder.parameters() if weight.requires_grad]
    raw = raw_posteriors(model, batch).flatten()
    num_weights = sum(weight.numel() for weight in weights)
    if not num_weights or not raw.requires_grad:
        return None, "the encoder has no weights"
    if len(raw) * num_weights > MAX_JACOBIAN:
        fewer = MAX_JACOBIAN // (num_weights * (len(raw) // len(batch.x)))
        return None, f"{pluralise(len(raw), 'parameter')} of posteriors times {num_weights:,} weights are too many" + (
            f"; use at most {pluralise(fewer, 'example')}" if fewer else ""
        )
    rows = []
    for value in raw:
        gradients = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        parts = [
            torch.zeros_like(weight) if part is None else part for weight, part in zip(weights, gradients, strict=True)
        ]
        rows.append(torch.cat([part.flatten() for part in parts]).cpu())
    jacobian = torch.stack(rows)
    squared, vectors = torch.linalg.eigh((jacobian @ jacobian.T).double())
    return vectors * squared.clamp(min=0).sqrt(), ""


def _activations(model: VAE) -> int:
    """Roughly how many elements decoding one draw needs."""
    return max(LEAST_ACTIVATIONS, ACTIVATIONS_PER_ELEMENT * math.prod(model.event_shape))


def _check_memory(target: Target, model: VAE, config: GradientConfig) -> None:
    num_examples, size = target.parameters.shape
    most = MAX_ACTIVATIONS // (_activations(model) * num_examples)
    if config.num_samples > most:
        raise TooLarge(
            f"{config.num_samples:,} draws of {pluralise(num_examples, 'example')} do not fit into memory; use at most "
            f"{most:,} draws for each estimate, or fewer examples."
        )
    most = MAX_STORED // (REFERENCE_FACTOR * num_examples * size)
    if config.num_estimates > most:
        raise TooLarge(
            f"{config.num_estimates:,} estimates for {pluralise(num_examples, 'example')} do not fit into memory; use "
            f"at most {most:,}, or fewer examples."
        )
