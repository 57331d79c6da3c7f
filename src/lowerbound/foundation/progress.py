"""Where a training stands: what `fit` yields, and what a line of metrics.jsonl holds."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Means over examples, in nats."""

    objective: float
    elbo: float  # with rate 'none': minus the reconstruction error
    rate: float
    distortion: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands; `validation` is there at the end of each epoch."""

    epoch: int  # counted from 1
    num_epochs: int
    step: int
    num_steps: int
    learning_rate: float
    rate_scale: float  # where the rate's warm-up stands, in [0, 1]
    train: Terms  # over this epoch so far
    validation: Terms | None  # on the watched split
    is_best: bool
    best_epoch: int
    seconds: float  # spent training, over all sittings
    examples_per_second: float  # in this sitting
    seconds_left: float
