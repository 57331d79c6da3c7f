"""Progress records of training: what `training_steps` yields, and what each line of metrics.jsonl contains."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MeanTerms:
    """Means over examples of an objective's terms, in nats."""

    objective: float
    elbo: float  # with rate 'none': minus the reconstruction error
    rate: float
    distortion: float
    # By name, unweighted; also the multiplier of rate 'geco' and, of the validation split, the use of discrete codes.
    penalties: dict[str, float] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)  # rate of each level of a hierarchical model


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One record; `validation` is present at the end of each epoch."""

    epoch: int  # counted from 1
    num_epochs: int
    step: int
    num_steps: int
    learning_rate: float
    rate_scale: float  # of the rate's warm-up, in [0, 1]
    train: MeanTerms  # mean over the epoch so far
    validation: MeanTerms | None  # on the validation split
    is_best: bool
    best_epoch: int
    seconds: float  # of training, in total over all resumes
    examples_per_second: float  # since the start or the last resume
    seconds_left: float
