"""Likelihoods p(x|z) by name: Bernoulli, Gaussian, logistic, categorical and counts; register_likelihood.

bernoulli              binary values; grey ones in [0, 1] as expectations over binarisations
continuous-bernoulli   values in [0, 1], as a density
gaussian               real values with one shared standard deviation
gaussian-per-element   real values with a standard deviation per element, from the decoder
discretized-logistic   stored grey or colour values, for example 256 levels; also mixtures
categorical            few levels, with a probability for each
poisson                counts
negative-binomial      counts that vary more than a Poisson's
table                  rows of columns of several kinds, some cells missing
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lowerbound.foundation.errors import DataError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, Support
from lowerbound.probability.counts import NegativeBinomial, Poisson
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal, RescaledNormal
from lowerbound.probability.levels import Categorical, DiscretizedLogistics
from lowerbound.probability.likelihood import (
    COUNTS,
    FOR_LEVELS,
    LEAST_RATE,
    LOG_R_RANGE,
    MAX_LOG_RATE,
    MAX_LOG_VARIANCE,
    MEAN_MARGIN,
    NumComponents,
    NumLevels,
    are_counts,
    binomial_logits,
    log_r_of,
)
from lowerbound.probability.likelihood import Likelihood as Likelihood  # re-exported
from lowerbound.probability.parts import OWN, name_of, register
from lowerbound.probability.table_likelihood import TableLikelihood
from lowerbound.probability.unit_interval import ContinuousBernoulli, logits_of_mean

MIN_SIGMA = 1e-3  # of a Gaussian likelihood; without it the density could grow indefinitely

LOG_SCALE_RANGE = (-7.0, 5.0)
"""Range of a logistic's log-scale, in units of one level: from all mass on one level to a spread over all levels."""


