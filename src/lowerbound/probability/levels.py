"""DiscretizedLogistics and Categorical: distributions over even levels 0, 1/(L−1), ..., 1, such as 8-bit pixels.

They give probabilities, not densities, so −log2 p(x) is a code length in bits, which an entropy coder can reach.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor
from torch.nn import functional as F

from lowerbound.probability.distributions import TABLE_VALUES, Distribution

EDGES_AT_ONCE = 16
"""Edges between levels computed at once for a mean: all would take hundreds of times the memory of the images."""


SUMMED_AT_ONCE = 16
"""Elements whose log-probabilities are summed in the parameters' precision; these sums are added in float64."""


class LevelDistribution(Distribution, ABC):
    """Independent elements, each with one of `num_levels` levels."""

    num_levels: int

    @abstractmethod
    def element_log_prob(self, level: Int64[Tensor, "*#batch_and_event"]) -> Float[Tensor, "*batch_and_event"]:
        """Log-probability of each element's level (0 to num_levels − 1), in nats."""

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """Shape of batch and event."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        return self._moments()[0]

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        mean, mean_square = self._moments()
        return (mean_square - mean**2).clamp(min=0)

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        best = self._at(0)
        level = torch.zeros(self.shape, dtype=self.dtype, device=best.device)
        for index in range(1, self.num_levels):
            log_prob = self._at(index)
            level = torch.where(log_prob > best, index / (self.num_levels - 1), level)
            best = torch.maximum(best, log_prob)
        return level

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        level = (value * (self.num_levels - 1)).round().long()
        return self.sum_event(self.element_log_prob(level))

    def log_prob_table(self, values: Float[Tensor, "n *event"]) -> Float[Tensor, "n batch"]:
        # Each level is scored once and then looked up, which is faster for more values than levels.
        if len(values) < self.num_levels:
            return super().log_prob_table(values)
        values = self.flat_event(values)
        num_elements = values.shape[1]
        at_once = max(1, TABLE_VALUES * 4 // (self.num_levels * num_elements))
        columns = []
        for start in range(0, self.shape[0], at_once):
            levels = self._part(slice(start, start + at_once)).level_log_prob().flatten(1).T.contiguous()
            rows = [self._look_up(part, levels) for part in values.split(max(1, TABLE_VALUES // num_elements))]
            columns.append(torch.cat(rows))
        return torch.cat(columns, dim=1)

    def _look_up(
        self, values: Float[Tensor, "n element"], levels: Float[Tensor, "level_of_element batch"]
    ) -> Float[Tensor, "n batch"]:
        level = (values * (self.num_levels - 1)).round().long()
        row = level + self.num_levels * torch.arange(values.shape[1], device=values.device)
        total = torch.zeros(len(values), levels.shape[1], dtype=torch.float64, device=values.device)
        for part in row.split(SUMMED_AT_ONCE, dim=1):
            total += F.embedding_bag(part, levels, mode="sum")
        return total

    def level_log_prob(self) -> Float[Tensor, "*batch_and_event level"]:
        """Log-probability of every level of each element, in nats."""
        at_once = max(1, TABLE_VALUES // self.num_parameters)
        levels = torch.arange(self.num_levels, device=self._device()).reshape(-1, *(1,) * len(self.shape))
        return torch.cat([self.element_log_prob(part) for part in levels.split(at_once)]).movedim(0, -1)

    def _part(self, batch: slice) -> "LevelDistribution":
        """A slice of a batch of shape [batch]."""
        tensors = {name: value[batch] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)  # type: ignore[type-var]

    def _moments(self) -> tuple[Float[Tensor, "*batch_and_event"], Float[Tensor, "*batch_and_event"]]:
        # One level at a time: all at once would take hundreds of times the memory of the images.
        mean = torch.zeros_like(self._at(0))
        mean_square = mean.clone()
        for index in range(1, self.num_levels):
            value = index / (self.num_levels - 1)
            probability = self._at(index).exp()
            mean = mean + value * probability
            mean_square = mean_square + value**2 * probability
        return mean, mean_square

    def _at(self, index: int) -> Float[Tensor, "*batch_and_event"]:
        level = torch.full((1,) * len(self.shape), index, device=self._device())
        return self.element_log_prob(level).expand(self.shape)

    @abstractmethod
    def _device(self) -> torch.device: ...


@dataclass(frozen=True, eq=False)
class DiscretizedLogistics(LevelDistribution):
    """Mixtures of logistics; the probability of a level is the mass of the interval around it.

    The outermost levels include the tails, so that the probabilities sum to one. Draws are not differentiable.

    Source: Salimans et al., "PixelCNN++", arXiv:1701.05517, Equations 1 and 2, with independent elements.
    """

    log_weight: Float[Tensor, "*batch_and_event component"]  # normalised
    location: Float[Tensor, "*batch_and_event component"]  # in the units of values, 0 to 1; may be in float64
    log_scale: Float[Tensor, "*batch_and_event component"]
    num_levels: int = 256
    event_ndim: int = 1

    @property
    def shape(self) -> torch.Size:
        return self.location.shape[:-1]

    @property
    def dtype(self) -> torch.dtype:
        return self.log_scale.dtype

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        # E[level] is the sum over k of P(level > k): one sigmoid for each edge between levels.
        location = self.location.to(self.dtype)
        precision, total = torch.exp(-self.log_scale), torch.zeros_like(location)
        top = self.num_levels - 1
        edges = (torch.arange(top, dtype=self.dtype, device=self._device()) + 0.5) / top
        for part in edges.split(EDGES_AT_ONCE):
            edge = part.reshape(-1, *(1,) * self.location.ndim)
            total = total + torch.sigmoid((location - edge) * precision).sum(0)
        return (self.log_weight.exp() * total).sum(-1) / top

    def element_log_prob(self, level: Int64[Tensor, "*#batch_and_event"]) -> Float[Tensor, "*batch_and_event"]:
        level = level.unsqueeze(-1)
        half = 0.5 / (self.num_levels - 1)
        # In float64: a narrow logistic magnifies the rounding error of the distance by a factor of 100,000.
        centred = level.double() / (self.num_levels - 1) - self.location
        precision = torch.exp(-self.log_scale)
        upper, lower = (((centred + side) * precision).to(self.dtype) for side in (half, -half))
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − exp(a − b)), without cancellation even far in the tails.
        is_first, is_last = level == 0, level == self.num_levels - 1
        below = torch.where(is_last, 0.0, F.logsigmoid(upper))
        above = torch.where(is_first, 0.0, F.logsigmoid(-lower))
        between = torch.where(is_first | is_last, 0.0, torch.log(-torch.expm1(-2 * half * precision)))
        if self.location.shape[-1] == 1:
            return (below + above + between).squeeze(-1)
        return torch.logsumexp(self.log_weight + below + above + between, dim=-1)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        num_components = self.location.shape[-1]
        weights = self.log_weight.detach().exp().reshape(-1, num_components)
        chosen = torch.multinomial(weights, num_samples, replacement=True, generator=generator)
        chosen = chosen.T.reshape(num_samples, *self.shape, 1)
        location, log_scale = (
            parameter.detach().to(self.dtype).expand(num_samples, *parameter.shape).gather(-1, chosen).squeeze(-1)
            for parameter in (self.location, self.log_scale)
        )
        uniform = torch.rand(location.shape, generator=generator, dtype=self.dtype, device=location.device)
        tiny = torch.finfo(self.dtype).tiny
        value = location + log_scale.exp() * torch.logit(uniform.clamp(min=tiny), eps=None)
        return (value.clamp(0, 1) * (self.num_levels - 1)).round() / (self.num_levels - 1)

    def _device(self) -> torch.device:
        return self.location.device


@dataclass(frozen=True, eq=False)
class Categorical(LevelDistribution):
    """A separate probability for each level. Draws are not differentiable."""

    logits: Float[Tensor, "*batch_and_event level"]
    event_ndim: int = 1

    @property
    def num_levels(self) -> int:  # type: ignore[override]
        return self.logits.shape[-1]

    @property
    def shape(self) -> torch.Size:
        return self.logits.shape[:-1]

    @property
    def dtype(self) -> torch.dtype:
        return self.logits.dtype

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        return self.logits.argmax(-1).to(self.dtype) / (self.num_levels - 1)

    def element_log_prob(self, level: Int64[Tensor, "*#batch_and_event"]) -> Float[Tensor, "*batch_and_event"]:
        log_probability = F.log_softmax(self.logits, dim=-1)
        shape = torch.broadcast_shapes(level.shape, self.shape)
        index = level.expand(shape).unsqueeze(-1)
        return log_probability.expand(*shape, self.num_levels).gather(-1, index).squeeze(-1)

    def level_log_prob(self) -> Float[Tensor, "*batch_and_event level"]:
        return F.log_softmax(self.logits, dim=-1)

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch_and_event"]:
        probability = self.logits.detach().softmax(-1).reshape(-1, self.num_levels)
        level = torch.multinomial(probability, num_samples, replacement=True, generator=generator)
        return level.T.reshape(num_samples, *self.shape).to(self.dtype) / (self.num_levels - 1)

    def _moments(self) -> tuple[Float[Tensor, "*batch_and_event"], Float[Tensor, "*batch_and_event"]]:
        # The logits of all levels are in memory, so their probabilities need no more.
        probability = self.logits.softmax(-1)
        value = torch.linspace(0, 1, self.num_levels, dtype=self.dtype, device=self.logits.device)
        return probability @ value, probability @ value**2

    def _device(self) -> torch.device:
        return self.logits.device
