"""Distribution (base class), FromNoise, Draws, DiagonalNormal, RescaledNormal, Bernoulli, PointMass.

A distribution has values of shape [*batch, *event]; its log-densities have shape [*batch], in nats, including all
constants. They are in float64 whatever the type of the parameters, because a sum over an image needs more digits than
float32 has. Random numbers come from an explicit generator, which torch.distributions does not support.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import Chance, RowNoise, standard_normal

LOG_2_PI = math.log(2 * math.pi)

LARGEST_SINGLE = 8192.0
"""Largest sums that float32 represents within a thousandth."""

TABLE_VALUES = 2**20
"""Values scored at once in a table of log-densities: 4 MiB in float32; a family needs about ten such arrays."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Values drawn from a batch of distributions, with their log-densities if those come with the draw.

    A family whose density is expensive elsewhere, such as a flow, computes it where it draws; for any other it is None.
    """

    value: Float[Tensor, "*draw_and_event"]
    log_density: Float[Tensor, "*draw"] | None = None  # in nats

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: int | slice | tuple[int | slice, ...] | None) -> "Draws":
        """Some of the draws, by indices of the axes of draws and batch."""
        return Draws(self.value[index], None if self.log_density is None else self.log_density[index])

    def __iter__(self) -> "Iterator[Draws]":
        return (self[index] for index in range(len(self)))

    @classmethod
    def joined(cls, parts: "Sequence[Draws]", dim: int = 0) -> "Draws":
        """Parts along one of the axes of draws and batch; they must be of one family."""
        densities = [part.log_density for part in parts if part.log_density is not None]
        return cls(torch.cat([part.value for part in parts], dim), torch.cat(densities, dim) if densities else None)


class Distribution(ABC):
    """A batch of distributions; the last `event_ndim` axes of values form one event."""

    event_ndim: int

    @property
    @abstractmethod
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        """Expected value."""

    @property
    @abstractmethod
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        """Most probable value."""

    @property
    def centre(self) -> Float[Tensor, "*batch_and_event"]:
        """The one value that stands for the distribution, such as the code of an example: the mean, unless a family
        over a space that does not contain its means has another."""
        return self.mean

    @property
    @abstractmethod
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        """Variance of each element of the event."""

    @property
    def covariance(self) -> Float[Tensor, "*batch element element"]:
        """Covariance of the event's elements; diagonal, unless a family overrides it."""
        return torch.diag_embed(self.flat_event(self.variance))

    @property
    def training_charge(self) -> Float[Tensor, "*batch"] | None:
        """What training charges for a posterior beside its rate, in nats; None if nothing. No bound contains it."""
        return None

    def marginal(self, elements: Sequence[int]) -> "Distribution":
        """The marginal distribution of some elements, in the given order; ConfigError if it is not implemented."""
        raise ConfigError(f"{type(self).__name__} has no marginals.")

    @abstractmethod
    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        """Log-density (or log-probability) of whole events, in nats; broadcasts over batch axes."""

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        """Log-density of every value under every distribution of a batch of shape [batch], in nats.

        Memory beyond that of the values and the table is bounded: the general method scores values in parts, and
        families that use a matrix product need little.
        """
        parts = values.split(max(1, TABLE_VALUES // max(1, self.num_parameters)))
        return torch.cat([self.log_prob(part.unsqueeze(1)) for part in parts])

    @property
    def density_passes(self) -> int:
        """Passes through a network that the log-density of one value takes; 0 for a closed form."""
        return 0

    @property
    def num_parameters(self) -> int:
        """Number of elements of the largest parameter, over the whole batch."""
        parameters = vars(self).values()
        nested = [parameter.num_parameters for parameter in parameters if isinstance(parameter, Distribution)]
        return max([parameter.numel() for parameter in parameters if isinstance(parameter, Tensor)] + nested)

    @abstractmethod
    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        """Independent draws; differentiable in the parameters if the class says so."""

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        """Draws with noise that belongs to each row of a batch; ConfigError if the family does not implement it."""
        raise ConfigError(f"{type(self).__name__} does not implement sample_by_row.")

    def draw(self, chance: Chance, num_samples: int) -> Draws:
        """Draws from one stream for the batch, or with noise that belongs to its rows."""
        if isinstance(chance, RowNoise):
            return Draws(self.sample_by_row(chance, num_samples))
        return Draws(self.sample(chance, num_samples))

    def detach(self) -> "Distribution":
        """The same distribution with detached parameters."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        detached = {name: part.detach() for name, part in parts.items() if isinstance(part, Tensor | Distribution)}
        return replace(self, **detached)  # type: ignore[type-var]

    def sum_event(self, elementwise: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch"]:
        """Sum over the event's axes, in float64: elements are independent given the parameters."""
        return self.flat_event(elementwise).sum(-1, dtype=torch.float64)

    def flat_event(self, values: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch element"]:
        """The event's axes as one; a scalar event becomes an axis of length one."""
        return values.flatten(-self.event_ndim) if self.event_ndim else values.unsqueeze(-1)


class FromNoise(Distribution):
    """A distribution whose draws are functions of standard normal noise."""

    @property
    @abstractmethod
    def noise_like(self) -> Float[Tensor, "*batch_and_noise"]:
        """A tensor of the shape, type and device of one draw's noise."""

    @abstractmethod
    def moved(self, noise: Float[Tensor, "sample *batch_and_noise"]) -> Float[Tensor, "sample *batch_and_event"]:
        """The draws that this noise becomes."""

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return self.moved(standard_normal(generator, num_samples, self.noise_like))

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return self.moved(standard_normal(noise, num_samples, self.noise_like))


def double_products(
    values: Float[Tensor, "n element"], weights: Float[Tensor, "batch element"]
) -> Float[Tensor, "n batch"]:
    """Products of all values with all weights in float64; values are converted in parts."""
    parts = values.split(max(1, TABLE_VALUES // max(1, values.shape[-1])))
    return torch.cat([part.double() @ weights.T for part in parts])


@dataclass(frozen=True, eq=False)
class DiagonalNormal(FromNoise):
    """Normal with independent elements; draws are reparameterised, z = mean + sd * noise."""

    parameter_mean: Float[Tensor, "*batch_and_event"]
    log_variance: Float[Tensor, "*#batch_and_event"]  # or of shape (), shared by all elements
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self.parameter_mean

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return self.parameter_mean

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return self.log_variance.exp().expand_as(self.parameter_mean)

    @property
    def standard_deviation(self) -> Float[Tensor, "*batch_and_event"]:
        return torch.exp(0.5 * self.log_variance)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        value, mean = torch.broadcast_tensors(value, self.parameter_mean)
        squared = F.mse_loss(mean, value, reduction="none")
        if self.log_variance.ndim:
            # In float64: the square of an accepted value divided by a small variance overflows float32.
            log_variance = self.log_variance.double()
            return self.sum_event(-0.5 * (LOG_2_PI + log_variance + squared.double() * torch.exp(-log_variance)))
        # With one variance for all elements, only the sum has to be scaled.
        num_elements = math.prod(mean.shape[mean.ndim - self.event_ndim :])
        log_variance = self.log_variance.double()
        log_normaliser = num_elements * (LOG_2_PI + log_variance)
        return -0.5 * (log_normaliser + self.sum_event(squared) * torch.exp(-log_variance))

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        # In float64 and relative to a common centre: for a small variance the squares cancel almost entirely.
        mean = self.flat_event(self.parameter_mean).double()
        centre = mean.mean(0)
        mean = mean - centre
        log_variance = self._log_variance_rows()
        precision = (-log_variance).exp()
        log_normaliser, of_mean = (LOG_2_PI + log_variance).sum(-1), (mean**2 * precision).sum(-1)
        weighted = mean * precision
        parts = []
        for part in self.flat_event(values).split(max(1, TABLE_VALUES // mean.shape[-1])):
            value = part.double() - centre
            squared = value**2 @ precision.T - 2 * value @ weighted.T + of_mean
            parts.append(-0.5 * (log_normaliser + squared))
        return torch.cat(parts)

    def _log_variance_rows(self) -> Float[Tensor, "rows element"]:
        """Log-variances in float64, one row per distribution, or a single row if they are shared."""
        num_batch_axes = self.parameter_mean.ndim - self.event_ndim
        event_shape = self.parameter_mean.shape[num_batch_axes:]
        num_rows = len(self.log_variance) if self.log_variance.ndim > self.event_ndim else 1
        return self.flat_event(self.log_variance.double().expand(num_rows, *event_shape))

    @property
    def noise_like(self) -> Float[Tensor, "*batch_and_event"]:
        return self.parameter_mean

    def moved(self, noise: Float[Tensor, "sample *batch_and_event"]) -> Float[Tensor, "sample *batch_and_event"]:
        return self.parameter_mean + self.standard_deviation * noise

    def marginal(self, elements: Sequence[int]) -> "DiagonalNormal":
        log_variance = self.log_variance.expand_as(self.parameter_mean)
        return DiagonalNormal(self.parameter_mean[..., list(elements)], log_variance[..., list(elements)])

    def inverse_cdf(self, probability: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*value_shape"]:
        """Quantiles of each element: the value below which it falls with the given probability."""
        return self.parameter_mean + self.standard_deviation * torch.special.ndtri(probability)


@dataclass(frozen=True, eq=False)
class RescaledNormal(Distribution):
    """location + scale * y, where y has a diagonal normal distribution: for data that are not standardised.

    Densities are those of the data but are computed from y, so that no digits are lost if the location is large.
    """

    standardised: DiagonalNormal
    location: Float[Tensor, "*#event"]
    scale: Float[Tensor, "*#event"]

    @property
    def event_ndim(self) -> int:  # type: ignore[override]
        return self.standardised.event_ndim

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self.location + self.scale * self.standardised.mean

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return self.mean

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return self.standard_deviation**2

    @property
    def standard_deviation(self) -> Float[Tensor, "*batch_and_event"]:
        return (self.scale * self.standardised.standard_deviation).expand_as(self.standardised.mean)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        return self.standardised.log_prob((value - self.location) / self.scale) - self._log_volume()

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        return self.standardised.log_prob_table((values - self.location) / self.scale) - self._log_volume()

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return self.location + self.scale * self.standardised.sample(generator, num_samples)

    def _log_volume(self) -> Float[Tensor, "*#batch"]:
        """Log-determinant of the scaling of an event."""
        return self.standardised.sum_event(self.scale.log())


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """Independent binary elements, from logits.

    `log_prob` accepts a grey value g in [0, 1]: the result is then E[log p(b)] with b ~ Bernoulli(g), an expectation
    over binarisations, not the log of a normalised density. Draws are not differentiable.
    """

    logits: Float[Tensor, "*batch_and_event"]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        # From logits: in float32 log(1 - sigmoid(t)) is already -inf at t = 18.
        logits, value = torch.broadcast_tensors(self.logits, value)
        return -self.sum_event(F.binary_cross_entropy_with_logits(logits, value, reduction="none"))

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        logits, value = self.flat_event(self.logits), self.flat_event(values)
        # Both terms are as large as this sum, and cancel if the distribution fits well.
        is_long = logits.abs().sum(-1).max() > LARGEST_SINGLE
        product = double_products(value, logits.double()) if is_long else value @ logits.T
        return product - F.softplus(logits).sum(-1, dtype=torch.float64)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        probability = self.mean.detach().expand(num_samples, *self.logits.shape)
        return torch.bernoulli(probability, generator=generator)


@dataclass(frozen=True, eq=False)
class PointMass(Distribution):
    """All probability on one value, as from a deterministic encoder. It has no density."""

    value: Float[Tensor, "*batch_and_event"]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self.value

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return self.value

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return torch.zeros_like(self.value)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        raise ConfigError("a point-mass posterior has no log-density and no ELBO; use rate 'none'.")

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return self.value.expand(num_samples, *self.value.shape)

    def sample_by_row(self, noise: RowNoise, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return self.value.expand(num_samples, *self.value.shape)
