"""ContextEncoding: the context of an example, labels and covariates, as the features that networks and prior take.

A categorical condition becomes a one-hot code, a number is standardised by the training data.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.text import pluralise, shortened

LEAST_DEVIATION = 1e-6
"""Standard deviation below which a number is taken as constant, and only centred."""


class ContextEncoding(nn.Module):
    """Features of a context [batch, condition]: positions of levels, and numbers, in the order of `columns`.

    Examples:
        >>> import torch
        >>> from lowerbound.foundation.schema import Column
        >>> site = Column(name="site", kind="categorical", levels=("A", "B"))
        >>> ContextEncoding([site, Column(name="age", kind="numeric")])(torch.tensor([[1.0, 0.5]]))
        tensor([[0.0000, 1.0000, 0.5000]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.register_buffer("mean", torch.zeros(len(self.columns)))
        self.register_buffer("deviation", torch.ones(len(self.columns)))

    @property
    def num_features(self) -> int:
        """Length of the features of one example."""
        return sum(column.num_levels or 1 for column in self.columns)

    def standardise(self, context: Shaped[Tensor, "batch *condition"]) -> None:
        """Take mean and standard deviation of the numbers from the training data."""
        numbers = self._as_rows(context).double()
        deviation = numbers.std(0, correction=0)
        self.mean.copy_(numbers.mean(0))
        self.deviation.copy_(torch.where(deviation < LEAST_DEVIATION, 1.0, deviation))

    def forward(self, context: Shaped[Tensor, "batch *condition"]) -> Float[Tensor, "batch feature"]:
        rows = self._as_rows(context).to(self.mean)
        parts = []
        for index, column in enumerate(self.columns):
            number = rows[:, index, None]
            if column.levels:
                parts.append((number == torch.arange(column.num_levels).to(number)).to(number))
            else:
                parts.append((number - self.mean[index]) / self.deviation[index])
        return torch.cat(parts, dim=1)

    def check(self, context: Shaped[Tensor, "batch *condition"]) -> None:
        """DataError for a context of another shape, or with a position or number that no example can have."""
        names = ", ".join(repr(column.name) for column in self.columns)
        if (
            context.ndim > 2
            or (context.ndim == 1 and len(self.columns) > 1)
            or (context.ndim == 2 and context.shape[1] != len(self.columns))
        ):
            raise DataError(
                f"the context has the shape {tuple(context.shape)}; accepted: one number of each example for {names}."
            )
        rows = self._as_rows(context)
        for index, column in enumerate(self.columns):
            number = rows[:, index].double()
            is_wrong = ~number.isfinite()
            if column.levels:
                is_wrong |= (number < 0) | (number >= column.num_levels) | (number != number.round())
            if is_wrong.any():
                came = float(number[is_wrong][0])
                levels = shortened(", ".join(column.levels), 200)
                accepted = (
                    f"0 to {column.num_levels - 1}, the positions of {pluralise(column.num_levels, 'level')} ({levels})"
                    if column.levels
                    else "finite numbers"
                )
                raise DataError(f"the context has {came:g} for {column.name!r}; accepted: {accepted}.")

    def _as_rows(self, context: Shaped[Tensor, "batch *condition"]) -> Shaped[Tensor, "batch condition"]:
        return context[:, None] if context.ndim == 1 else context
