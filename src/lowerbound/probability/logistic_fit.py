"""fit_logistics: fits discretised logistic mixtures to histograms by Newton steps and EM, per element.

In a = 1 / scale and b = location / scale the log-probability of an interval under one logistic is concave (Pratt,
"Concavity of the Log Likelihood", 1981), so that Newton's method finds its only maximum. Mixtures are fitted by
expectation maximisation, with a Newton step for each component as the M step, from three starting points, of which the
best is used for each element: a good fit, although the global optimum is not guaranteed.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

NUM_STEPS = 60
"""Newton steps for a single logistic; rounds of expectation maximisation for a mixture, from the best start."""

NUM_FIRST_STEPS = 15
"""Rounds after which the best starting point of each element is selected."""

LOCATION_RANGE = (-3.0, 4.0)
"""Bounds of locations, in units where levels run from 0 to 1; outside, all levels would be in the exponential tail."""

HALVINGS = 12
"""Maximum number of halvings of a Newton step that does not increase the likelihood, before it is skipped."""

VALUES_AT_ONCE = 2**19
"""Levels times elements times components processed at once: 4 MiB for each of about ten arrays."""

LEAST_WEIGHT = 1e-8


@dataclass(frozen=True, eq=False)
class Logistics:
    """Parameters of the components, for each element."""

    weight: Float[Tensor, "component element"]  # sums to one
    location: Float[Tensor, "component element"]  # in units where levels run from 0 to 1
    scale: Float[Tensor, "component element"]


def fit_logistics(
    counts: Float[Tensor, "level element"], num_components: int, least_scale: float, greatest_scale: float
) -> Logistics:
    """The maximum-likelihood mixture of each element, given the counts of its levels.

    Scales are in units where levels run from 0 to 1.
    """
    at_once = max(1, VALUES_AT_ONCE // (len(counts) * num_components))
    bounds = 1 / greatest_scale, 1 / least_scale
    parts = [_fitted(part, num_components, bounds) for part in counts.split(at_once, dim=1)]
    weight, a, b = (torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))
    return Logistics(weight, b / a, 1 / a)


Parameters = tuple[Tensor, Tensor, Tensor]
"""Weights, a and b, each [component, element]."""


def _fitted(counts: Float[Tensor, "level element"], num_components: int, bounds: tuple[float, float]) -> Parameters:
    levels = torch.linspace(0, 1, len(counts), dtype=counts.dtype, device=counts.device)
    starts = [_from(*start, bounds) for start in _starts(counts, levels, num_components)]
    if len(starts) > 1:
        found = [_expectation_maximisation(counts, levels, start, bounds, NUM_FIRST_STEPS) for start in starts]
        starts = [_best(counts, levels, found)]
    return _expectation_maximisation(counts, levels, starts[0], bounds, NUM_STEPS)


def _from(
    location: Float[Tensor, "component element"], scale: Float[Tensor, "component element"], bounds: tuple[float, float]
) -> Parameters:
    a = (1 / scale).clamp(*bounds)
    return torch.full_like(location, 1 / len(location)), a, location * a


def _best(
    counts: Float[Tensor, "level element"], levels: Float[Tensor, " level"], found: list[Parameters]
) -> Parameters:
    """For each element the parameters with the highest likelihood."""
    best = torch.stack([_log_likelihood(counts, levels, parameters) for parameters in found]).argmax(0)
    weight, a, b = (
        torch.stack(columns).gather(0, best.expand(1, len(columns[0]), -1)).squeeze(0)
        for columns in zip(*found, strict=True)
    )
    return weight, a, b


def _starts(
    counts: Float[Tensor, "level element"], levels: Float[Tensor, " level"], num_components: int
) -> list[tuple[Float[Tensor, "component element"], Float[Tensor, "component element"]]]:
    """Starting locations and scales: at quantiles, evenly spaced over the range, and with one on the mode."""
    share = counts / counts.sum(0).clamp(min=1)
    mean = levels @ share
    deviation = ((levels**2) @ share - mean**2).clamp(min=0).sqrt().clamp(min=1 / len(levels))
    scale = deviation * math.sqrt(3) / math.pi / num_components
    if num_components == 1:
        return [(mean.unsqueeze(0), scale.unsqueeze(0))]
    middles = ((torch.arange(num_components).to(levels) + 0.5) / num_components).unsqueeze(1)
    below = (share.cumsum(0).unsqueeze(0) < middles.unsqueeze(1)).sum(1)
    # Offset, because equal components would stay equal.
    quantiles = levels[below.clamp(max=len(levels) - 1)] + scale * (middles - 0.5)
    present = share > 0
    low, high = levels[present.int().argmax(0)], levels[len(levels) - 1 - present.flip(0).int().argmax(0)]
    evenly = torch.linspace(0, 1, num_components).to(levels).unsqueeze(1)
    # A component on the most frequent level: many images have spikes at black and white.
    on_mode = torch.cat([levels[share.argmax(0)].unsqueeze(0), quantiles[1:]])
    narrow = torch.full_like(scale, 0.3 / len(levels))
    return [
        (quantiles, scale.expand_as(quantiles)),
        (low + (high - low) * evenly, scale.expand_as(quantiles)),
        (on_mode, torch.cat([narrow.unsqueeze(0), scale.expand_as(quantiles[1:])])),
    ]


def _expectation_maximisation(
    counts: Float[Tensor, "level element"],
    levels: Float[Tensor, " level"],
    start: Parameters,
    bounds: tuple[float, float],
    num_steps: int,
) -> Parameters:
    """Expectation maximisation, which is Newton's method for one component."""
    weight, a, b = start
    for _ in range(num_steps):
        log_joint = weight.log().unsqueeze(1) + _log_probability(levels, a, b)
        share = counts * torch.softmax(log_joint, dim=0)
        total = share.sum(1)
        weight = (total / total.sum(0).clamp(min=1)).clamp(min=LEAST_WEIGHT)
        weight = weight / weight.sum(0)
        a, b = _newton_step(share, levels, a, b, bounds)
    return weight, a, b


