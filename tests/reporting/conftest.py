"""Results as an evaluation leaves them, made up of noise and gradients, so that no model has to be trained."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from lowerbound.evaluation.prior_shape import contour_arrays
from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.progress import MeanTerms
from lowerbound.reporting import theme
from progress_records import record

MakeResults = Callable[..., Results]


@pytest.fixture(scope="module")
def coarse_figures():
    """Figures of few pixels, where what is drawn counts and not how finely: compressing PNGs takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theme, "DPI", 40)
        yield


@pytest.fixture(scope="session")
def make_results() -> MakeResults:
    """A function that makes results: of a VAE with two latents and ten labels, unless told otherwise."""
    return _results


def _results(
    *,
    latent_dim: int = 2,
    image_shape: tuple[int, int, int] = (8, 8, 1),
    num_labels: int = 10,
    variational: bool = True,
    full: bool = False,
    rows: bool = False,
    num_examples: int = 200,
    manifold_sizes: tuple[int, ...] = (15, 20),
    space: str = "real",
    num_levels: int = 0,
    context: dict[str, Any] | None = None,
) -> Results:
    noise = np.random.default_rng(0)

    def images(number: int) -> np.ndarray:
        return noise.uniform(size=(number, *image_shape)).astype(np.float32)

    scale = 1 + np.arange(latent_dim) % 4
    z = (noise.normal(size=(num_examples, latent_dim)) * scale).astype(np.float32)
    arrays = {"originals": images(13), "reconstructions": images(13), "latent_mean": z}
    if num_labels:
        arrays["labels"] = np.arange(num_examples) % num_labels
    if variational and latent_dim >= 2:
        angle = np.linspace(0, 2 * np.pi, 33)
        arrays |= contour_arrays([2.45 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)])
    if variational:
        arrays["samples"] = images(20)
        arrays["rate_per_dimension"] = np.linspace(0, 3, latent_dim, dtype=np.float32)
    if variational and latent_dim == 2:
        for size in manifold_sizes:
            axis = np.linspace(-2, 2, size, dtype=np.float32)
            arrays[f"manifold_{size}"] = images(size * size)
            arrays[f"manifold_{size}_axes"] = np.stack([axis, axis + 1])
    if variational and latent_dim > 2:
        arrays["traversals"] = images(11 * latent_dim)
        arrays["traversal_dimensions"] = np.arange(latent_dim)
    if num_levels:
        arrays |= {"recoded_originals": images(2), "recoded": images(2 * num_levels)}
        share = np.linspace(0.05, 0.95, 10, dtype=np.float32)
        calibration = {"confidence": share, "accuracy": share**2, "counts": np.arange(1, 11)}
        arrays |= {f"calibration_{name}": array for name, array in calibration.items()}
    if full:
        arrays |= _bound_arrays(noise) | _factor_arrays(noise, latent_dim) | _bits(noise, images(5))
    if full and latent_dim == 2:
        arrays |= _true_posteriors(4) | {"true_posterior_images": images(4)}
    if space != "real":
        arrays = _in_space(space, arrays, images)
    scores = _variational_scores() if variational else _deterministic_scores()
    told = _context(image_shape, latent_dim, num_labels)
    if num_levels:
        levels = [f"kind of digit number {level}" for level in range(num_levels)]
        told["data"]["conditions"] = [{"name": "kind", "kind": "categorical", "levels": levels}]
        told["config"]["model"] |= {"condition_on": ["kind"], "prior": "conditional-normal"}
    if rows:
        kept = [name for name in arrays if name in OF_ROWS or name.startswith("true_posterior_")]
        arrays = {name: arrays[name] for name in kept if name != "true_posterior_images"} | _rows(noise)
        told["data"] |= {"event_shape": [4], "layout": "table"}
        told["data"]["columns"] = COLUMNS
    return Results(scores, arrays, told | (context or {}), _history())


