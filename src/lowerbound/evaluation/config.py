"""EvaluationConfig: the settings in the `evaluation` section of a configuration."""

import math
from dataclasses import dataclass, field
from typing import Literal

from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.foundation.errors import ConfigError

LEAST_EXAMPLES = 20
"""Examples with factors, for disentanglement."""


@dataclass(frozen=True, kw_only=True)
class DisentanglementConfig:
    """Numbers of examples for disentanglement metrics: those of disentanglement_lib, or all if there are fewer."""

    num_information: int = 10_000  # test examples for the information of latents about factors
    num_bins: int = 20  # that the range of each latent is divided into
    num_train: int = 10_000  # training examples on which predictors of factors are fitted
    num_test: int = 5_000  # test examples on which they are scored
    num_train_votes: int = 10_000  # groups of examples with a factor in common, for the FactorVAE score
    num_test_votes: int = 5_000

    def __post_init__(self) -> None:
        for key, least in (("num_bins", 2), ("num_train_votes", 1), ("num_test_votes", 1)):
            if getattr(self, key) < least:
                raise ConfigError(f"disentanglement.{key} needs at least {least}, got {getattr(self, key)}.")
        for key in ("num_information", "num_train", "num_test"):
            if getattr(self, key) < LEAST_EXAMPLES:
                raise ConfigError(f"disentanglement.{key} needs at least {LEAST_EXAMPLES}, got {getattr(self, key)}.")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of the evaluation and of its figures."""

    num_draws: int = 16  # from the posterior, for each example
    # Numbers of test examples are upper limits: a smaller split is used whole. Each score states its number.
    num_exact: int = 1000  # test examples whose log p(x) is integrated at the end of training, for up to two latents
    # The rest is for the full evaluation, which integrates all test examples.
    importance_draws: int = 5000  # K of the tightest importance-weighted bound
    num_bounded: int = 100  # test examples for importance-weighted bounds
    num_gaps: int = 100  # test examples whose inference gap is split
    num_annealed: int = 0  # test examples whose log p(x) is estimated by annealing: seconds each, minutes for `conv`
    num_simulated: int = 16  # samples of the model, for the bracket of bidirectional annealing
    annealing: AnnealingConfig = field(default_factory=AnnealingConfig)
    disentanglement: DisentanglementConfig = field(default_factory=DisentanglementConfig)
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