def _newton_step(
    share: Float[Tensor, "component level element"],
    levels: Float[Tensor, " level"],
    a: Float[Tensor, "component element"],
    b: Float[Tensor, "component element"],
    bounds: tuple[float, float],
) -> tuple[Float[Tensor, "component element"], Float[Tensor, "component element"]]:
    """a and b with a higher weighted log-likelihood, or the old ones if none is found; both within their ranges."""
    step_a, step_b = _newton_direction(share, levels, a, b, bounds)
    before = (share * _log_probability(levels, a, b)).sum(1)
    length, is_found = torch.ones_like(a), torch.zeros_like(a, dtype=torch.bool)
    new_a, new_b = a, b
    for _ in range(HALVINGS):
        moved_a = (a + length * step_a).clamp(*bounds)
        moved_b = (b + length * step_b).clamp(LOCATION_RANGE[0] * moved_a, LOCATION_RANGE[1] * moved_a)
        is_better = ~is_found & ((share * _log_probability(levels, moved_a, moved_b)).sum(1) > before)
        new_a, new_b = torch.where(is_better, moved_a, new_a), torch.where(is_better, moved_b, new_b)
        is_found |= is_better
        if bool(is_found.all()):
            break
        length = length / 2
    return new_a, new_b


def _newton_direction(
    share: Float[Tensor, "component level element"],
    levels: Float[Tensor, " level"],
    a: Float[Tensor, "component element"],
    b: Float[Tensor, "component element"],
    bounds: tuple[float, float],
) -> tuple[Float[Tensor, "component element"], Float[Tensor, "component element"]]:
    half = 0.5 / (len(levels) - 1)
    level = levels.unsqueeze(1)
    upper, lower = level + half, level - half
    is_last, is_first = level == 1, level == 0
    above = (a.unsqueeze(1) * upper - b.unsqueeze(1)).masked_fill(is_last, math.inf)
    below = (a.unsqueeze(1) * lower - b.unsqueeze(1)).masked_fill(is_first, -math.inf)
    slope_above, slope_below = torch.sigmoid(-above), torch.sigmoid(below)
    bend_above, bend_below = slope_above * torch.sigmoid(above), slope_below * torch.sigmoid(-below)
    width = 2 * half * a
    inner = share[:, 1:-1].sum(1)
    gradient_a = (share * (slope_above * upper - slope_below * lower)).sum(1) + inner * 2 * half / torch.expm1(width)
    gradient_b = (share * (slope_below - slope_above)).sum(1)
    bend = inner * (2 * half) ** 2 / (4 * torch.sinh((width / 2).clamp(max=300.0)) ** 2)
    curvature_aa = (share * (bend_above * upper**2 + bend_below * lower**2)).sum(1) + bend
    curvature_ab = -(share * (bend_above * upper + bend_below * lower)).sum(1)
    curvature_bb = (share * (bend_above + bend_below)).sum(1)
    # If a is at a bound and its gradient points outwards, only b moves.
    is_held = ((a <= bounds[0]) & (gradient_a < 0)) | ((a >= bounds[1]) & (gradient_a > 0))
    ridge = 1e-12 * (curvature_aa + curvature_bb) + 1e-300
    determinant = (curvature_aa + ridge) * (curvature_bb + ridge) - curvature_ab**2
    step_a = ((curvature_bb + ridge) * gradient_a - curvature_ab * gradient_b) / determinant
    step_b = ((curvature_aa + ridge) * gradient_b - curvature_ab * gradient_a) / determinant
    alone = gradient_b / (curvature_bb + ridge)
    step_a, step_b = torch.where(is_held, 0.0, step_a), torch.where(is_held, alone, step_b)
    return step_a.nan_to_num(0.0, 0.0, 0.0), step_b.nan_to_num(0.0, 0.0, 0.0)


def _log_probability(
    levels: Float[Tensor, " level"], a: Float[Tensor, "component element"], b: Float[Tensor, "component element"]
) -> Float[Tensor, "component level element"]:
    """Log-probability of each level under each component, as in `DiscretizedLogistics`."""
    half = 0.5 / (len(levels) - 1)
    centred = a.unsqueeze(1) * levels.unsqueeze(1) - b.unsqueeze(1)
    width = a.unsqueeze(1) * half
    below, above = F.logsigmoid(centred + width), F.logsigmoid(width - centred)
    between = torch.log(-torch.expm1(-2 * width)).expand_as(below)
    below[:, -1], above[:, 0] = 0.0, 0.0
    total = below + above
    total[:, 1:-1] += between[:, 1:-1]
    return total


def _log_likelihood(
    counts: Float[Tensor, "level element"], levels: Float[Tensor, " level"], parameters: Parameters
) -> Float[Tensor, " element"]:
    weight, a, b = parameters
    log_probability = (weight.log().unsqueeze(1) + _log_probability(levels, a, b)).logsumexp(0)
    return (counts * log_probability).sum(0)
