"""Share: the part of every batch that one of several ranks computes; Rows: that part of one batch.

A batch of B examples is divided by position: rank r of n takes rows B·r/n to B·(r+1)/n, rounded down. Their sizes
differ by at most one, and together they are the batch, whatever the number of ranks.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of a batch of `size` examples.

    A short batch may have none for a rank. The rank then computes one row that another rank also has, with weight 0, so
    that it takes part in everything that the ranks do together.
    """

    start: int
    stop: int
    size: int
    counts: bool = True

    @property
    def weight(self) -> float:
        """Factor of the mean over these rows in the mean over the batch."""
        return (self.stop - self.start) / self.size if self.counts else 0.0

    @property
    def slice(self) -> slice:
        """The rows as an index."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Share:
    """The rows of rank `rank` of `num_ranks`."""

    rank: int = 0
    num_ranks: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether one rank takes every row."""
        return self.num_ranks == 1

    def rows(self, size: int) -> Rows:
        """The rows of a batch of `size` examples."""
        start, stop = (size * rank // self.num_ranks for rank in (self.rank, self.rank + 1))
        if start < stop or not size:
            return Rows(start, stop, size)
        row = min(start, size - 1)
        return Rows(row, row + 1, size, counts=False)


WHOLE = Share()
"""The share of a single process."""
