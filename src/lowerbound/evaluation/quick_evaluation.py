"""evaluate(): every metric of a model on its data, and the arrays behind the report's figures."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.data.batches import Batches, scaled
from lowerbound.data.sources import Examples, Splits
from lowerbound.evaluation import generation
from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.evaluation.bound_metrics import exact_quality, has_exact_evidence
from lowerbound.evaluation.diagnostics import grey_floor, z_free_distortion
from lowerbound.evaluation.feature_samples import element_arrays
from lowerbound.evaluation.results import ROWS, Results, Score, Scorer
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import estimate_terms
from lowerbound.probability.kl import elementwise_kl, has_closed_form_kl

BATCH_SIZE = 500
NUM_RECONSTRUCTIONS = 20
NUM_SAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a trained model is judged and shown."""

    num_draws: int = 16  # from the posterior, for each example
    # Numbers of test examples are the most that are taken: of fewer, all are. Each score says how many it is over.
    num_exact: int = 1000  # test examples whose log p(x) is integrated when training ends, for up to two latents
    # What follows is for a whole evaluation, which integrates all test examples.
    importance_draws: int = 5000  # of the tightest importance-weighted bound
    num_bounded: int = 100  # test examples that it is found for
    num_gaps: int = 100  # test examples whose inference gap is taken apart
    num_annealed: int = 0  # test examples whose log p(x) is estimated by annealing: seconds each, minutes for `conv`
    num_simulated: int = 16  # examples that the model draws, on which annealing is checked from both sides
    annealing: AnnealingConfig = field(default_factory=AnnealingConfig)
    manifold: Literal["quantile", "linear"] = "quantile"
    manifold_sizes: tuple[int, ...] = (15, 20)
    manifold_range: tuple[float, float, float, float] = (-2.0, 2.0, -2.0, 2.0)  # linear: z1 from, to, z2 from, to
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_draws < 1:
            raise ConfigError(f"evaluation.num_draws needs at least 1, got {self.num_draws}.")
        for key in ("num_exact", "importance_draws", "num_bounded", "num_gaps", "num_simulated"):
            if getattr(self, key) < 2:
                raise ConfigError(f"evaluation.{key} needs at least 2, got {getattr(self, key)}.")
        if not all(map(math.isfinite, self.manifold_range)):
            raise ConfigError(f"evaluation.manifold_range needs finite numbers, got {self.manifold_range}.")
        if self.num_annealed < 0:
            raise ConfigError(f"evaluation.num_annealed needs at least 0, got {self.num_annealed}.")
        if any(not 2 <= size <= 100 for size in self.manifold_sizes):
            raise ConfigError(f"evaluation.manifold_sizes needs sizes from 2 to 100, got {self.manifold_sizes}.")


@dataclass(frozen=True, eq=False)
class ExampleTerms:
    """Per-example means over draws, in nats, and the reconstruction's squared error."""

    distortion: Float[Tensor, " n"]
    rate: Float[Tensor, " n"]
    squared_error: Float[Tensor, " n"]  # of the decoded posterior mean, mean over elements
    num_values: Int64[Tensor, " n"]  # that are not missing

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        return -(self.distortion + self.rate)


@kept_memory()
def evaluate(model: VAE, splits: Splits, config: EvaluationConfig, device: torch.device | str = "cpu") -> Results:
    """Score a model on the test split and, for the generalisation gap, on as many training examples.

    This is the cheap evaluation that ends a training; `evaluate_full` adds the rest.
    """
    model.eval()
    convention = data_convention(model, splits)
    scores: list[Score] = []
    arrays = _figure_arrays(model, splits, config, device)
    train = splits.train.subset(np.arange(min(len(splits.train), len(splits.test))))
    for split, examples in (("test", splits.test), ("train", train)):
        terms = expected_terms(model, examples, config.num_draws, config.seed, device)
        scores += _bound_scores(model, terms, config.num_draws, Scorer(split, convention))
        if split == "test":
            arrays |= _per_image(model, terms)
            if has_exact_evidence(model):
                exact = exact_quality(model, examples, terms.elbo, config.num_exact, Scorer(split, convention), device)
                scores += exact.scores
                arrays |= exact.arrays
    scores += _reference_scores(model, splits, Scorer("test", convention), device)
    return Results(tuple(scores), arrays, context={})


def score_examples(
    model: VAE, examples: Examples, split: str, convention: str, num_draws: int = 16, seed: int = 0
) -> list[Score]:
    """The model's scores on given examples, such as new files, by the convention of its training data."""
    terms = expected_terms(model, examples, num_draws, seed)
    return list(_bound_scores(model, terms, num_draws, Scorer(split, convention)))


def data_convention(model: VAE, splits: Splits) -> str:
    """What log p(x|z) means for these data ("grey", "binary", "density"); DataError if they cannot be scored."""
    support = splits.train.support | splits.validation.support | splits.test.support
    # What is drawn anew on every pass is binary, whatever it is drawn from.
    support = replace(support, is_binary=support.is_binary or bool(splits.binarisation))
    convention = model.likelihood.convention(support)
    return splits.binarisation if convention == "binary" and splits.binarisation else convention


