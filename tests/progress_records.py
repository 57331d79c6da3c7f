"""Records of a training as its log holds them."""

from dataclasses import asdict
from typing import Any

from lowerbound.foundation.progress import Progress, Terms


def record(step: int, ends_epoch: bool = False, **changes: Any) -> dict[str, Any]:
    """One record, after `step` of ten steps, five for each epoch."""
    terms = Terms(objective=-step / 3, elbo=-step / 3, rate=1.0, distortion=2.0)
    progress = Progress(
        epoch=1 + (step - 1) // 5,
        num_epochs=2,
        step=step,
        num_steps=10,
        learning_rate=1e-3,
        rate_scale=1.0,
        train=terms,
        validation=terms if ends_epoch else None,
        is_best=ends_epoch,
        best_epoch=1,
        seconds=0.1 * step,
        examples_per_second=100.0,
        seconds_left=1.0,
    )
    return asdict(progress) | changes
