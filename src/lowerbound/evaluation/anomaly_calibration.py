"""Calibration of anomaly scores: measurements of held-out examples, from which thresholds are computed.

What takes little time is measured at the end of training. The importance-weighted score decodes IMPORTANCE_DRAWS
latents for each example: it is added when it is first asked for.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.examples import Examples, evenly_spaced
from lowerbound.evaluation.anomaly_scores import (
    IMPORTANCE_DRAWS,
    NUM_DRAWS,
    Calibration,
    ExampleMeasurements,
    mean_of_known,
    measure,
    negative_log_evidence,
)
from lowerbound.evaluation.element_costs import element_costs
from lowerbound.foundation.allocator import kept_memory
from lowerbound.models.vae import VAE

NUM_CALIBRATED = 1000
NUM_COSTED = 200  # of them, whose mean costs of elements explain scores
MAX_WEIGHTED = 200_000_000  # elements decoded for the importance-weighted score of held-out examples
LEAST_WEIGHTED = 20  # held-out examples for its threshold, however many elements they have


@kept_memory()
def calibrate_scores(model: VAE, held_out: Examples, device: torch.device | str = "cpu") -> Calibration:
    """Measure held-out examples, without the importance-weighted score: at most NUM_CALIBRATED, evenly spaced."""
    some = held_out.subsample(NUM_CALIBRATED)
    measured = measure(model, some, device=device)
    return Calibration(measured, _mean_costs(model, some, measured, device))


def with_importance(
    calibration: Calibration, model: VAE, held_out: Examples, device: torch.device | str = "cpu"
) -> Calibration:
    """The calibration with the importance-weighted score of the same held-out examples or, of large ones, of fewer."""
    some = held_out.subsample(NUM_CALIBRATED)
    affordable = MAX_WEIGHTED // (IMPORTANCE_DRAWS * math.prod(held_out.event_shape))
    weighted = evenly_spaced(len(some), min(len(some), max(LEAST_WEIGHTED, affordable)))
    evidence = np.full(len(some), np.nan)
    evidence[weighted] = negative_log_evidence(model, some.subset(weighted), 0, device)
    return replace(calibration, measured=replace(calibration.measured, negative_log_evidence=evidence))


def _mean_costs(
    model: VAE, some: Examples, measured: ExampleMeasurements, device: torch.device | str
) -> Float[np.ndarray, "*event"] | None:
    """The mean over examples of the cost of each element, missing cells excluded; 0 if all are missing."""
    costs = measured.cell_costs
    if costs is None:
        costs = element_costs(model, some.subsample(NUM_COSTED), NUM_DRAWS, 0, device)
    if costs is None:
        return None
    return mean_of_known(costs)
