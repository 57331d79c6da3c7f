"""element_costs: the distortion of each example, element by element: what each pixel or cell adds to −ELBO.

All likelihoods have elements that are independent given z, so −E[log p(x|z)] is a sum over them.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.evaluation.expected_terms import BATCH_SIZE
from lowerbound.foundation.seeding import content_noise
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution, RescaledNormal
from lowerbound.probability.tables import TableRow


@torch.no_grad()
def element_costs(
    model: VAE, examples: Examples, num_draws: int, seed: int = 0, device: torch.device | str = "cpu"
) -> Float[np.ndarray, "n *event"] | None:
    """−E[log p(x_i|z)] of every element i in nats, over the draws of `expected_terms`; NaN for a missing cell.

    None for a likelihood of your own whose distribution has no elements (see `element_log_prob`).
    """
    costs = []
    is_checked = False  # of one draw: that the elements add up depends on the family
    for batch in Batches(examples, BATCH_SIZE, device):
        x, conditioned = batch.x, model.given(batch.context)
        total = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        for z in conditioned.encode(x).draw(content_noise(x, seed, "evaluation"), num_draws).value:
            decoded = conditioned.decode(z)
            found = _elements(decoded, x) if is_checked else element_log_prob(decoded, x)
            is_checked = True
            if found is None:
                return None
            total -= found / num_draws
        costs.append(torch.where(x.isnan(), torch.nan, total))
    together: np.ndarray = torch.cat(costs).cpu().numpy()
    return together


def element_log_prob(
    distribution: Distribution, x: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch *event"] | None:
    """The log-density of every element, in nats, whose sum over an event is `log_prob`; 0 for a missing cell.

    None for a distribution that cannot be taken apart.
    """
    found = _elements(distribution, x)
    if found is None or isinstance(distribution, TableRow):
        return found
    # A distribution of your own may mean something else by event_ndim.
    is_sum = found.shape == x.shape and torch.allclose(
        found.flatten(1).sum(1), distribution.log_prob(x).double(), rtol=1e-3, atol=1e-2
    )
    return found if is_sum else None


def _elements(distribution: Distribution, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "..."] | None:
    """The log-density of every element, as the distribution states it."""
    if isinstance(distribution, TableRow):
        return distribution.cell_log_prob(x)
    apart = _by_element(distribution)
    return None if apart is None else apart.log_prob(x).double()


def _by_element(distribution: Any) -> Distribution | None:
    """The same distribution with every element as an event of its own."""
    if isinstance(distribution, RescaledNormal):
        return replace(distribution, standardised=replace(distribution.standardised, event_ndim=0))
    if not is_dataclass(distribution) or "event_ndim" not in {field.name for field in fields(distribution)}:
        return None
    apart: Distribution = replace(distribution, event_ndim=0)  # type: ignore[type-var, assignment]
    return apart
