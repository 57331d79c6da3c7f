"""VectorCodebook: code vectors that follow the encoder's outputs as moving averages, with a k-means start and revival.

Every code vector is the ratio of two moving averages, N_k of the number of outputs that are nearest to it and m_k of
their sum. A code that is hardly used is moved to a random output, together with its averages: with old averages the
next step would move it back.

Source: van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", arXiv:1711.00937, Appendix
A.1; the start, Arthur and Vassilvitskii, "k-means++", 2007; revival, Dhariwal et al., arXiv:2005.00341, Section 3.1.
"""

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from lowerbound.foundation import distributed
from lowerbound.foundation.shares import Rows

NUM_ITERATIONS = 10  # of k-means
SMALLEST = 1e-5
"""Counts below this do not move a code vector: a ratio of two vanishing averages has no digits left."""

DISTANCES_AT_ONCE = 2**22


class VectorCodebook(nn.Module):
    """K vectors of `code_dim` numbers, with the moving averages that they are ratios of."""

    vectors: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, num_codes: int, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(num_codes, code_dim))
        self.register_buffer("counts", torch.ones(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, code_dim))

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Standard normal vectors, which `start` replaces."""
        drawn = torch.randn(self.vectors.shape, generator=generator)
        self.vectors.copy_(drawn)
        self.sums.copy_(drawn)
        self.counts.fill_(1.0)

    def nearest(self, points: Float[Tensor, "*batch dim"]) -> Int64[Tensor, "*batch"]:
        """The index of the vector at the least Euclidean distance; the first of equal ones."""
        return nearest(points, self.vectors)

    @torch.no_grad()
    def start(self, points: Float[Tensor, "point dim"], generator: Generator, num_uses: int) -> None:
        """Move the vectors to the centres of clusters of points; all of them together have `num_uses` per step."""
        centres, sizes = k_means(points, len(self.vectors), generator)
        self.counts.copy_((num_uses * sizes / len(points)).clamp(min=SMALLEST))
        self.vectors.copy_(centres)
        self.sums.copy_(centres * self.counts.unsqueeze(-1))

    @torch.no_grad()
    def update(
        self,
        points: Float[Tensor, "point dim"],
        rows: Rows | None,
        generator: Generator,
        decay: float,
        min_count: float,
    ) -> None:
        """Move averages and vectors by the points of a batch, or by those of one rank's rows of it.

        Codes with an average below `min_count` uses per batch are moved to random points of the batch. The generator
        needs the same state on every rank.
        """
        num_codes = len(self.vectors)
        chosen = self.nearest(points)
        is_counted = rows is None or rows.counts
        num_per_row = 1 if rows is None else len(points) // (rows.stop - rows.start)
        size = len(points) if rows is None else rows.size * num_per_row
        first = 0 if rows is None else rows.start * num_per_row
        statistics = torch.zeros(num_codes, 1 + points.shape[1], device=points.device, dtype=self.sums.dtype)
        if is_counted:
            statistics.index_add_(0, chosen, torch.cat([points.new_ones(len(points), 1), points], 1).to(self.sums))
        candidates = self._candidates(points, first, size, generator, is_counted)
        both = distributed.add_up(torch.stack([statistics, candidates])) if rows is not None else None
        if both is not None:
            statistics, candidates = both
        self.counts.mul_(decay).add_(statistics[:, 0], alpha=1 - decay)
        self.sums.mul_(decay).add_(statistics[:, 1:], alpha=1 - decay)
        moved = self.sums / self.counts.clamp(min=SMALLEST).unsqueeze(-1)
        self.vectors.copy_(torch.where((self.counts > SMALLEST).unsqueeze(-1), moved, self.vectors))
        self._revive(candidates[:, 1:], min_count, size)

    def _candidates(
        self, points: Float[Tensor, "point dim"], first: int, size: int, generator: Generator, is_counted: bool
    ) -> Float[Tensor, "code number"]:
        """A random point of the whole batch for each code; zeros for points of other ranks. The first column is 0."""
        num_codes = len(self.vectors)
        drawn = torch.randint(size, (num_codes,), generator=generator, device=generator.device).to(points.device)
        is_own = (drawn >= first) & (drawn < first + len(points)) & is_counted
        found = points[(drawn - first).clamp(0, len(points) - 1)].to(self.sums) * is_own.unsqueeze(-1)
        return torch.cat([found.new_zeros(num_codes, 1), found], 1)

    def _revive(self, candidates: Float[Tensor, "code dim"], min_count: float, size: int) -> None:
        """Move codes of too few uses to the candidates, as if each had been used as often as an average code."""
        is_dead = self.counts < min_count
        count = torch.full_like(self.counts, max(size / len(self.counts), min_count))
        self.counts.copy_(torch.where(is_dead, count, self.counts))
        self.vectors.copy_(torch.where(is_dead.unsqueeze(-1), candidates, self.vectors))
        self.sums.copy_(torch.where(is_dead.unsqueeze(-1), candidates * count.unsqueeze(-1), self.sums))


def nearest(points: Float[Tensor, "*batch dim"], vectors: Float[Tensor, "code dim"]) -> Int64[Tensor, "*batch"]:
    """The index of the nearest vector to each point; the squared length of a point is the same for all vectors."""
    flat = points.detach().reshape(-1, points.shape[-1]).to(vectors)
    half = 0.5 * vectors.square().sum(-1)
    if torch.compiler.is_compiling():  # an exported network accepts any number of points
        return torch.addmm(half, flat, vectors.T, alpha=-1).argmin(-1).reshape(points.shape[:-1])
    parts = flat.split(max(1, DISTANCES_AT_ONCE // len(vectors)))
    found = [torch.addmm(half, part, vectors.T, alpha=-1).argmin(-1) for part in parts]
    return torch.cat(found).reshape(points.shape[:-1])


def k_means(
    points: Float[Tensor, "point dim"], num_centres: int, generator: Generator
) -> tuple[Float[Tensor, "centre dim"], Float[Tensor, " centre"]]:
    """Centres of clusters and their sizes, from k-means++ starts.

    With fewer distinct points than centres, further centres are copies of random points, with size 0.
    """
    centres = points[_spread(points, num_centres, generator)].clone()
    sizes = points.new_zeros(num_centres)
    for _ in range(NUM_ITERATIONS):
        chosen = nearest(points, centres)
        sizes = torch.bincount(chosen, minlength=num_centres).to(points)
        sums = torch.zeros_like(centres).index_add_(0, chosen, points)
        has_points = (sizes > 0).unsqueeze(-1)
        centres = torch.where(has_points, sums / sizes.clamp(min=1).unsqueeze(-1), centres)
    return centres, sizes


def _spread(points: Float[Tensor, "point dim"], num: int, generator: Generator) -> Int64[Tensor, " centre"]:
    """Indices of points, each drawn with probability proportional to the squared distance from the earlier ones."""
    uniform = torch.rand(num, generator=generator, device=generator.device, dtype=torch.float64).to(points.device)
    index = (uniform[0] * len(points)).long()
    squared = (points - points[index]).double().square().sum(-1)
    found = [index]
    for number in uniform[1:]:
        total = squared.cumsum(0)
        is_spread = total[-1] > 0
        weights = torch.where(is_spread, total, torch.arange(1, len(points) + 1).to(total))
        # A point at distance 0 has an interval of length 0, which the search from the right skips.
        index = torch.searchsorted(weights, number * weights[-1], right=True).clamp(max=len(points) - 1)
        found.append(index)
        squared = torch.minimum(squared, (points - points[index]).double().square().sum(-1))
    return torch.stack(found)
