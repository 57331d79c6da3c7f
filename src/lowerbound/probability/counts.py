"""Poisson and NegativeBinomial: distributions of counts 0, 1, 2, ..., such as words or reads."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.probability.distributions import TABLE_VALUES, Distribution


@dataclass(frozen=True, eq=False)
class Poisson(Distribution):
    """Independent Poisson counts, from the logarithm of the rate. Draws are not differentiable."""

    log_rate: Float[Tensor, "*batch_and_event"]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self.log_rate.exp()

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return self.mean.floor()

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return self.mean

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        # In float64: the three terms are as large as the count and cancel to a few nats.
        log_rate, count = (part.double() for part in torch.broadcast_tensors(self.log_rate, value))
        return self.sum_event(count * log_rate - log_rate.exp() - torch.lgamma(count + 1))

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        # In float64: terms of large counts cancel.
        log_rate = self.flat_event(self.log_rate).double()
        return _linear_table(self.flat_event(values), log_rate, -log_rate.exp().sum(-1))

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        return torch.poisson(self.mean.detach().expand(num_samples, *self.log_rate.shape), generator=generator)


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Distribution):
    """Independent counts more spread than a Poisson's: variance = mean + mean² / r. Draws are not differentiable.

    A Poisson whose rate has a Gamma distribution with shape r and this mean.
    """

    log_mean: Float[Tensor, "*batch_and_event"]
    log_r: Float[Tensor, "*#batch_and_event"]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self.log_mean.exp()

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        r = self.log_r.exp()
        return torch.where(r > 1, (self.mean * (r - 1) / r).floor(), 0.0)

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        return self.mean + self.mean**2 / self.log_r.exp()

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        # In float64: for large r every difference here is between nearly equal numbers.
        log_mean, log_r, count = (part.double() for part in torch.broadcast_tensors(self.log_mean, self.log_r, value))
        r, log_total = log_r.exp(), torch.logaddexp(log_mean, log_r)  # log(mean + r)
        log_ways = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
        log_prob = log_ways + r * (log_r - log_total) + count * (log_mean - log_total)
        return self.sum_event(log_prob)

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        if self.log_r.ndim > self.event_ndim:
            return super().log_prob_table(values)
        log_mean = self.flat_event(self.log_mean).double()
        log_r = self.flat_event(self.log_r.double().expand(self.log_mean.shape[self.log_mean.ndim - self.event_ndim :]))
        log_total = torch.logaddexp(log_mean, log_r)
        constant = (log_r.exp() * (log_r - log_total)).sum(-1)
        return _linear_table(self.flat_event(values), log_mean - log_total, constant, log_r.exp())

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        log_mean, log_r = torch.broadcast_tensors(self.log_mean.detach(), self.log_r.detach())
        shape = log_r.exp().expand(num_samples, *log_r.shape)
        # torch.distributions draws Gamma variates like this, but accepts no generator.
        rate = torch._standard_gamma(shape, generator=generator) * torch.exp(log_mean - log_r)
        return torch.poisson(rate, generator=generator)


def _linear_table(
    counts: Float[Tensor, "n element"],
    slope: Float[Tensor, "batch element"],
    constant: Float[Tensor, " batch"],
    r: Float[Tensor, " element"] | None = None,
) -> Float[Tensor, "n batch"]:
    """Log-densities that are linear in the counts except for the combinatorial term: binomial with r, else 1/x!."""
    parts = []
    for part in counts.split(max(1, TABLE_VALUES // max(1, counts.shape[-1]))):
        count = part.double()
        log_ways = -torch.lgamma(count + 1)
        if r is not None:
            log_ways = log_ways + torch.lgamma(count + r) - torch.lgamma(r)
        parts.append(count @ slope.T + constant + log_ways.sum(-1, keepdim=True))
    return torch.cat(parts)
