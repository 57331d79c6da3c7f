"""Arrays for the report's figures: codes, reconstructions, samples, manifold, traversals, rates, prior contour."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.batches import Batches, context_of_all, one_batch
from lowerbound.data.sources import Examples
from lowerbound.evaluation import generation
from lowerbound.evaluation.feature_samples import element_arrays
from lowerbound.evaluation.latent_geometry import chart_of
from lowerbound.evaluation.metrics import (
    Metric,
    Subject,
    first_reason,
    needs_a_density,
    needs_a_prior,
    needs_an_unconditional_model,
    needs_latents,
    needs_real_latents,
)
from lowerbound.evaluation.prior_shape import contour_arrays, density_contours, marginal_of
from lowerbound.evaluation.results import Measurements
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.kl import elementwise_kl, has_elementwise_kl
from lowerbound.probability.spaces import CodeVectors, OneHot, Simplex, Sphere

BATCH_SIZE = 500
NUM_RECONSTRUCTIONS = 20
NUM_SAMPLES = 100
SAMPLES_PER_ROW = 10  # of the figure
NUM_RECODED = 8
MAX_LEVELS = 12

MAX_OF_ALL_SPLITS = 5_000
"""Examples up to which the figure of the latent space shows all splits."""


@torch.no_grad()
def codes(subject: Subject) -> Measurements:
    """Centres of the posteriors of the test examples, their labels, and their coordinates in the space's chart; where
    there are few examples, those of the other splits as well.
    """
    splits = subject.splits
    arrays = _codes_of(subject, splits.test, "")
    if isinstance(subject.model.space, OneHot):
        shares = arrays["latent_mean"].mean(0).reshape(-1, subject.model.space.num_categories)
        arrays["category_shares"] = shares
    others = {"train": splits.train, "validation": splits.validation}
    are_alike = len({part.labels is None for part in (splits.test, *others.values())}) == 1
    if are_alike and len(splits.test) + sum(map(len, others.values())) <= MAX_OF_ALL_SPLITS:
        for split, examples in others.items():
            arrays |= _codes_of(subject, examples, f"_{split}")
    return Measurements((), arrays)


def _codes_of(subject: Subject, examples: Examples, suffix: str) -> dict[str, np.ndarray]:
    centres = [subject.encode(batch).centre for batch in Batches(examples, BATCH_SIZE, subject.device)]
    centre = torch.cat(centres).cpu()
    arrays = {"latent_mean": centre.numpy()}
    if chart := chart_of(subject.model):
        arrays[chart.name] = chart.coordinates(centre).numpy()
    if examples.labels is not None:
        arrays["labels"] = np.asarray(examples.labels)
    return {f"{name}{suffix}": array for name, array in arrays.items()}


@torch.no_grad()
def reconstructions(subject: Subject) -> Measurements:
    """Test images and their reconstructions."""
    test = subject.splits.test
    shown = one_batch(test.first(NUM_RECONSTRUCTIONS)).to(subject.device)
    reconstructed = subject.model.given(shown.context).reconstruct(shown.x)
    images = {"originals": shown.x, "reconstructions": reconstructed}
    return Measurements((), {name: generation.to_images(x) for name, x in images.items()})


@torch.no_grad()
def features(subject: Subject) -> Measurements:
    """Values of single features of arrays and tables, in the data and in samples."""
    stream = generator(subject.config.seed, "samples", subject.device)
    return Measurements((), element_arrays(subject.model, subject.splits.test, stream))


def samples(subject: Subject) -> Measurements:
    """Decoded draws from the prior."""
    images = generation.prior_samples(model_of_samples(subject, NUM_SAMPLES), NUM_SAMPLES, subject.config.seed)
    return Measurements((), {"samples": images})


def model_of_samples(subject: Subject, num: int) -> VAE:
    """The model, if it is conditional with contexts of `num` samples: in columns for the levels of a single condition,
    else those of test examples."""
    return subject.model.given(_contexts_of_samples(subject, num)) if subject.model.takes_context else subject.model


def _contexts_of_samples(subject: Subject, num: int) -> Tensor | None:
    conditions = subject.model.conditions
    columns = SAMPLES_PER_ROW
    if len(conditions) == 1 and 1 < conditions[0].num_levels <= columns:
        places = torch.arange(columns) * conditions[0].num_levels // columns
        return places[torch.arange(num) % columns].to(subject.device)
    known = context_of_all(subject.splits.test.first(num), subject.device)
    return None if known is None else known[torch.arange(num) % len(known)]


@torch.no_grad()
def conditions(subject: Subject) -> Measurements:
    """The codes of test images, decoded with each level of a condition in place of their own."""
    model, which = subject.model, _shown_condition(subject)
    assert which is not None
    num_levels = min(MAX_LEVELS, model.conditions[which].num_levels)
    shown = one_batch(subject.splits.test.first(NUM_RECODED)).to(subject.device)
    assert shown.context is not None
    context = shown.context.reshape(len(shown.x), -1).float()
    centre = model.given(context).encode(shown.x).centre
    rows = []
    for code, own in zip(centre, context, strict=True):
        every = own.repeat(num_levels, 1)
        every[:, which] = torch.arange(num_levels).to(every)
        rows.append(model.given(every).decode(code.expand(num_levels, -1)).mean)
    arrays = {"recoded_originals": generation.to_images(shown.x), "recoded": generation.to_images(torch.cat(rows))}
    return Measurements((), arrays)


def _shown_condition(subject: Subject) -> int | None:
    """The first condition with levels."""
    return next((index for index, column in enumerate(subject.model.conditions) if column.num_levels > 1), None)


def _needs_levels(subject: Subject) -> str:
    """Why codes are not decoded with every level of a condition; empty if they are."""
    return "the model is given no condition that has levels" if _shown_condition(subject) is None else ""


def manifold(subject: Subject) -> Measurements:
    """Decoded means on grids over two latents, or over the chart of a space of two dimensions."""
    arrays = {}
    for size in subject.config.manifold_sizes:
        axes = manifold_axes(subject, size)
        arrays[f"manifold_{size}"] = generation.manifold(subject.model, *axes)
        arrays[f"manifold_{size}_axes"] = axes
    return Measurements((), arrays)


def manifold_axes(subject: Subject, size: int) -> Float[np.ndarray, "2 size"]:
    """The coordinates of a grid's columns and rows: of the chart, quantiles of the prior, or evenly spaced."""
    config, chart = subject.config, chart_of(subject.model)
    if chart is not None:
        return np.asarray(chart.axes(size), dtype=np.float32)
    if config.manifold == "quantile":
        return generation.quantile_axes(subject.model, size).T
    left, right, bottom, top = config.manifold_range
    return np.stack([np.linspace(left, right, size), np.linspace(bottom, top, size)]).astype(np.float32)


