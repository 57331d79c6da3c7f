"""Annealing metrics: lower bounds on log p(x) of test examples, and brackets for examples sampled from the model.

Test examples have no bracket: an upper bound needs an exact draw from p(z|x), which is only known for samples.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lowerbound.data.batches import Batch, one_batch
from lowerbound.evaluation.annealing import AnnealedEvidence, AnnealingConfig, anneal
from lowerbound.evaluation.bidirectional import EvidenceBracket, bidirectional
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements, Score, Scorer
from lowerbound.foundation.schema import Support
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE

MAX_CHAINS = 512
"""Chains per batch, over all its examples: bounds the decoded examples and gradients in memory."""


def annealing_metrics(subject: Subject) -> Measurements:
    """Annealed evidence of the first test examples and, where the exact one is known for all of them, its error.

    With a `checkpoints` folder the state is saved regularly, and annealing continues from files found there.
    """
    config, test, score = subject.config.annealing, subject.splits.test, subject.scorer()
    log_evidence = subject.array("log_evidence_per_image")
    examples = test.first(subject.config.num_annealed)
    found = list(_annealed(subject, one_batch(examples).to(subject.device)))
    annealed = torch.cat([part.log_evidence for part in found]).cpu()
    size = torch.cat([part.effective_sample_size for part in found]).median()
    about = f"log p(x) by {describe_annealing(config)}; at most log p(x) in expectation"
    estimate = score("annealed-evidence", annealed, about, config.num_chains)
    scores = [replace(estimate, effective_sample_size=float(size))]
    if log_evidence is not None and len(log_evidence) >= len(annealed):
        missing = log_evidence[: len(annealed)].cpu() - annealed
        about = "exact log p(x) minus the annealed estimate, for the same examples"
        scores.append(score("annealing-error", missing, about, config.num_chains))
    return Measurements(tuple(scores), {"annealed_evidence_per_image": annealed.float().numpy()})


def bracket_metrics(subject: Subject) -> Measurements:
    """Lower and upper bounds on log p(x) of examples sampled from the model, and the width of the bracket."""
    model, config = subject.model, subject.config.annealing
    stream = generator(subject.config.seed, "annealing/simulated", subject.device)
    progress = partial(subject.progress, "annealing simulated examples")
    if model.takes_context:  # of test examples, one after another
        known = one_batch(subject.splits.test.first(subject.config.num_simulated)).to(subject.device).context
        assert known is not None
        model = model.given(known[torch.arange(subject.config.num_simulated) % len(known)])
    bracket = bidirectional(model, subject.config.num_simulated, config, stream, progress)
    scores = tuple(_bracket_scores(bracket, Scorer("simulated", _convention(model, bracket.x)), config))
    return Measurements(scores, {"annealing_bracket_per_image": bracket.gap.float().cpu().numpy()})


def describe_annealing(config: AnnealingConfig) -> str:
    """The settings of annealing as text, for descriptions of scores."""
    return (
        f"annealing over {config.num_temperatures:,} temperatures of {config.num_leapfrog} leapfrog steps in "
        f"{config.num_chains} chains"
    )


def _annealed(subject: Subject, examples: Batch) -> Iterator[AnnealedEvidence]:
    """Anneal the examples in batches, each with its own random stream and checkpoint."""
    config, checkpoints = subject.config.annealing, subject.checkpoints
    batch_size = max(1, MAX_CHAINS // config.num_chains)
    total = len(examples.x) * config.num_temperatures
    for start, part in zip(range(0, len(examples.x), batch_size), examples.split(batch_size), strict=True):
        batch, model = part.x, subject.model.given(part.context)
        stream = generator(subject.config.seed, f"annealing/{start}", batch.device)
        checkpoint = None if checkpoints is None else checkpoints / f"images-from-{start}.safetensors"
        for state in anneal(model, batch, config, stream, checkpoint=checkpoint):
            if state.stage == "weighted":
                done = start * config.num_temperatures + len(batch) * state.temperature
                subject.progress("annealing test examples", done, total)
        assert state.evidence is not None
        yield state.evidence


def _bracket_scores(bracket: EvidenceBracket, score: Scorer, config: AnnealingConfig) -> Iterator[Score]:
    about = f"for examples sampled from the model, {describe_annealing(config)}: at most log p(x) in expectation"
    yield score("annealed-lower-bound", bracket.lower.cpu(), about, config.num_chains)
    about = "the same, run backwards from the latent that generated the example: at least log p(x) in expectation"
    yield score("annealed-upper-bound", bracket.upper.cpu(), about, config.num_chains)
    about = "upper minus lower bound: in expectation, the error of either is at most this"
    yield score("annealing-bracket", bracket.gap.cpu(), about, config.num_chains)


def _convention(model: VAE, x: Tensor) -> str:
    # Samples lie in the likelihood's support, so only their range has to be found.
    return model.likelihood.convention(
        Support(
            float(x.min()),
            float(x.max()),
            num_levels=getattr(model.likelihood, "num_levels", 0),
            is_binary=bool(((x == 0) | (x == 1)).all()),
            is_integer=bool((x == x.round()).all()),
        )
    )
