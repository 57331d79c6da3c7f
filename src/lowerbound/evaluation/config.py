"""EvaluationConfig: the settings in the `evaluation` section of a configuration."""

import math
from dataclasses import dataclass, field
from typing import Literal

from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.foundation.errors import ConfigError


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