def traversals(subject: Subject) -> Measurements:
    """Traversals: one latent varied at a time, for the most used latents; all categories of groups of codes."""
    latent_mean, space = subject.known.arrays["latent_mean"], subject.model.space
    start = torch.from_numpy(latent_mean[0]).to(subject.device)
    if isinstance(space, OneHot):
        groups = list(range(min(generation.MAX_TRAVERSALS, len(start) // space.num_categories)))
        return Measurements((), {"code_means": generation.code_means(subject.model, groups, start)})
    dimensions = generation.most_used_dimensions(latent_mean)
    images = generation.traversals(subject.model, dimensions, start)
    name = "mixtures" if isinstance(space, Simplex) else "traversals"
    return Measurements((), {name: images, "traversal_dimensions": np.array(dimensions)})


@torch.no_grad()
def rate_per_latent(subject: Subject) -> Measurements:
    """Mean over the test examples of KL(q(z_j|x) || p(z_j)) for each latent j."""
    rates = []
    for batch in Batches(subject.splits.test, BATCH_SIZE, subject.device):
        conditioned = subject.model.given(batch.context)
        rates.append(elementwise_kl(conditioned.encode(batch.x), conditioned.prior()))
    return Measurements((), {"rate_per_dimension": torch.cat(rates).mean(0).cpu().numpy()})


def prior_contour(subject: Subject) -> Measurements:
    """The region that contains 95 % of the prior, in the plane of the two most used latents."""
    contours = density_contours(subject.model.prior, shown_pair(subject))
    assert contours is not None  # checked by _needs_a_marginal
    return Measurements((), contour_arrays(contours[0]))


def shown_pair(subject: Subject) -> tuple[int, ...]:
    """The two latents that the report's scatter shows."""
    if subject.model.latent_dim == 2:
        return 0, 1
    return tuple(generation.most_used_dimensions(subject.known.arrays["latent_mean"])[:2])


def _needs_images(subject: Subject) -> str:
    return "" if subject.splits.test.layout == "image" else "the data are not images"


def _needs_features(subject: Subject) -> str:
    return "the data are images" if subject.splits.test.layout == "image" else ""


_needs_images_and_a_prior = first_reason(_needs_images, needs_a_prior, needs_an_unconditional_model)


def _needs_quantiles(subject: Subject) -> str:
    known = subject.model.prior.quantiles(torch.tensor([0.5]))
    return f"prior {subject.model.config.prior!r} has no quantiles" if known is None else ""


def _needs_quantiles_unless_linear(subject: Subject) -> str:
    return _needs_quantiles(subject) if subject.config.manifold == "quantile" else ""


def _needs_a_plane(subject: Subject) -> str:
    """Why there is no grid over the latents; empty if there is."""
    if not subject.model.why_not_real:
        return needs_latents(lambda num: num == 2, "2")(subject) or _needs_quantiles_unless_linear(subject)
    about = subject.model.space.about
    return "" if chart_of(subject.model) else f"latents that are {about} have no grid in the plane"


def _needs_traversals(subject: Subject) -> str:
    """Why latents are not varied one at a time; empty if they are."""
    if not subject.model.why_not_real:
        return needs_latents(lambda num: num > 2, "more than 2")(subject) or _needs_quantiles(subject)
    if isinstance(subject.model.space, CodeVectors):
        return f"latents that are {subject.model.space.about} do not vary one at a time"
    return _needs_quantiles(subject) if isinstance(subject.model.space, Sphere) else ""


def _needs_elementwise_kl(subject: Subject) -> str:
    model = subject.model
    pair = f"posterior {model.config.posterior!r} and prior {model.config.prior!r}"
    known = has_elementwise_kl(model.posterior_of_zeros(), model.prior.family())
    return "" if known else f"the KL of {pair} is not a sum over latents"


def _needs_a_marginal(subject: Subject) -> str:
    known = marginal_of(subject.model.prior, shown_pair(subject)) is not None
    return "" if known else f"prior {subject.model.config.prior!r} has no marginal for two of its latents"


FIGURE_ARRAYS: dict[str, Metric] = {
    "codes": Metric(codes),
    "reconstructions": Metric(reconstructions, _needs_images),
    "features": Metric(features, _needs_features),
    "samples": Metric(samples, first_reason(_needs_images, needs_a_prior)),
    "conditions": Metric(conditions, first_reason(_needs_images, _needs_levels)),
    "manifold": Metric(manifold, first_reason(_needs_images_and_a_prior, _needs_a_plane)),
    "traversals": Metric(traversals, first_reason(_needs_images_and_a_prior, _needs_traversals)),
    "rate per latent": Metric(rate_per_latent, first_reason(needs_a_density, _needs_elementwise_kl)),
    "contour of the prior": Metric(
        prior_contour,
        first_reason(
            needs_a_prior, needs_real_latents, needs_latents(lambda num: num >= 2, "at least 2"), _needs_a_marginal
        ),
    ),
}
