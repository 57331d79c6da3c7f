"""Outputs of an exported decoder: the mean and the parameters of p(x|z), as named tensors.

By default the names are the fields of the distribution's class, so that a new likelihood needs no entry; `PARAMETERS`
has the families with other outputs.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal, Distribution, RescaledNormal
from lowerbound.probability.levels import Categorical
from lowerbound.probability.tables import ColumnCodes, TableRow


def likelihood_outputs(model: VAE, likelihood: Distribution) -> dict[str, Float[Tensor, "batch *shape"]]:
    """The mean of p(x|z) and its parameters, by name, each with the batch as its first axis."""
    mean = likelihood.mean
    parameters = PARAMETERS.get(type(likelihood), _own_fields)(model, likelihood)
    # A value shared by elements or examples is expanded.
    expanded = {name: value.expand_as(mean) if value.ndim < mean.ndim else value for name, value in parameters.items()}
    return {"mean": mean, **expanded}


def _own_fields(model: VAE, likelihood: Distribution) -> dict[str, Tensor]:
    return {name: value for name, value in vars(likelihood).items() if isinstance(value, Tensor)}


def _of_normal(model: VAE, likelihood: DiagonalNormal | RescaledNormal) -> dict[str, Tensor]:
    return {"standard_deviation": likelihood.standard_deviation}


def _of_levels(model: VAE, likelihood: Categorical) -> dict[str, Tensor]:
    return {"logits": likelihood.logits, "probabilities": likelihood.logits.softmax(-1)}


def _of_row(model: VAE, likelihood: TableRow) -> dict[str, Tensor]:
    """The best guess of each cell, its standard deviation, and the probabilities of categories."""
    names = probability_names([column.name for column in model.columns])
    probabilities = {
        names[int(block.columns[0])]: block.distribution.logits.softmax(-1)
        for block in likelihood.blocks
        if isinstance(block.distribution, ColumnCodes)
    }
    return {
        "best_guess": best_guess(model, likelihood),
        "standard_deviation": likelihood.variance.sqrt(),
        **probabilities,
    }


def probability_names(columns: Sequence[str]) -> list[str]:
    """The name of each column's output: letters, digits and underscores, with the position if two would be equal."""
    plain = ["probabilities_" + re.sub(r"\W+", "_", column, flags=re.ASCII) for column in columns]
    return [name if plain.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(plain)]


PARAMETERS: dict[type[Distribution], Callable[[VAE, Any], dict[str, Tensor]]] = {
    DiagonalNormal: _of_normal,
    RescaledNormal: _of_normal,
    Categorical: _of_levels,
    TableRow: _of_row,
}
"""Families whose outputs are not their fields."""
