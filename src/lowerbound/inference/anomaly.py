"""`score`: anomaly scores of new examples, with thresholds from examples that were held out in training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import Columns, check_output, records, write_columns
from lowerbound.evaluation.anomaly_scores import AnomalyVerdicts, ExampleMeasurements, measure
from lowerbound.evaluation.conformal import Threshold
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.foundation import distributed
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.inference.input_parts import open_inputs, parts_of, skipped_and_notes
from lowerbound.inference.shards import PartResult, check_shards, counts_in, job_of, write_shards
from lowerbound.runs.inputs import STANDARD, InputOptions
from lowerbound.runs.packed_inputs import Part
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import model_checksum


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


@dataclass(frozen=True, eq=False)
class ScoredShards:
    """A folder of Parquet files of scores."""

    path: Path
    num_rows: int
    num_scored: int
    num_anomalous: int
    by: str  # the score that decides
    threshold: Threshold
    skipped: tuple[str, ...] = ()


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
    if distributed.is_launched():
        check_shards(out, None)
    if out is not None:
        check_output(out, inputs)
    scorer = _Scorer(run, by, false_alarm_rate, importance, device)
    parts = list(parts_of(open_inputs(scorer.trained, inputs, options)))
    judged = scorer.judge(ExampleMeasurements.joined([scorer.measure(part) for part in parts]))
    ids = tuple(str(name) for part in parts for name in part.ids)
    scored = Scored(ids, judged, *skipped_and_notes(parts))
    if out is not None:
        write_columns(out, scored.columns)
    return scored


def score_shards(
    run: RunPath,
    inputs: Sequence[str],
    shards: Path,
    *,
    false_alarm_rate: float | None = None,
    by: str = "",
    importance: bool = True,
    options: InputOptions = STANDARD,
    device: str = "auto",
    out: Path | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
) -> ScoredShards:
    """`score`, written as a folder of Parquet files, by one process or several ranks; memory does not grow with the
    number of inputs.
    """
    check_shards(out, shards)
    scorer = _Scorer(run, by, false_alarm_rate, importance, device)
    found = open_inputs(scorer.trained, inputs, options)

    def results(start: int, stop: int) -> Iterator[PartResult]:
        for part in parts_of(found, start, stop):
            judged = scorer.judge(scorer.measure(part))
            yield {**Scored((), judged).columns, "id": part.ids}, part.collection.skipped

    about = {"by": by, "rate": false_alarm_rate, "importance": importance, "skips": options.skip_broken}
    job = job_of("score", model=model_checksum(path_of(run)), data=found.identity, **about)
    written = write_shards(shards, found.num_rows, job, results, partial(progress, "scoring"))
    num_scored, num_anomalous = counts_in(shards, "anomalous")
    decided = scorer.decided
    return ScoredShards(
        shards, written.num_rows, num_scored, num_anomalous, decided.by, decided.threshold, written.skipped
    )


def shards_as_json(scored: ScoredShards) -> dict[str, Any]:
    """What was written, as JSON for other programs."""
    return {**asdict(scored), "path": str(scored.path)}


class _Scorer:
    """A run's model with its thresholds, and how it was asked to score."""

    def __init__(self, run: RunPath, by: str, false_alarm_rate: float | None, importance: bool, device: str) -> None:
        self.trained, self.device = load(run), choose_device(device)
        self.calibration = self.trained.calibration()
        self.by, self.rate = by, false_alarm_rate
        self.importance = importance or by == "importance"
        self.model = self.trained.vae.to(self.device)
        # Refuses a rate or a score that is not accepted, before anything is computed.
        self.decided = self.calibration.judge(self.calibration.measured, by, false_alarm_rate)

    def measure(self, part: Part) -> ExampleMeasurements:
        """The measurements of some inputs."""
        return measure(self.model, part.examples, device=self.device, importance=self.importance)

    def judge(self, measured: ExampleMeasurements) -> AnomalyVerdicts:
        """The scores of measured inputs."""
        return self.calibration.judge(measured, self.by, self.rate)
