"""Reference levels for the distortion: the best decoder that ignores z, and the entropy of grey pixels."""

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import Batches, deviation_of, mean_of
from lowerbound.data.sources import Examples
from lowerbound.models.vae import VAE
from lowerbound.probability.z_free_fit import FitData, z_free_fit

BATCH_SIZE = 500
MAX_FITTED = 100_000


def grey_floor(x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
    """Lower bound on the distortion of grey pixels under a Bernoulli likelihood: their binary entropy, in nats."""
    return (torch.special.entr(x) + torch.special.entr(1 - x)).flatten(1).sum(1)


@torch.no_grad()
def z_free_distortion(
    model: VAE, train: Examples, examples: Examples, device: torch.device | str = "cpu"
) -> Float[Tensor, " n"]:
    """Distortion of each example, in nats, under the best decoder that ignores z: one distribution of the likelihood's
    family for all examples, fitted to the training examples, at most MAX_FITTED of them.
    """
    train = train.head(MAX_FITTED)
    batches = Batches(train, BATCH_SIZE, device).examples
    fit = z_free_fit(
        model.likelihood, FitData(mean_of(train).to(device), lambda: deviation_of(train).to(device), batches)
    )
    return torch.cat([-fit.log_prob(x).cpu() for x in Batches(examples, BATCH_SIZE, device).examples])
