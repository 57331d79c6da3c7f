"""Exact log p(x) of models with few discrete codes, by enumeration of all of them.

    log p(x) = log Σ_c p(x|c) p(c)

Codes are those of vector or finite scalar quantisation, or one-hot codes.
"""

import math

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation.metrics import Subject, first_reason, needs_decoded_latents
from lowerbound.evaluation.results import Measurements
from lowerbound.foundation.errors import ConfigError
from lowerbound.models.code_use import codes_of
from lowerbound.models.vae import VAE
from lowerbound.probability.codes import CodeDistribution
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.spaces import OneHot

MOST_CODES = 4096
"""Codes that are decoded for every example."""

BATCH_SIZE = 1000
CHUNK = 256  # of codes


def sizes_of(model: VAE) -> tuple[int, int] | None:
    """Values of an index, and number of indices, of a model's codes; None if its latents are not discrete."""
    posterior = codes_of(model)
    if posterior is not None:
        return posterior.num_codes, posterior.num_indices
    if isinstance(model.space, OneHot):
        return model.space.num_categories, model.latent_dim // model.space.num_categories
    return None


def why_not_enumerated(model: VAE) -> str:
    """Why the codes of a model are not enumerated; empty if they are."""
    sizes = sizes_of(model)
    if sizes is None:
        return "needs discrete codes"
    values, number = sizes
    if number * math.log(values) > math.log(MOST_CODES) + 1e-9:
        return f"needs at most {MOST_CODES:,} codes, but the model has {values:,}^{number}"
    return ""


@torch.no_grad()
def enumerated_evidence(
    model: VAE, examples: Examples, device: torch.device | str = "cpu"
) -> Float64[Tensor, " example"]:
    """log p(x) of each example, in nats; ConfigError for a model whose codes cannot be enumerated."""
    if reason := why_not_enumerated(model):
        raise ConfigError(f"enumeration {reason}; use importance-weighted bounds.")
    z, log_prior = _all_codes(model)
    parts = []
    for batch in Batches(examples, BATCH_SIZE, device):
        tables = [model.decode(part).log_prob_table(batch.x) for part in z.split(CHUNK)]
        parts.append((torch.cat(tables, 1).double() + log_prior).logsumexp(1).cpu())
    return torch.cat(parts)


def _all_codes(model: VAE) -> tuple[Float[Tensor, "code latent"], Float64[Tensor, " code"]]:
    """The latents of all codes, and log p(c)."""
    sizes, posterior = sizes_of(model), codes_of(model)
    assert sizes is not None
    indices = _all_indices(*sizes)
    like = next(model.parameters())
    prior: Distribution = model.prior()
    if posterior is not None:
        assert isinstance(prior, CodeDistribution)
        indices = indices.to(like.device)
        return posterior.vectors_of(indices).to(like), prior.log_prob_of_indices(indices)
    z = torch.nn.functional.one_hot(indices, sizes[0]).flatten(1).to(like)
    return z, prior.log_prob(z).double()


def _all_indices(values: int, number: int) -> Int64[Tensor, "code index"]:
    return torch.cartesian_prod(*[torch.arange(values)] * number).reshape(-1, number)


why_no_enumeration = first_reason(
    lambda subject: "needs discrete codes" if sizes_of(subject.model) is None else "",
    needs_decoded_latents,
    lambda subject: why_not_enumerated(subject.model),
)


def enumeration_metrics(subject: Subject) -> Measurements:
    """Exact log p(x) of the first test examples, and the gap between it and their ELBO."""
    examples, score = subject.splits.test.first(subject.config.num_exact), subject.scorer()
    found = enumerated_evidence(subject.model, examples, subject.device)
    gap = found - torch.from_numpy(subject.known.arrays["elbo_per_image"])[: len(found)].double()
    is_grey = score.convention == "grey"
    about = "log p(x), the sum over all codes" + (", of grey pixels: not comparable with binarised data" * is_grey)
    scores = [
        score("grey-evidence" if is_grey else "log-evidence", found, about, None),
        score("evidence-gap", gap, "log p(x) minus the ELBO of the same examples: KL(q(z|x) ‖ p(z|x))", None),
        *score.bits("evidence-bits", found, torch.from_numpy(examples.num_known), "−log2 p(x)", None),
    ]
    return Measurements(tuple(scores), {"log_evidence_per_image": found.numpy()})
