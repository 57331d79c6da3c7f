"""TrainingConfig: the training section of an experiment."""

import math
from dataclasses import dataclass, replace

from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.keywords import meaning
from lowerbound.foundation.schedules import SCHEDULES
from lowerbound.foundation.settings import check_fields, setting

OPTIMISER_NAMES = {
    "adam": "Adam for all parameters.",
    "muon": "Muon for weight matrices and kernels, Adam for all other parameters.",
}
SPEEDS = {
    "fast": "The operations that are fastest, with the same results up to rounding.",
    "plain": "Textbook operations.",
}
PRECISIONS = {
    "float32": "Single precision.",
    "bfloat16": "Half precision with the range of float32, for layers only.",
    "auto": "The faster of the two on this machine.",
}


@named_arguments
@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train a model."""

    num_epochs: int = setting(30, meaning("epochs"), at_least=1)
    min_steps: int = setting(
        0, "Small data sets get more epochs, until there are at least this many steps.", at_least=0
    )
    batch_size: int = setting(128, meaning("batch_size"), at_least=1)
    labelled_per_batch: int = setting(
        100, "Labelled examples that train the classifier with each batch, or all of them if fewer.", at_least=1
    )
    learning_rate: float = setting(1e-3, meaning("learning_rate"), above=0)
    schedule: str = setting("constant", "Course of the learning rate, relative to its peak.", names=SCHEDULES)
    warm_up: float = setting(
        0.0, "Epochs over which the learning rate rises linearly, whatever the schedule.", at_least=0
    )
    optimiser: str = setting("adam", "Optimiser of all parameters.", names=OPTIMISER_NAMES)
    adam_beta1: float = setting(0.9, "Decay of Adam's mean of gradients.", at_least=0, below=1)
    adam_beta2: float = setting(0.999, "Decay of Adam's mean of squared gradients.", at_least=0, below=1)
    adam_epsilon: float = setting(1e-8, "Added to the root of Adam's mean of squared gradients.", above=0)
    adam_epsilon_hat: bool = setting(
        False, "Whether epsilon is added before bias correction, as Keras does, or after it."
    )
    adam_second_moment: float = setting(
        0.0, "Initial mean of squared gradients; above 0 the first steps are small.", at_least=0
    )
    max_gradient_norm: float = setting(0.0, "Gradients are clipped to this norm; 0 disables clipping.", at_least=0)
    weight_decay: float = setting(
        0.0,
        "Decoupled weight decay: after a step, weights of linear and convolutional layers are multiplied by 1 − this × "
        "learning rate.",
        at_least=0,
    )
    patience: int = setting(
        0, "Epochs without a better validation objective before stopping; 0 is no limit.", at_least=0
    )
    validation_draws: int = setting(1, "Draws from the posterior of each validation example.", at_least=1)
    log_every: int = setting(100, "Steps between progress records within an epoch.", at_least=1)
    checkpoint_every: int = setting(
        0, "Steps between checkpoints within an epoch; 0 saves only at its end.", at_least=0
    )
    speed: str = setting("fast", "Kind of operations.", names=SPEEDS)
    precision: str = setting("float32", "Precision of the networks' layers.", names=PRECISIONS)
    threads: int = setting(
        0,
        "Threads of torch; 0 chooses by the size of a step and the cores that are idle at the start, and keeps the "
        "number when the run is resumed.",
        at_least=0,
        at_most=1024,
    )
    seed: int = setting(0, meaning("seed"), at_least=0)

    def __post_init__(self) -> None:
        check_fields(self, "training")

    def for_examples(self, num_examples: int) -> "TrainingConfig":
        """This configuration with the number of epochs for `num_examples`, `min_steps` included in it."""
        steps_per_epoch = math.ceil(num_examples / self.batch_size)
        num_epochs = max(self.num_epochs, math.ceil(self.min_steps / steps_per_epoch))
        return replace(self, num_epochs=num_epochs, min_steps=0)
