"""What a model of arrays or tables shows: the values of single elements, in the data and as the model draws them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

MAX_EXAMPLES = 1000
MAX_ELEMENTS = 12


@torch.no_grad()
def element_arrays(model: VAE, examples: Examples, generator: Generator) -> dict[str, np.ndarray]:
    """Values of the first elements: of examples, of what is reconstructed, and of examples that the model draws.

    A reconstruction is the mean of p(x|z), for a category its most probable code. What is drawn has the noise of the
    likelihood in it, so that it can be set beside the data.
    """
    device = next(model.parameters()).device
    chosen = shown_elements(examples)
    x = scaled(examples.subset(np.arange(min(MAX_EXAMPLES, len(examples))))).to(device)
    arrays = {"elements": _chosen(model, x, chosen), "elements_shown": chosen}
    reconstructed = model.decode(model.encode(x).mean)
    arrays["elements_reconstructed"] = _chosen(model, best_guess(model, reconstructed), chosen)
    if not model.is_deterministic:
        prior: Distribution = model.prior()
        z = prior.sample(generator, MAX_EXAMPLES)
        arrays["elements_drawn"] = _chosen(model, model.decode(z).sample(generator, 1)[0], chosen)
    return arrays


def shown_elements(examples: Examples) -> np.ndarray:
    """Positions in the flattened example: the first columns of a table, elements of an array evenly spaced."""
    total = int(np.prod(examples.event_shape))
    if examples.layout == "table" or total <= MAX_ELEMENTS:
        return np.arange(min(total, MAX_ELEMENTS))
    return np.linspace(0, total - 1, MAX_ELEMENTS).astype(np.int64)


def best_guess(model: VAE, likelihood: Distribution) -> Float[torch.Tensor, "*batch_and_event"]:
    """One value for each element: its mean, or the most probable code of a category."""
    mean = likelihood.mean
    if not model.columns:
        return mean  # the most probable levels of images are costly to find
    is_code = torch.tensor([bool(column.levels) for column in model.columns], device=mean.device)
    return torch.where(is_code, likelihood.mode, mean)


def _chosen(model: VAE, x: Float[torch.Tensor, "n *event"], elements: np.ndarray) -> Float[np.ndarray, "n element"]:
    """Some elements, those of a table in their columns' units."""
    values: np.ndarray = x.flatten(1)[:, elements].float().cpu().numpy()
    offset = np.array([column.offset for column in model.columns])
    return values + offset[elements] if offset.any() else values
