"""`score`: anomaly scores of new examples, with thresholds from examples that were held out in training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import Columns, check_output, records, write_columns
from lowerbound.evaluation.anomaly_scores import AnomalyVerdicts, measure
from lowerbound.foundation.run_identity import RunPath
from lowerbound.runs.inputs import STANDARD, InputOptions, read_inputs
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.trained_model import load


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of examples, and which of them are anomalous."""

    ids: tuple[str, ...]
    judged: AnomalyVerdicts
    skipped: tuple[str, ...] = ()  # files and rows that could not be read, with the reasons
    notes: tuple[str, ...] = ()  # how the examples were converted

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """By name, one number per example, higher is more anomalous; NaN for an example without a score."""
        return self.judged.scores

    @property
    def is_anomalous(self) -> np.ndarray:
        """Whether the deciding score exceeds its threshold; false for an example without a score."""
        return self.judged.is_anomalous

    @property
    def columns(self) -> Columns:
        """The columns of an output file, a row per example; the verdict is empty for an example without a score."""
        verdicts = [
            int(flag) if known else None
            for flag, known in zip(self.judged.is_anomalous, self.judged.is_scored, strict=True)
        ]
        return {"id": np.array(self.ids), **self.judged.scores, "anomalous": np.array(verdicts, dtype=object)}

    @property
    def num_unscored(self) -> int:
        """Number of examples without a score."""
        return int((~self.judged.is_scored).sum())


def as_json(scored: Scored) -> dict[str, Any]:
    """All results, as JSON for other programs."""
    judged = scored.judged
    thresholds = {name: asdict(threshold) for name, threshold in judged.thresholds.items()}
    about = {"by": judged.by, "false_alarm_rate": judged.threshold.rate, "thresholds": thresholds}
    found = {"skipped": scored.skipped, "notes": scored.notes, "num_unscored": scored.num_unscored}
    return {**about, **found, "examples": records(scored.columns)}


def score(
    run: RunPath,
    inputs: Sequence[str],
    *,
    false_alarm_rate: float | None = None,
    by: str = "",
    importance: bool = True,
    options: InputOptions = STANDARD,
    device: str = "auto",
    out: Path | None = None,
) -> Scored:
    """Anomaly scores of each example, and whether it exceeds a threshold that few normal examples exceed.

    `false_alarm_rate` is the share of normal examples that may be flagged; by default 0.05, or the smallest that the
    held-out examples support. `importance` adds the importance-weighted score, which takes most of the time.
    Thresholds come from scores of held-out examples, measured after training: UsageError for a run that held out none.
    """
    if out is not None:
        check_output(out, inputs)
    trained, chosen = load(run), choose_device(device)
    calibration = trained.calibration()
    collection = read_inputs(trained, inputs, options)
    needed = importance or by == "importance"
    found = measure(trained.vae.to(chosen), collection.examples, device=chosen, importance=needed)
    ids = collection.ids or tuple(str(index) for index in range(len(collection.examples)))
    judged = calibration.judge(found, by, false_alarm_rate)
    scored = Scored(ids, judged, collection.skipped, collection.notes)
    if out is not None:
        write_columns(out, scored.columns)
    return scored
