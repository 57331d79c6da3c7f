"""over_ranks(): measurements of examples, divided among the ranks that evaluate a model together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from torch import Tensor

from lowerbound.data.examples import Examples
from lowerbound.foundation import distributed

Measure = Callable[[Examples], tuple[Tensor, ...]]
"""From examples to tensors with one row for each."""

_divided: list[bool] = []


@contextmanager
def divided() -> Iterator[None]:
    """Within this context all ranks evaluate together. Outside of it a rank measures all examples itself."""
    _divided.append(True)
    try:
        yield
    finally:
        _divided.pop()


def over_ranks(examples: Examples, measure: Measure) -> tuple[Tensor, ...]:
    """`measure(examples)`, of which each rank computes a part; every rank gets all rows.

    Noise depends on the examples alone, so that neither do the results depend on the number of ranks. Pixels that are
    redrawn on every pass depend on the batch, so such examples are not divided.
    """
    share = distributed.share()
    if not _divided or examples.is_redrawn or len(examples) < share.num_ranks:
        return measure(examples)
    rows = share.rows(len(examples))
    part = measure(examples.subset(np.arange(rows.start, rows.stop)))
    return tuple(distributed.gathered(tensor.contiguous()) for tensor in part)