@torch.no_grad()
def expected_terms(
    model: VAE, examples: Examples, num_draws: int, seed: int, device: torch.device | str = "cpu"
) -> ExampleTerms:
    """Rate and distortion of each example, averaged over `num_draws` draws; the rate in closed form if it has one.

    Noise is keyed by the example's content: its numbers do not depend on the other examples.
    """
    distortions, rates, errors = [], [], []
    for x in Batches(examples, BATCH_SIZE, device):
        terms = estimate_terms(model, x, content_noise(x, seed, "evaluation"), num_draws)
        distortions.append(terms.distortion.to(x.dtype))
        rates.append(terms.rate.to(x.dtype))
        errors.append((model.reconstruct(x) - x).square().flatten(1).mean(1))
    num_values = torch.from_numpy(examples.num_known)
    return ExampleTerms(torch.cat(distortions).cpu(), torch.cat(rates).cpu(), torch.cat(errors).cpu(), num_values)


def _bound_scores(model: VAE, terms: ExampleTerms, num_draws: int, score: Scorer) -> Iterator[Score]:
    if model.is_deterministic:
        about = "−log p(x|z) at the code; no bound on log p(x)"
        yield score("reconstruction-error", terms.distortion, about, None)
    else:
        yield score("elbo", terms.elbo, "evidence lower bound; higher is better", num_draws)
        yield score("distortion", terms.distortion, "−E[log p(x|z)], the reconstruction term", num_draws)
        yield score("rate", terms.rate, "KL(q(z|x) ‖ p(z)), what the code costs", num_draws)
        yield from score.bits("bits-per-dimension", terms.elbo, terms.num_values, "−ELBO", num_draws)
    if score.convention not in ROWS:
        about = "squared error of the decoded posterior mean"
        yield score("squared-error", terms.squared_error, about, None, "per element")


def _reference_scores(model: VAE, splits: Splits, score: Scorer, device: torch.device | str) -> Iterator[Score]:
    about = "distortion of the best decoder that ignores z: one distribution for all, fitted to the training examples"
    yield score("z-free-distortion", z_free_distortion(model, splits.train, splits.test, device), about, None)
    if score.convention == "grey":
        about = "least distortion that grey pixels allow, their binary entropy"
        floor = [grey_floor(x).cpu() for x in Batches(splits.test, BATCH_SIZE, device)]
        yield score("grey-floor", torch.cat(floor), about, None)


@torch.no_grad()
def _figure_arrays(
    model: VAE, splits: Splits, config: EvaluationConfig, device: torch.device | str
) -> dict[str, np.ndarray]:
    posteriors = [model.encode(x) for x in Batches(splits.test, BATCH_SIZE, device)]
    arrays = {"latent_mean": torch.cat([posterior.mean for posterior in posteriors]).cpu().numpy()}
    if splits.test.labels is not None:
        arrays["labels"] = splits.test.labels
    if splits.test.layout == "image":
        arrays |= _image_arrays(model, splits.test, config, arrays["latent_mean"], device)
    else:
        arrays |= element_arrays(model, splits.test, generator(config.seed, "samples", device))
    prior = model.prior()
    if has_closed_form_kl(posteriors[0], prior):
        rates = torch.cat([elementwise_kl(posterior, prior) for posterior in posteriors])
        arrays["rate_per_dimension"] = rates.mean(0).cpu().numpy()
    return arrays


def _image_arrays(
    model: VAE,
    examples: Examples,
    config: EvaluationConfig,
    latent_mean: Float[np.ndarray, "n latent"],
    device: torch.device | str,
) -> dict[str, np.ndarray]:
    shown = scaled(examples.subset(np.arange(min(NUM_RECONSTRUCTIONS, len(examples))))).to(device)
    arrays = {
        "originals": generation.to_images(shown),
        "reconstructions": generation.to_images(model.reconstruct(shown)),
    }
    if model.is_deterministic:
        return arrays
    arrays["samples"] = generation.prior_samples(model, NUM_SAMPLES, config.seed)
    if model.latent_dim == 2:
        arrays |= _manifold_arrays(model, config)
    if model.latent_dim > 2:
        dimensions = generation.most_used_dimensions(latent_mean)
        start = torch.from_numpy(latent_mean[0]).to(device)
        arrays["traversals"] = generation.traversals(model, dimensions, start)
        arrays["traversal_dimensions"] = np.array(dimensions)
    return arrays


def _per_image(model: VAE, terms: ExampleTerms) -> dict[str, np.ndarray]:
    """What runs are compared by, example by example."""
    if model.is_deterministic:
        return {"reconstruction_error_per_image": terms.distortion.numpy()}
    return {"elbo_per_image": terms.elbo.numpy()}


def _manifold_arrays(model: VAE, config: EvaluationConfig) -> dict[str, np.ndarray]:
    arrays = {}
    for size in config.manifold_sizes:
        if config.manifold == "quantile":
            horizontal = vertical = generation.quantile_axis(model, size)
        else:
            left, right, bottom, top = config.manifold_range
            horizontal = np.linspace(left, right, size, dtype=np.float32)
            vertical = np.linspace(bottom, top, size, dtype=np.float32)
        arrays[f"manifold_{size}"] = generation.manifold(model, horizontal, vertical)
        arrays[f"manifold_{size}_axes"] = np.stack([horizontal, vertical])
    return arrays
