"""TableRow, Block, ColumnCodes: distributions of table rows with mixed column families and missing cells.

A missing cell (NaN) is omitted from log p(x|z), which is then the log-density of the known cells. For columns that are
independent given z, that is the exact marginal.

Source: Nazabal et al., "Handling incomplete heterogeneous data using VAEs", arXiv:1807.03653, Equation 4.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from lowerbound.probability.distributions import Distribution
from lowerbound.probability.levels import Categorical


@dataclass(frozen=True, eq=False)
class ColumnCodes(Distribution):
    """One categorical element, whose value is a code from 0 to K - 1. Draws are not differentiable."""

    logits: Float[Tensor, "*batch level"]
    event_ndim: int = 0

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        return self._top * self._levels.mean

    @property
    def mode(self) -> Float[Tensor, "*batch"]:
        return torch.round(self._top * self._levels.mode)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        return self._top**2 * self._levels.variance

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        return self._levels.element_log_prob(value.long())

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch"]:
        return torch.round(self._top * self._levels.sample(generator, num_samples))

    @property
    def _levels(self) -> Categorical:
        """The codes as even levels from 0 to 1."""
        return Categorical(self.logits, event_ndim=0)

    @property
    def _top(self) -> int:
        return self._levels.num_levels - 1


@dataclass(frozen=True, eq=False)
class Block:
    """Columns of one family: their indices, and their element-wise distribution (event_ndim 0)."""

    columns: Int64[Tensor, " column"]
    distribution: Distribution

    def values(self, value: Float[Tensor, "*batch column"]) -> Float[Tensor, "*batch_and_block"]:
        """The values of these columns in whole rows; a single categorical column has no column axis."""
        chosen = value[..., self.columns]
        return chosen.squeeze(-1) if isinstance(self.distribution, ColumnCodes) else chosen

    def as_columns(self, value: Float[Tensor, "*batch_and_block"]) -> Float[Tensor, "*batch column"]:
        """Values or log-densities of the distribution, with a column axis."""
        return value.unsqueeze(-1) if isinstance(self.distribution, ColumnCodes) else value


@dataclass(frozen=True, eq=False)
class TableRow(Distribution):
    """A row of a table as blocks of independent columns. `log_prob` ignores missing cells."""

    blocks: tuple[Block, ...]
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, "*batch column"]:
        return self._gather([block.distribution.mean for block in self.blocks])

    @property
    def mode(self) -> Float[Tensor, "*batch column"]:
        return self._gather([block.distribution.mode for block in self.blocks])

    @property
    def variance(self) -> Float[Tensor, "*batch column"]:
        return self._gather([block.distribution.variance for block in self.blocks])

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch"]:
        return self.cell_log_prob(value).sum(-1)

    @property
    def num_parameters(self) -> int:
        return sum(block.distribution.num_parameters for block in self.blocks)

    def cell_log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float[Tensor, "*batch column"]:
        """Log-density of each cell, in nats; 0 for a missing one."""
        # Zero is in the support of every family; NaN would make gradients NaN.
        known = value.nan_to_num(0.0)
        parts = [block.distribution.log_prob(block.values(known)) for block in self.blocks]
        return torch.where(value.isnan(), 0.0, self._gather(parts))

    def sample(self, generator: Generator, num_samples: int) -> Float[Tensor, "sample *batch column"]:
        return self._gather([block.distribution.sample(generator, num_samples) for block in self.blocks])

    def detach(self) -> "TableRow":
        blocks = (replace(block, distribution=block.distribution.detach()) for block in self.blocks)
        return replace(self, blocks=tuple(blocks))

    def _gather(self, parts: list[Tensor]) -> Float[Tensor, "*batch column"]:
        ordered = torch.cat([block.as_columns(part) for block, part in zip(self.blocks, parts, strict=True)], dim=-1)
        where = torch.cat([block.columns for block in self.blocks])
        return ordered[..., torch.argsort(where)]