class BernoulliLikelihood(Likelihood):
    """Independent Bernoulli pixels, from logits.

    Its support is {0, 1}. Grey values in [0, 1] are accepted, as expectations over binarisations; the convention is
    then "grey", and the scores are not comparable with those of binarised data.
    """

    is_within_unit_interval = True

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Bernoulli:
        return Bernoulli(raw, event_ndim=len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return torch.logit(mean, eps=MEAN_MARGIN)

    def convention(self, support: Support) -> str:
        _need_unit_interval("bernoulli", support, "rescale them (data.range) or use likelihood 'gaussian'")
        return "binary" if support.is_binary else "grey"

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        return (x == 0) | (x == 1) if is_binary else (x >= 0) & (x <= 1)

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        return f"only {low:g} and {high:g}" if is_binary else f"numbers from {low:g} to {high:g}"


class ContinuousBernoulliLikelihood(Likelihood):
    """Independent values in [0, 1] with a log-linear density, from logits; normalised, where a Bernoulli is not."""

    is_within_unit_interval = True

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> ContinuousBernoulli:
        return ContinuousBernoulli(raw, event_ndim=len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return logits_of_mean(mean.clamp(MEAN_MARGIN, 1 - MEAN_MARGIN))

    def convention(self, support: Support) -> str:
        _need_unit_interval("continuous-bernoulli", support, "rescale them (data.range) or use likelihood 'gaussian'")
        return "density"

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        return (x >= 0) & (x <= 1)

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        return f"numbers from {low:g} to {high:g}"


class GaussianLikelihood(Likelihood):
    """Normal elements with one shared standard deviation σ, fixed or learned; all normalising constants included.

    With fixed σ, log p(x|z) = -C ||x - mean||² - D/2 log(2πσ²), where C = 1/(2σ²). A learned σ starts at `sigma` and is
    bounded below by 0.001, which is also the smallest fixed one. `mean_map` maps the raw output to the mean:
    "identity", or "sigmoid" for data in [0, 1].
    """

    accepted_options: ClassVar[dict[str, Range]] = {"sigma": Range(MIN_SIGMA, LARGEST)}

    def __init__(
        self,
        event_shape: tuple[int, ...],
        sigma: Annotated[float, "Standard deviation; if it is learned, the initial one."] = 1.0,
        learn_sigma: Annotated[bool, "Whether the standard deviation is learned."] = False,
        mean_map: Annotated[Literal["identity", "sigmoid"], "From the decoder's output to the mean."] = "identity",
    ) -> None:
        super().__init__(event_shape)
        check_number("sigma", sigma, self.accepted_options["sigma"])
        log_sigma = torch.tensor(math.log(sigma))
        self.mean_map = mean_map
        if learn_sigma:
            self.log_sigma = nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma)

    @property
    def sigma(self) -> float:
        """Standard deviation of a pixel, in units of the data."""
        return self._bounded_log_sigma().exp().item()

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> DiagonalNormal:
        mean = torch.sigmoid(raw) if self.mean_map == "sigmoid" else raw
        log_variance = 2 * self._bounded_log_sigma()
        return DiagonalNormal(mean, log_variance, event_ndim=len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return torch.logit(mean, eps=MEAN_MARGIN) if self.mean_map == "sigmoid" else mean

    def convention(self, support: Support) -> str:
        _need_finite("gaussian", support)
        return "density"

    def _bounded_log_sigma(self) -> Float[Tensor, ""]:
        return self.log_sigma.clamp(min=math.log(MIN_SIGMA))


class GaussianPerElementLikelihood(Likelihood):
    """Real values in any unit, each with mean and standard deviation from the decoder; normalising constants included.

    Encoder and decoder use values standardised by the training data's mean and standard deviation of each element;
    densities are those of the data in their own unit. Standard deviations are at least 1e-3 of the training data's.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.register_buffer("location", torch.zeros(event_shape))
        self.register_buffer("scale", torch.ones(event_shape))

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return _stacked(2, self.event_shape)

    def standardise(self, mean: Float[Tensor, " *event"], deviation: Float[Tensor, " *event"]) -> None:
        """Set location and scale to the training data's mean and standard deviation; constant elements have scale 1."""
        self.location.copy_(mean)
        self.scale.copy_(torch.where(deviation > 0, deviation, 1.0))

    def features(self, x: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch_and_features"]:
        return (x - self.location) / self.scale

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> RescaledNormal:
        mean, log_variance = _unstacked(raw, 2, self.event_shape)
        log_variance = log_variance.clamp(2 * math.log(MIN_SIGMA), MAX_LOG_VARIANCE)
        standardised = DiagonalNormal(mean, log_variance, event_ndim=len(self.event_shape))
        return RescaledNormal(standardised, self.location, self.scale)

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        standardised = (mean - self.location) / self.scale
        return torch.stack([standardised, torch.zeros_like(standardised)]).reshape(self.raw_shape)

    def convention(self, support: Support) -> str:
        _need_finite("gaussian-per-element", support)
        return "density"


class LevelLikelihood(Likelihood):
    """Base of likelihoods for values on `num_levels` even levels in [0, 1]."""

    name: str  # in LIKELIHOODS
    num_levels: int
    is_within_unit_interval = True
    accepted_options: ClassVar[dict[str, Range]] = dict(num_levels=Range(2, 2**16), num_components=Range(1, 1000))

    def convention(self, support: Support) -> str:
        _need_levels(self.name, support, self.num_levels)
        return "levels"

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        level = x * (self.num_levels - 1)
        return (x >= 0) & (x <= 1) & ((level - level.round()).abs() < 1e-3)

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        return f"{self.num_levels} levels from {low:g} to {high:g}"


class DiscretizedLogisticLikelihood(LevelLikelihood):
    """Mixtures of discretised logistics, for values on `num_levels` even levels in [0, 1], such as 8-bit images.

    −log2 p(x|z) is a number of bits. The decoder gives a location and a scale for each of `num_components` logistics,
    in units of the whole range, and their weights if there are several.
    """

    name = "discretized-logistic"

    def __init__(
        self, event_shape: tuple[int, ...], num_components: NumComponents = 1, num_levels: NumLevels = 256
    ) -> None:
        super().__init__(event_shape)
        self.num_components = num_components
        self.num_levels = num_levels

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return _stacked(self._num_parts, self.event_shape)

    @property
    def _num_parts(self) -> int:
        return 2 if self.num_components == 1 else 3 * self.num_components

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> DiscretizedLogistics:
        parts = torch.stack(_unstacked(raw, self._num_parts, self.event_shape), dim=-1)
        location, log_scale, *weights = parts.split(self.num_components, dim=-1)
        log_weight = torch.log_softmax(weights[0], dim=-1) if weights else torch.zeros_like(location)
        low, high = LOG_SCALE_RANGE
        unit = math.log(self.num_levels - 1)
        # A raw output of 0 is a scale of a tenth of the range, for which initial gradients are of order 1.
        log_scale = (log_scale - math.log(10)).clamp(low - unit, high - unit)
        return DiscretizedLogistics(
            log_weight, location.double() + 0.5, log_scale, self.num_levels, len(self.event_shape)
        )

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        # Components start slightly apart: equal ones would always get equal gradients.
        spread = torch.linspace(-0.1, 0.1, self.num_components).to(mean) if self.num_components > 1 else [0.0]
        locations = [mean - 0.5 + offset for offset in spread]
        others = [torch.zeros_like(mean)] * (self._num_parts - self.num_components)
        return torch.stack([*locations, *others]).reshape(self.raw_shape)


class CategoricalLikelihood(LevelLikelihood):
    """Values on `num_levels` even levels in [0, 1], with a probability for each level from the decoder."""

    name = "categorical"

    def __init__(self, event_shape: tuple[int, ...], num_levels: NumLevels = 2) -> None:
        super().__init__(event_shape)
        self.num_levels = num_levels

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return _stacked(self.num_levels, self.event_shape)

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Categorical:
        logits = torch.stack(_unstacked(raw, self.num_levels, self.event_shape), dim=-1)
        return Categorical(logits, len(self.event_shape))

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return binomial_logits(mean, self.num_levels).reshape(self.raw_shape)


class CountLikelihood(Likelihood):
    """Base of likelihoods for counts: the raw output is the log of the mean; the encoder's input is log(1 + x)."""

    name: str  # in LIKELIHOODS

    @property
    def feature_range(self) -> tuple[float, float]:
        return 0.0, math.inf

    def features(self, x: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch_and_features"]:
        return torch.log1p(x)

    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        return mean.clamp(min=LEAST_RATE).log()

    def convention(self, support: Support) -> str:
        _need_counts(self.name, support)
        return "counts"

    def admits(self, x: Float[Tensor, "batch *event"], is_binary: bool) -> Bool[Tensor, "batch *event"]:
        return are_counts(x)

    def accepted(self, is_binary: bool, low: float, high: float) -> str:
        return COUNTS


class PoissonLikelihood(CountLikelihood):
    """Poisson counts, whose variance equals their mean."""

    name = "poisson"

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Poisson:
        return Poisson(raw.clamp(max=MAX_LOG_RATE), event_ndim=len(self.event_shape))


class NegativeBinomialLikelihood(CountLikelihood):
    """Overdispersed counts: a mean from the decoder and a learned shape r for each element.

    The variance is mean + mean² / r, as in scVI with one dispersion per gene (Lopez et al. 2018).
    """

    name = "negative-binomial"

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.log_r = nn.Parameter(torch.zeros(event_shape))

    def standardise(self, mean: Float[Tensor, " *event"], deviation: Float[Tensor, " *event"]) -> None:
        """Initialise the shapes from the moments of the training data."""
        with torch.no_grad():
            self.log_r.copy_(log_r_of(mean, deviation))

    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> NegativeBinomial:
        log_r = self.log_r.clamp(*LOG_R_RANGE)
        return NegativeBinomial(raw.clamp(max=MAX_LOG_RATE), log_r, event_ndim=len(self.event_shape))


def _stacked(num_parts: int, event_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Raw shape of several parameters per element, concatenated along the first axis."""
    return (num_parts * event_shape[0], *event_shape[1:])


def _unstacked(raw: Tensor, num_parts: int, event_shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    return raw.chunk(num_parts, dim=-len(event_shape))


def _need_finite(name: str, support: Support) -> None:
    if not (math.isfinite(support.low) and math.isfinite(support.high)):
        raise DataError(f"data lie in {support.interval}, but likelihood {name!r} needs finite values.")


def _need_unit_interval(name: str, support: Support, remedy: str) -> None:
    if not (support.low >= 0 and support.high <= 1):  # also refuses NaN
        raise DataError(f"data lie in {support.interval}, but likelihood {name!r} needs [0, 1]; {remedy}.")


def _need_levels(name: str, support: Support, num_levels: int) -> None:
    _need_unit_interval(name, support, "save them as 8-bit values or use likelihood 'gaussian'")
    # A black image is binary as well.
    levels = support.num_levels or (2 if support.is_binary else 0)
    if num_levels != levels and not (support.is_binary and num_levels == 2):
        came = f"{levels} levels" if levels else "no fixed levels"
        remedy = f"set model.likelihood_options.num_levels to {levels}" if levels else "use likelihood 'gaussian'"
        raise DataError(f"the data have {came}, but likelihood {name!r} needs {num_levels} levels here; {remedy}.")


def _need_counts(name: str, support: Support) -> None:
    _need_finite(name, support)
    if support.low < 0 or not support.is_integer or support.high > LARGEST_COUNT:
        kind, remedy = "whole numbers" if support.is_integer else "fractional values", "use 'gaussian'"
        if support.num_levels:  # as pixels of 8 bits
            kind, remedy = f"{support.num_levels} levels, scaled from whole numbers to fractions", FOR_LEVELS
        raise DataError(f"the data are {kind} in {support.interval}, but likelihood {name!r} needs {COUNTS}; {remedy}.")


def convention_for(likelihood: Likelihood, support: Support) -> str:
    """Meaning of log p(x|z) for data in `support`; DataError if the likelihood cannot score them.

    Every family passes here, so that missing values are refused by one that does not say that it accepts them.
    """
    if support.has_missing and not likelihood.accepts_missing:
        registered = name_of(LIKELIHOODS, likelihood)
        name = type(likelihood).__name__ if registered == OWN else repr(registered)
        raise DataError(
            f"the data have missing values, which likelihood {name} does not support; use likelihood 'table'."
        )
    return likelihood.convention(support)


def register_likelihood(name: str, likelihood: type[Likelihood]) -> None:
    """Register a likelihood under a name for configurations and files; ConfigError for a name in use."""
    register("likelihood", LIKELIHOODS, Likelihood, name, likelihood)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous-bernoulli": ContinuousBernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "gaussian-per-element": GaussianPerElementLikelihood,
    "discretized-logistic": DiscretizedLogisticLikelihood,
    "categorical": CategoricalLikelihood,
    "poisson": PoissonLikelihood,
    "negative-binomial": NegativeBinomialLikelihood,
    "table": TableLikelihood,
}
