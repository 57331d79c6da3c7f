"""TrainingConfig: the training section of an experiment."""

import math
from dataclasses import dataclass, replace

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.schedules import SCHEDULES

OPTIMISER_NAMES = ("adam", "muon")
SPEEDS = ("fast", "plain")
PRECISIONS = ("float32", "bfloat16", "auto")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train a model."""

    num_epochs: int = 30
    min_steps: int = 0  # small data sets get more epochs, until there are at least this many steps
    batch_size: int = 128  # examples; all of them if there are fewer
    learning_rate: float = 1e-3  # peak
    schedule: str = "constant"
    warm_up: float = 0.0  # epochs over which the learning rate rises linearly, whatever the schedule
    optimiser: str = "adam"  # or "muon": Muon for weight matrices and kernels, Adam for all other parameters
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    adam_epsilon_hat: bool = False  # whether epsilon is added before bias correction, as Keras does, or after it
    adam_second_moment: float = 0.0  # initial mean of squared gradients; above 0 the first steps are small
    max_gradient_norm: float = 0.0  # gradients are clipped to this norm; 0 disables clipping
    patience: int = 0  # epochs without a better validation objective before stopping; 0 is no limit
    validation_draws: int = 1  # from the posterior of each validation example
    log_every: int = 100  # steps between progress records within an epoch
    checkpoint_every: int = 0  # steps between checkpoints within an epoch; 0 saves only at its end
    speed: str = "fast"  # or "plain": textbook operations, with the same results up to rounding
    precision: str = "float32"  # of the networks' layers; or "bfloat16", or "auto", the faster of the two here
    seed: int = 0

    def __post_init__(self) -> None:
        tables = {"schedule": SCHEDULES, "optimiser": OPTIMISER_NAMES, "speed": SPEEDS, "precision": PRECISIONS}
        for key, table in tables.items():
            if getattr(self, key) not in table:
                raise UnknownName(f"training.{key}", getattr(self, key), table)
        for key in ("num_epochs", "batch_size", "validation_draws", "log_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"training.{key} needs at least 1, got {getattr(self, key)}.")
        for key in ("learning_rate", "adam_epsilon"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"training.{key} needs a finite number above 0, got {getattr(self, key):g}.")
        counts = (
            "min_steps",
            "warm_up",
            "adam_second_moment",
            "max_gradient_norm",
            "patience",
            "checkpoint_every",
            "seed",
        )
        for key in counts:
            if not 0 <= getattr(self, key) < math.inf:
                raise ConfigError(f"training.{key} needs a finite number of at least 0, got {getattr(self, key):g}.")
        for key in ("adam_beta1", "adam_beta2"):
            if not 0 <= getattr(self, key) < 1:
                raise ConfigError(f"training.{key} needs a number in [0, 1), got {getattr(self, key):g}.")

    def for_examples(self, num_examples: int) -> "TrainingConfig":
        """This configuration with the number of epochs for `num_examples`, `min_steps` included in it."""
        steps_per_epoch = math.ceil(num_examples / self.batch_size)
        num_epochs = max(self.num_epochs, math.ceil(self.min_steps / steps_per_epoch))
        return replace(self, num_epochs=num_epochs, min_steps=0)
