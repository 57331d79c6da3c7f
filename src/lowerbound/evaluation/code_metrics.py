"""Metrics of discrete codes: how many of them the test examples use, and how evenly."""

import torch

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation.expected_terms import BATCH_SIZE
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements
from lowerbound.models.code_use import CodeUse, codes_of, count_uses, no_uses
from lowerbound.models.vae import VAE


def why_no_codes(subject: Subject) -> str:
    """Why the use of codes is not measured; empty if it is."""
    return "" if codes_of(subject.model) else "needs discrete codes (posterior 'vq', 'residual-vq' or 'fsq')"


@torch.no_grad()
def measure_code_use(model: VAE, examples: Examples, device: torch.device | str = "cpu") -> CodeUse | None:
    """The use of codes by examples; None for a model without discrete codes."""
    posterior = codes_of(model)
    if posterior is None:
        return None
    uses = no_uses(posterior, device)
    for batch in Batches(examples, BATCH_SIZE, device):
        count_uses(uses, model.given(batch.context).encode(batch.x))
    return CodeUse.of(uses)


def code_metrics(subject: Subject) -> Measurements:
    """Share of the codes that test examples use, and the perplexity of their frequencies."""
    model, test = subject.model, subject.splits.test
    use, posterior, score = measure_code_use(model, test, subject.device), codes_of(model), subject.scorer()
    assert use is not None and posterior is not None
    books = posterior.space.num_codebooks
    which = f"{posterior.num_codes:,} codes" + (f" of each of {books} codebooks" if books > 1 else "")
    about = f"share of the {which} that any position of the test examples uses"
    shared = score.of("codes-used", use.share, None, about, len(test), None, "share")
    about = f"exp of the entropy of the frequencies of codes, of at most {posterior.num_codes:,}"
    return Measurements(
        (shared, score.of("code-perplexity", use.perplexity, None, about, len(test), None, "codes")), {}
    )
