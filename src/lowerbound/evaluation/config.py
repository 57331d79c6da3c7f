"""EvaluationConfig: the settings in the `evaluation` section of a configuration."""

import math
from dataclasses import dataclass, field
from typing import Literal

from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.settings import check_fields, setting

LEAST_EXAMPLES = 20
"""Examples with factors, for disentanglement."""


@dataclass(frozen=True, kw_only=True)
class DisentanglementConfig:
    """Numbers of examples for disentanglement metrics: those of disentanglement_lib, or all if there are fewer."""

    num_information: int = setting(
        10_000, "Test examples for the information of latents about factors.", at_least=LEAST_EXAMPLES
    )
    num_bins: int = setting(20, "Bins that the range of each latent is divided into.", at_least=2)
    num_train: int = setting(
        10_000, "Training examples on which predictors of factors are fitted.", at_least=LEAST_EXAMPLES
    )
    num_test: int = setting(5_000, "Test examples on which predictors of factors are scored.", at_least=LEAST_EXAMPLES)
    num_train_votes: int = setting(
        10_000, "Training groups of examples with a factor in common, for the FactorVAE score.", at_least=1
    )
    num_test_votes: int = setting(
        5_000, "Test groups of examples with a factor in common, for the FactorVAE score.", at_least=1
    )

    def __post_init__(self) -> None:
        check_fields(self, "evaluation.disentanglement")


@named_arguments
@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of the evaluation and of its figures."""

    # Numbers of test examples are upper limits: a smaller split is used whole. Each score states its number.
    after_training: bool = setting(
        True, "Whether training ends with an evaluation; without one the report has the curves of training."
    )
    num_draws: int = setting(
        16,
        "Draws from the posterior, for each example. At the end of training fewer are taken if that raises the "
        "standard error by less than a tenth.",
        at_least=1,
    )
    num_exact: int = setting(
        1000,
        "Test examples whose log p(x) is integrated at the end of training, for up to two latents; the full "
        "evaluation integrates all of them.",
        at_least=2,
    )
    importance_draws: int = setting(5000, "Draws K of the tightest importance-weighted bound.", at_least=2)
    num_bounded: int = setting(100, "Test examples for importance-weighted bounds.", at_least=2)
    num_gaps: int = setting(100, "Test examples whose inference gap is split.", at_least=2)
    num_coded: int = setting(
        100,
        "Test examples that the full evaluation compresses, to compare what they take with −ELBO, if the model can; 0 "
        "leaves it out.",
        at_least=0,
    )
    num_annealed: int = setting(
        0,
        "Test examples whose log p(x) is estimated by annealing, seconds each; 0 leaves it out.",
        at_least=0,
    )
    num_simulated: int = setting(16, "Samples of the model, for the bracket of bidirectional annealing.", at_least=2)
    annealing: AnnealingConfig = field(default_factory=AnnealingConfig)
    disentanglement: DisentanglementConfig = field(default_factory=DisentanglementConfig)
    manifold: Literal["quantile", "linear"] = setting(
        "quantile", "Spacing of the decoded points of the manifold: by the prior's quantiles, or even."
    )
    manifold_sizes: tuple[int, ...] = setting(
        (15, 20), "Points along each side of the manifolds that are drawn.", at_least=2, at_most=100
    )
    manifold_range: tuple[float, float, float, float] = setting(
        (-2.0, 2.0, -2.0, 2.0), "Range of a linear manifold: z1 from, to, z2 from, to."
    )
    seed: int = setting(0, "Seed of the evaluation's draws.", at_least=0)

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        if not all(map(math.isfinite, self.manifold_range)):
            raise ConfigError(f"evaluation.manifold_range needs finite numbers, got {self.manifold_range}.")