def _in_space(space: str, arrays: dict[str, np.ndarray], images: Callable[[int], np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a model with three latents on a sphere or a simplex, or of two groups of three codes."""
    kept = ("originals", "reconstructions", "latent_mean", "labels", "samples", "traversal_dimensions")
    arrays = {name: arrays[name] for name in kept if name in arrays}
    place = arrays["latent_mean"][:, :2]
    axes = {"manifold_4": images(16), "manifold_4_axes": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)}
    if space == "sphere":
        return arrays | axes | {"longitude_latitude": 10 * place, "traversals": images(33)}
    if space == "simplex":
        return arrays | axes | {"triangle": place, "mixtures": images(33)}
    return arrays | {"category_shares": np.full((2, 3), 1 / 3, np.float32), "code_means": images(6)}


OF_ROWS = ("latent_mean", "rate_per_dimension", "labels", "prior_contour_points", "prior_contour_lengths")

COLUMNS = [
    {"name": "a length whose name is longer than its panel", "kind": "numeric", "levels": []},
    {"name": "visits", "kind": "count", "levels": []},
    {"name": "is new", "kind": "binary", "levels": ["no", "yes"]},
    {"name": "city", "kind": "categorical", "levels": ["Bonn", "Lyon", "Oslo", "Rome", "Wien"]},
]


def _rows(noise: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of a table with missing cells, what is reconstructed of them, and rows that a model draws."""

    def rows() -> np.ndarray:
        cells = [noise.normal(5, 2, 50), noise.poisson(3, 50), noise.integers(0, 2, 50), noise.integers(0, 5, 50)]
        return np.stack(cells, axis=1).astype(np.float32)

    elements = np.where(noise.random((50, 4)) < 0.1, np.nan, rows()).astype(np.float32)
    shown = np.arange(4)
    return {"elements": elements, "elements_shown": shown, "elements_reconstructed": rows(), "elements_drawn": rows()}


def _bound_arrays(noise: np.random.Generator) -> dict[str, np.ndarray]:
    """What a whole evaluation adds: bounds that rise towards the evidence, and the two gaps."""
    evidence = noise.normal(-24, 2, 30)
    ks = np.array([1, 10, 100])
    return {
        "log_evidence_per_image": evidence,
        "sweep_ks": ks,
        "sweep_bounds": (evidence - 1 / ks[:, None]).astype(np.float32),
        "amortisation_gap_per_image": noise.exponential(0.3, 30).astype(np.float32),
        "approximation_gap_per_image": noise.exponential(0.1, 30).astype(np.float32),
    }


def _bits(noise: np.random.Generator, shown: np.ndarray) -> dict[str, np.ndarray]:
    """Bits of every pixel of five images, and of their latents."""
    of_pixels = noise.exponential(1.5, shown.shape[:3]).astype(np.float32)
    return {"bit_images": shown, "bits_of_pixels": of_pixels, "bits_of_latents": noise.exponential(9, 5)}


def _factor_arrays(noise: np.random.Generator, latent_dim: int) -> dict[str, np.ndarray]:
    """Information of latents about two of three factors."""
    return {
        "factor_information": noise.uniform(size=(2, latent_dim)).astype(np.float32),
        "factor_entropy": np.array([1.1, 1.8], np.float32),
        "factor_numbers": np.array([0, 2]),
    }


def _true_posteriors(number: int) -> dict[str, np.ndarray]:
    """Normal posteriors, narrower from image to image, each in its own window, beside what the encoder says."""
    z = np.linspace(-4, 4, 41, dtype=np.float32)
    normal = np.exp(-0.5 * z**2)
    scale, middle = 0.1 ** np.arange(number, dtype=np.float32), np.arange(number, dtype=np.float32)
    centres = np.stack([middle, -middle], axis=1)
    return {
        "true_posterior_positions": np.arange(number),
        "true_posterior_axes": centres[:, :, None] + scale[:, None, None] * z,
        "true_posterior_density": np.broadcast_to(normal[:, None] * normal, (number, 41, 41)),
        "true_posterior_encoder_mean": centres,
        "true_posterior_encoder_covariance": _diagonal(scale**2, 4 * scale**2),
        "true_posterior_local_mean": centres,
        "true_posterior_local_covariance": _diagonal(scale**2, scale**2),
        "true_posterior_gap": np.arange(number, dtype=np.float32) + 0.25,
    }


def _diagonal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Covariances of independent latents, [image, latent, latent]."""
    return np.stack([np.diag(pair) for pair in np.stack([first, second], axis=1)])


def _variational_scores() -> tuple[Score, ...]:
    return (
        _score("elbo", -24.7012, 0.1534, num_draws=16),
        _score("elbo", -23.9, 0.0199, split="train", num_draws=16),
        _score("rate", 2.1779, 0.0401, num_draws=16),
        _score("squared-error", 0.040851, 0.000971, unit="per pixel"),
        _score("z-free-distortion", 27.08, 0.13),
        _score("grey-floor", 13.5, 0.13),
    )


def _deterministic_scores() -> tuple[Score, ...]:
    return (_score("reconstruction-error", 21.57, 0.2), _score("z-free-distortion", 27.08, 0.13))


def _score(name: str, value: float, standard_error: float, **others: Any) -> Score:
    settings: dict[str, Any] = {"unit": "nats", "split": "test", "num_draws": None} | others
    return Score(
        name=name,
        value=value,
        standard_error=standard_error,
        convention="grey",
        num_examples=360,
        description=f"what {name} means",
        **settings,
    )


def _context(image_shape: tuple[int, int, int], latent_dim: int, num_labels: int) -> dict[str, Any]:
    height, width, channels = image_shape
    linear = {"name": "body.1", "kind": "Linear", "output_shape": [512], "num_parameters": 33_280}
    heads = {"name": "heads", "kind": "Linear", "output_shape": [4], "num_parameters": 2_052}
    output = {"name": "output", "kind": "Linear", "output_shape": [64, 2, 2], "num_parameters": 32_832}
    return {
        "recipe": "dense",
        "command": "lowerbound train digits --out runs/a",
        "seed": 7,
        "data": {
            "name": "digits",
            "source": "somebody's digits",
            "licence": "CC BY 4.0",
            "sizes": {"train": 1257, "validation": 180, "test": 360},
            "event_shape": [channels, height, width],
            "layout": "image",
            "columns": [],
            "label_names": [f"kind {label}" for label in range(num_labels)],
            "factor_names": ["shape", "a constant", "scale"],
            "notes": [],
            "skipped": [],
            "checksum": "c0ffee",
            "test_checksum": "7ea",
            "monitored": "validation",
        },
        "config": {
            "model": {"latent_dim": latent_dim, "likelihood": "bernoulli", "likelihood_options": {}},
            "training": {"num_epochs": 3, "max_gradient_norm": None},
        },
        "layers": {"encoder": [linear, heads], "decoder": [output]},
        "likelihood_parameters": 1,
        "training": {"epochs": 3, "best_epoch": 2, "stopped_early": True, "seconds": 81.2, "precision": "float32"},
        "versions": {"lowerbound": "0.1.0", "torch": "2.13.0"},
        "machine": {"platform": "Linux", "processor": "a processor", "threads": 2, "device": "cpu"},
    }


def _history() -> tuple[dict[str, Any], ...]:
    return tuple(
        record(
            5 * epoch,
            epoch=epoch,
            train=_terms(30.0 - epoch),
            validation=_terms(31.0 - epoch),
            is_best=epoch < 3,
            best_epoch=2,
        )
        for epoch in (1, 2, 3)
    )


def _terms(distortion: float) -> dict[str, Any]:
    return asdict(MeanTerms(objective=-distortion - 2, elbo=-distortion - 2, rate=2.0, distortion=distortion))
