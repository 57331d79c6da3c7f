"""What is strange among new examples, by a trained model: scores, and a threshold from held-out data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.columns import Columns, check_suffix, records, write_columns
from lowerbound.data.sources import load
from lowerbound.errors import UsageError
from lowerbound.evaluation.anomaly import SCORES, Calibration, is_anomalous, measure, recommended
from lowerbound.inputs import read_inputs
from lowerbound.run import choose_device, read_experiment
from lowerbound.training.checkpoint import load_model

USUAL_RATE = 0.05  # of false alarms


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of some examples, and what was made of them."""

    ids: tuple[str, ...]
    scores: dict[str, np.ndarray]  # one number for each example, higher is stranger
    thresholds: dict[str, float]
    by: str  # the score that decides
    is_anomalous: np.ndarray
    false_alarm_rate: float
    num_calibrated: int  # held-out examples that thresholds come from
    skipped: tuple[str, ...] = ()  # what could not be read, each with the reason

    @property
    def columns(self) -> Columns:
        """As a file holds them: a row for each example."""
        return {"id": np.array(self.ids), **self.scores, "anomalous": self.is_anomalous.astype(np.int64)}


def as_json(scored: Scored) -> dict[str, Any]:
    """All that was found, for another program."""
    about = {key: getattr(scored, key) for key in ("by", "false_alarm_rate", "num_calibrated", "skipped")}
    return {**about, "thresholds": scored.thresholds, "examples": records(scored.columns)}


def score(
    run: Path,
    inputs: Sequence[str],
    *,
    false_alarm_rate: float | None = None,
    by: str = "",
    importance: bool = True,
    skip_broken: bool = False,
    data_dir: str = "",
    device: str = "auto",
    out: Path | None = None,
) -> Scored:
    """Anomaly scores of each example, and whether it exceeds the threshold that `false_alarm_rate` of held-out ones do.

    Without a rate it is a twentieth, or one example where fewer than twenty are held out. `importance` asks for the
    importance-weighted score, which takes most of the time. Thresholds come from the run's validation split: UsageError
    for a run that watched its test images, which has none.
    """
    if out is not None:
        check_suffix(out)
    if by and by not in SCORES:
        raise UsageError(f"unknown score {by!r}; accepted: {', '.join(SCORES)}.")
    experiment = read_experiment(run)[1]
    if experiment.data.validation == "test":
        raise UsageError(f"{run} watched its test images while training: no held-out examples are left for thresholds.")
    model, chosen = load_model(run), choose_device(device)
    collection = read_inputs(run, model, inputs, data_dir, skip_broken)
    held_out = load(replace(experiment.data, data_dir=data_dir or experiment.data.data_dir)).validation
    needed = importance or by == "importance"
    calibration = Calibration(measure(model.to(chosen), held_out, device=chosen, importance=needed))
    scores = calibration.scores(measure(model, collection.examples, device=chosen, importance=needed))
    decides = by or recommended(scores)
    if decides not in scores:
        raise UsageError(f"score {decides!r} cannot be computed of these data; there are {', '.join(scores)}.")
    rate = max(USUAL_RATE, 1 / len(held_out)) if false_alarm_rate is None else false_alarm_rate
    thresholds = calibration.thresholds(rate)
    scored = Scored(
        ids=collection.ids or tuple(str(index) for index in range(len(collection.examples))),
        scores=scores,
        thresholds=thresholds,
        by=decides,
        is_anomalous=is_anomalous(scores, thresholds, decides),
        false_alarm_rate=rate,
        num_calibrated=len(held_out),
        skipped=collection.skipped,
    )
    if out is not None:
        write_columns(out, scored.columns)
    return scored
