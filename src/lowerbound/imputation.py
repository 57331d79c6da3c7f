"""Filling the missing cells of a table with what a trained model expects there."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.columns import check_suffix, named_columns, write_columns
from lowerbound.data.batches import Batches
from lowerbound.errors import UsageError
from lowerbound.evaluation.evaluate import BATCH_SIZE
from lowerbound.inputs import read_inputs
from lowerbound.model import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.schema import Column
from lowerbound.seeding import generator
from lowerbound.training.checkpoint import load_model

NUM_DRAWS = 100


@torch.no_grad()
def imputed(
    model: VAE, x: Float[Tensor, "batch column"], generator: torch.Generator, num_draws: int = NUM_DRAWS
) -> Float[Tensor, "batch column"]:
    """Rows with every missing cell filled: with its expected value given the others, a category with its likeliest.

    The expectation is over draws z ~ q(z|x) weighted by p(x, z) / q(z|x), x the cells that are there, so that it is
    that of p(missing | seen) under the model, as far as so many draws go. Source: Mattei and Frellsen, "MIWAE",
    arXiv:1812.02633, Equation 12.
    """
    samples = model.sample_posterior(x, generator, num_draws)
    weight = torch.softmax(samples.log_weight, dim=0).unsqueeze(-1)
    likelihood = model.decode(samples.z)
    expected = (weight * likelihood.mean).sum(0)
    for index, column in enumerate(model.config.columns):
        if column.levels:
            expected[:, index] = _likeliest(likelihood, index, column, weight.squeeze(-1))
    return torch.where(x.isnan(), expected, x)


def impute(run: Path, inputs: list[str], data_dir: str = "", out: Path | None = None) -> tuple[Path, int]:
    """Write a table's rows with missing cells filled; the path, and how many there were."""
    path = out or run / "imputed.csv"
    check_suffix(path)
    model = load_model(run)
    if model.config.likelihood != "table":
        raise UsageError(
            f"{run} was trained with likelihood {model.config.likelihood!r}; only 'table' leaves cells out."
        )
    examples = read_inputs(run, model, inputs, data_dir).examples
    stream = generator(0, "imputation")
    filled = torch.cat([imputed(model, x, stream) for x in Batches(examples, BATCH_SIZE)]).numpy()
    write_columns(path, named_columns(filled, model.config.columns))
    return path, int(np.isnan(examples.values).sum())


def _likeliest(likelihood: Distribution, index: int, column: Column, weight: Tensor) -> Tensor:
    """The code with the greatest probability, averaged over weighted draws."""
    shape = likelihood.mean.shape
    chances = []
    for code in range(column.num_levels):
        value = torch.full(shape, torch.nan, dtype=weight.dtype, device=weight.device)
        value[..., index] = code
        chances.append((weight * likelihood.log_prob(value).exp()).sum(0))
    return torch.stack(chances).argmax(0).to(weight.dtype)
