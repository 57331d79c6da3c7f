"""`score`: anomaly scores of new examples, with thresholds from examples that were held out in training."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.column_writers import check_output, write_columns
from lowerbound.data.examples import Examples
from lowerbound.evaluation.anomaly_scores import (
    IMPORTANCE_DRAWS,
    NUM_DRAWS,
    AnomalyVerdicts,
    ExampleMeasurements,
    measure,
)
from lowerbound.evaluation.conformal import Threshold
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.foundation import distributed
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.inference.engine import Engine, asked, check_engine, choose_engine, on_examples
from lowerbound.inference.explanations import explain
from lowerbound.inference.input_parts import (
    InputParts,
    LoadedInputs,
    first_of,
    open_inputs,
    parts_of,
    skipped_and_notes,
)
from lowerbound.inference.scored import Scored, explanations
from lowerbound.inference.shards import PartResult, check_shards, counts_in, job_of, write_shards
from lowerbound.runs.inputs import STANDARD, InputOptions
from lowerbound.runs.packed_inputs import Part
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import model_checksum

NUM_EXPLAINED = 20


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
    notes: tuple[str, ...] = ()
    engine: str = "torch"
    explained: tuple[dict[str, Any], ...] = ()
    """Id, deciding score and verdict of the most anomalous inputs, with their explanations as `Explanation.as_json`."""


@kept_memory()
def score(
    run: RunPath,
    data: Any = None,
    *,
    false_alarm_rate: float | None = None,
    by: str = "",
    importance: bool = False,
    options: InputOptions = STANDARD,
    device: str = "auto",
    out: Path | None = None,
    page: Path | None = None,
    num_explained: int = NUM_EXPLAINED,
    engine: str = "auto",
) -> Scored:
    """Anomaly scores of each example, whether it exceeds a threshold that few normal examples exceed, and why.

    `data` is a source's name, a path or several paths of images, or examples in memory, in stored units: an array, a
    tensor, a DataFrame; by default the run's test examples. `false_alarm_rate` is the share of normal examples that may
    be flagged; by default 0.05, or the smallest that the held-out examples support. `importance` adds the
    importance-weighted score, by 100 draws for each example; its threshold is measured at its first use. The
    `num_explained` most anomalous examples are explained. `out` is a file of all scores, `page` a page of HTML with the
    most anomalous examples. `engine` is "torch", "onnx" or "auto", which is ONNX Runtime where that saves time.

    Thresholds come from scores of held-out examples, measured after training: UsageError for a run that held out none.

    Examples:
        >>> noise = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
        >>> scored = lb.score("runs/dense", noise)
        >>> scored
        Scored(... of 4 anomalous, complexity-residual above ... nats)
        >>> scored.is_anomalous.shape
        (4,)
    """
    if distributed.is_launched():
        check_shards(out, None)
    names = _names(data)
    if out is not None:
        check_output(out, names or [])
    if page is not None:
        # Imported here: it imports matplotlib.
        from lowerbound.inference.score_page import check_page, write_score_page

        check_page(page)
    check_engine(engine)
    scorer = _Scorer(run, by, false_alarm_rate, importance, device, options)
    found = LoadedInputs(scorer.trained.examples(data)) if names is None else scorer.opened(names)
    chosen = scorer.computed_by(engine, found)
    parts = list(parts_of(found))
    judged = scorer.judge(ExampleMeasurements.joined([scorer.measure(part) for part in parts]))
    ids = tuple(str(name) for part in parts for name in part.ids)
    skipped, notes = skipped_and_notes(parts)
    scored = Scored(ids, judged, skipped, (*chosen.notes, *notes), engine=chosen.name)
    scored = scorer.explained(scored, parts, num_explained)
    if out is not None:
        write_columns(out, scored.columns)
    if page is not None:
        write_score_page(page, path_of(run).name, scored)
    return scored


def _names(data: Any) -> list[str] | None:
    """Names and paths; none for the run's test examples; None for examples in memory."""
    if data is None:
        return []
    if isinstance(data, str | os.PathLike):
        return [os.fspath(data)]
    is_paths = isinstance(data, list | tuple) and all(isinstance(name, str | os.PathLike) for name in data)
    return [os.fspath(name) for name in data] if is_paths else None


