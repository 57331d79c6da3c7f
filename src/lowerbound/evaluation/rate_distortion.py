"""The rate-distortion plane: which models are on the frontier of those that were trained.

Source: Alemi et al., "Fixing a Broken ELBO", arXiv:1711.00464, section 3: minus the ELBO is rate plus distortion, and
objectives with another weight β of the rate reach other points of the plane.
"""

from collections.abc import Sequence
from typing import NamedTuple


class RatePoint(NamedTuple):
    """A model in the plane; nats per example."""

    rate: float
    distortion: float


def pareto_set(points: Sequence[RatePoint]) -> list[int]:
    """Indices of the points that no other point beats, by increasing rate.

    A point beats another if neither its rate nor its distortion is higher, and one of them is lower.
    """
    order = sorted(range(len(points)), key=lambda index: points[index])
    kept: list[int] = []
    for index in order:
        if not kept or points[index].distortion < points[kept[-1]].distortion or points[index] == points[kept[-1]]:
            kept.append(index)
    return kept


def lower_hull(points: Sequence[RatePoint]) -> list[int]:
    """Indices of the points that minimise distortion + β rate for some β >= 0, by increasing rate: the corners of the
    lower convex hull of the Pareto set.

    Source: Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979.
    """
    hull: list[int] = []
    for index in pareto_set(points):
        while len(hull) > 1 and not _turns_left(*(points[corner] for corner in (*hull[-2:], index))):
            hull.pop()
        if not hull or points[hull[-1]] != points[index]:
            hull.append(index)
    return hull


def _turns_left(first: RatePoint, second: RatePoint, third: RatePoint) -> bool:
    """Whether the second point lies below the line from the first to the third."""
    rise = (second.distortion - first.distortion) * (third.rate - first.rate)
    return rise < (third.distortion - first.distortion) * (second.rate - first.rate)
