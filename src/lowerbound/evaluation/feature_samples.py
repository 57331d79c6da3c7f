"""Feature samples: values of single columns or elements, in data, reconstructions and samples, for figures."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator

from lowerbound.data.batches import one_batch
from lowerbound.data.sources import Examples
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

MAX_EXAMPLES = 1000
MAX_ELEMENTS = 12


@torch.no_grad()
def element_arrays(model: VAE, examples: Examples, generator: Generator) -> dict[str, np.ndarray]:
    """Values of the shown elements in examples, reconstructions and samples of the model.

    A reconstruction is the mean of p(x|z), or the most probable code of a category. Samples include the noise of the
    likelihood, so that their distribution is comparable with that of the data.
    """
    device = next(model.parameters()).device
    chosen = shown_elements(examples)
    shown = one_batch(examples.first(MAX_EXAMPLES)).to(device)
    x, model = shown.x, model.given(shown.context)
    arrays = {"elements": _chosen(model, x, chosen), "elements_shown": chosen}
    reconstructed = model.decode(model.encode(x).centre)
    arrays["elements_reconstructed"] = _chosen(model, best_guess(model, reconstructed), chosen)
    if model.has_prior:
        if model.takes_context:  # as many as there are examples, with their contexts
            z = model.sample_prior(len(x), generator)
        else:
            prior: Distribution = model.prior()
            z = prior.sample(generator, MAX_EXAMPLES)
        arrays["elements_drawn"] = _chosen(model, model.decode(z).sample(generator, 1)[0], chosen)
    return arrays


def shown_elements(examples: Examples) -> np.ndarray:
    """Positions of the shown elements in a flattened example: first columns of a table, evenly spaced in an array."""
    total = int(np.prod(examples.event_shape))
    if examples.layout == "table" or total <= MAX_ELEMENTS:
        return np.arange(min(total, MAX_ELEMENTS))
    return np.linspace(0, total - 1, MAX_ELEMENTS).astype(np.int64)


def best_guess(model: VAE, likelihood: Distribution) -> Float[torch.Tensor, "*batch_and_event"]:
    """One value for each element: its mean, or the most probable code of a category."""
    mean = likelihood.mean
    if not model.columns:
        return mean  # the modes of images are slow to compute
    is_code = torch.tensor([bool(column.levels) for column in model.columns], device=mean.device)
    return torch.where(is_code, likelihood.mode, mean)


def _chosen(model: VAE, x: Float[torch.Tensor, "n *event"], elements: np.ndarray) -> Float[np.ndarray, "n element"]:
    """The chosen elements, in the units of their columns if the data are a table."""
    values: np.ndarray = x.flatten(1)[:, elements].float().cpu().numpy()
    offset = np.array([column.offset for column in model.columns])
    return values + offset[elements] if offset.any() else values