@kept_memory()
def score_shards(
    run: RunPath,
    inputs: Sequence[str],
    shards: Path,
    *,
    false_alarm_rate: float | None = None,
    by: str = "",
    importance: bool = False,
    options: InputOptions = STANDARD,
    device: str = "auto",
    out: Path | None = None,
    num_explained: int = NUM_EXPLAINED,
    progress: ProgressCallback = lambda stage, done, total: None,
    engine: str = "auto",
) -> ScoredShards:
    """`score`, written as a folder of Parquet files, by one process or several ranks; memory does not grow with the
    number of inputs. The files' metadata and the summary have the explanations.
    """
    check_shards(out, shards)
    check_engine(engine)
    scorer = _Scorer(run, by, false_alarm_rate, importance, device, options)
    found = scorer.opened(inputs)
    chosen = scorer.computed_by(engine, found)

    def results(start: int, stop: int) -> Iterator[PartResult]:
        for part in parts_of(found, start, stop):
            found_in = Scored(tuple(map(str, part.ids)), scorer.judge(scorer.measure(part)))
            records = explanations(scorer.explained(found_in, [part], num_explained))
            yield PartResult(
                {**found_in.columns, "id": part.ids}, part.collection.skipped, part.collection.notes, records
            )

    about = {"by": by, "rate": false_alarm_rate, "importance": importance, "skips": options.skip_broken}
    about |= {"explained": num_explained, **asked(engine)}
    job = job_of("score", model=model_checksum(path_of(run)), data=found.identity, **about)
    written = write_shards(shards, found.num_rows, job, results, partial(progress, "scoring"))
    num_scored, num_anomalous = counts_in(shards, "anomalous")
    decided = scorer.decided
    return ScoredShards(
        path=shards,
        num_rows=written.num_rows,
        num_scored=num_scored,
        num_anomalous=num_anomalous,
        by=decided.by,
        threshold=decided.threshold,
        skipped=written.skipped,
        notes=(*chosen.notes, *written.notes),
        engine=chosen.name,
        explained=tuple(sorted(written.records, key=lambda one: -one["score"])[:num_explained]),
    )


def shards_as_json(scored: ScoredShards) -> dict[str, Any]:
    """What was written, as JSON for other programs."""
    return {**asdict(scored), "path": str(scored.path)}


class _Scorer:
    """A run's model with its thresholds, and how it was asked to score."""

    def __init__(
        self,
        run: RunPath,
        by: str,
        false_alarm_rate: float | None,
        importance: bool,
        device: str,
        options: InputOptions,
    ) -> None:
        self.run, self.trained, self.device = run, load(run), choose_device(device)
        self.model = self.trained.vae.to(self.device)
        self.by, self.rate, self.options = by, false_alarm_rate, options
        self.importance = importance or by == "importance"
        self.calibration = self.trained.calibration(
            importance=self.importance, data=options.data, data_dir=options.data_dir
        )
        # Refuses a rate or a score that is not accepted, before anything is computed.
        self.decided = self.calibration.judge(self.calibration.measured, by, false_alarm_rate)

    def opened(self, inputs: Sequence[str]) -> InputParts:
        """The inputs, part by part. With any, the path of the run's data is that of held-out examples alone."""
        options = replace(self.options, data="") if inputs and self.importance else self.options
        return open_inputs(self.trained, inputs, options)

    def computed_by(self, engine: str, found: InputParts) -> Engine:
        """The engine that computes the measurements of these inputs from now on."""
        num_draws = NUM_DRAWS + 1 + self.importance * IMPORTANCE_DRAWS
        passes = {"encoder": 2 * found.num_rows, "decoder": num_draws * found.num_rows}
        trial = on_examples(partial(first_of, found))
        chosen = choose_engine(engine, self.run, self.model, passes, trial, self.device)
        self.model = chosen.model
        return chosen

    def measure(self, part: Part) -> ExampleMeasurements:
        """The measurements of some inputs."""
        return measure(self.model, part.examples, device=self.device, importance=self.importance)

    def judge(self, measured: ExampleMeasurements) -> AnomalyVerdicts:
        """The scores of measured inputs."""
        return self.calibration.judge(measured, self.by, self.rate)

    def explained(self, scored: Scored, parts: Sequence[Part], num: int) -> Scored:
        """The scores with explanations of the most anomalous examples."""
        held_out = self.calibration.held_out_scores()[scored.judged.by]
        worst = [index for index in scored.order if scored.judged.is_scored[index]][:num]
        if not worst:
            return replace(scored, held_out=held_out)
        examples = _chosen([part.examples for part in parts], worst)
        found = explain(self.trained, self.calibration, examples, scored.scores["negative-elbo"][worst], self.device)
        return replace(scored, explained=dict(zip(worst, found, strict=True)), held_out=held_out)


def _chosen(parts: Sequence[Examples], indices: Sequence[int]) -> Examples:
    """Some examples of consecutive parts, in the given order."""
    ends = np.cumsum([len(part) for part in parts])
    of_part = np.searchsorted(ends, indices, side="right")
    few = [
        parts[part].subset(np.array([index - (ends[part] - len(parts[part]))]))
        for part, index in zip(of_part.tolist(), indices, strict=True)
    ]
    has_labels = all(one.labels is not None for one in few)
    labels = np.concatenate([np.asarray(one.labels) for one in few]) if has_labels else None
    return replace(few[0], stored=np.concatenate([one.values for one in few]), labels=labels, factors=None)
