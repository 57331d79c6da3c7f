"""What a full covariance of q(z|x) gains over a diagonal one, on MNIST with 2 and with more latents.

    LOWERBOUND_DATA=DIR python benchmarks/full_covariance.py --out runs/full-covariance

Two questions. For one trained decoder: how much closer does the best full-covariance normal of each test image come to
log p(x) than the best diagonal one (Cremer, Li and Duvenaud, arXiv:1801.03558, whose approximation gap is the rest)?
And for whole trainings of the `dense` recipe that differ only in the posterior: by how much do their test ELBOs
differ, paired image by image? Writes benchmarks/results/MACHINE/full_covariance.json.
"""

import argparse
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import torch
from measuring import write_figures
from torch import Tensor, nn

import lowerbound as lb
from lowerbound.data.sources import Examples, Splits
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps
from lowerbound.evaluation.quadrature import exact_evidence
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.models.vae import VAE
from lowerbound.probability.posteriors import FullNormalPosterior
from lowerbound.runs.finished_run import Run

POSTERIORS = ("diagonal-normal", "full-normal")
NUM_IMAGES = 200  # first of the test split, for gaps and evidence
EXACT_LATENTS = 2
IMPORTANCE_DRAWS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/full-covariance"))
    parser.add_argument("--latents", type=int, nargs="+", default=[2, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = lb.load_data(lb.DataConfig(source="mnist"))
    found = []
    for latent_dim, seed in product(options.latents, options.seeds):
        path = options.out / f"{latent_dim}-latents-seed-{seed}"
        measured = measure(latent_dim, seed, options.epochs, path, splits)
        found.append({"latents": latent_dim, "seed": seed, **measured})
        write_figures("full_covariance", {"runs": found, "epochs": options.epochs})
        print(found[-1], flush=True)


def measure(latent_dim: int, seed: int, epochs: int, out: Path, splits: Splits) -> dict[str, Any]:
    """Both trainings, and the gaps of the images under each of their decoders."""
    runs = {name: trained(name, latent_dim, seed, epochs, out / name) for name in POSTERIORS}
    elbos = [torch.from_numpy(run.results.arrays["elbo_per_image"]) for run in runs.values()]
    examples = splits.test.subset(torch.arange(NUM_IMAGES).numpy())
    return {
        "test_elbo": {name: summed_up(elbo) for name, elbo in zip(POSTERIORS, elbos, strict=True)},
        "gain_of_training": summed_up(elbos[1] - elbos[0]),
        "gaps": {name: gaps(run.model.vae, examples, latent_dim) for name, run in runs.items()},
        "seconds": {name: round(run.results.history[-1]["seconds"], 1) for name, run in runs.items()},
    }


def trained(posterior: str, latent_dim: int, seed: int, epochs: int, path: Path) -> Run:
    if (path / "report.html").exists():  # trained by an earlier, interrupted run of this script
        return Run(path, lb.load(path), read_results(path))
    settings = {"model": {"posterior": posterior, "latent_dim": latent_dim}}
    return lb.train("mnist", recipe="dense", settings=settings, epochs=epochs, seed=seed, out=path)


def gaps(model: VAE, examples: Examples, latent_dim: int) -> dict[str, Any]:
    """Of one decoder: what the best diagonal and the best full normal of each image lose against log p(x), and what
    the second gains over the first. Beyond two latents an importance-weighted bound stands for log p(x).
    """
    evidence = log_evidence(model, examples, latent_dim)
    is_full = isinstance(model.posterior, FullNormalPosterior)
    full = inference_gaps(model if is_full else widened(model), examples, evidence, GapConfig(), 0)
    found = {"evidence": summed_up(evidence), "approximation_gap_full": summed_up(evidence - full.local_elbo)}
    found["amortisation_gap"] = summed_up(full.local_elbo - full.encoder_elbo)
    if not is_full:
        diagonal = inference_gaps(model, examples, evidence, GapConfig(), 0)
        found["approximation_gap_diagonal"] = summed_up(evidence - diagonal.local_elbo)
        found["gain_of_full"] = summed_up(full.local_elbo - diagonal.local_elbo)
        found["amortisation_gap"] = summed_up(diagonal.local_elbo - diagonal.encoder_elbo)
    return found


def log_evidence(model: VAE, examples: Examples, latent_dim: int) -> Tensor:
    if latent_dim <= EXACT_LATENTS:
        return exact_evidence(model, examples).log_evidence
    return importance_sweep(model, examples, [IMPORTANCE_DRAWS], 0).log_evidence


class Padded(nn.Module):
    """A diagonal normal's encoder, with zeros for the entries below the diagonal of L."""

    def __init__(self, encoder: nn.Module, num: int) -> None:
        super().__init__()
        self.encoder, self.num = encoder, num

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(self.encoder(x), (0, self.num))


def widened(model: VAE) -> VAE:
    """The same decoder, and the same posteriors as members of the full normals."""
    wide = deepcopy(model)
    wide.posterior = FullNormalPosterior(model.latent_dim)
    wide.encoder = Padded(wide.encoder, model.latent_dim * (model.latent_dim - 1) // 2)
    return wide


def summed_up(values: Tensor) -> list[float]:
    """Mean and standard error over images, in nats."""
    mean = mean_and_standard_error(values)
    return [round(mean.value, 4), round(mean.standard_error, 4)]


if __name__ == "__main__":
    main()
