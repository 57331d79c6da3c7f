"""Scored: anomaly scores of examples, the verdicts, and why the most anomalous ones have their scores."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lowerbound.data.column_writers import Columns, records
from lowerbound.evaluation.anomaly_scores import AnomalyVerdicts
from lowerbound.evaluation.conformal import Threshold
from lowerbound.foundation import html_view
from lowerbound.foundation.number_format import format_number
from lowerbound.inference.explanations import Explanation

MOST_SHOWN = 10  # examples in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Scored:
    """Scores of examples, and which of them are anomalous."""

    ids: tuple[str, ...]
    judged: AnomalyVerdicts
    skipped: tuple[str, ...] = ()  # files and rows that could not be read, with the reasons
    notes: tuple[str, ...] = ()  # how the examples were converted
    explained: dict[int, Explanation] = field(default_factory=dict)
    """Why the most anomalous examples have their scores, by their position, the most anomalous first."""
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0))
    """The deciding score of the held-out examples from which the threshold comes."""
    engine: str = "torch"  # what computed the networks

    @property
    def order(self) -> list[int]:
        """Positions of all examples, the most anomalous first, those without a score last."""
        deciding = self.judged.scores[self.judged.by]
        return np.argsort(np.where(np.isnan(deciding), np.inf, -deciding), kind="stable").tolist()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        threshold = self.judged.threshold
        return (
            f"Scored({int(self.is_anomalous.sum()):,} of {len(self) - self.num_unscored:,} anomalous, {self.judged.by} "
            f"above {threshold.value:.2f} nats)"
        )

    def _repr_html_(self) -> str:
        rows = [(self.ids[index], *self._row(index)) for index in self.order[:MOST_SHOWN]]
        header = ("example", self.judged.by, "", "nats above the held-out mean")
        shown = html_view.paragraph(f"The {len(rows)} most anomalous:") if len(rows) < len(self) else ""
        return html_view.view(
            "Anomaly scores", html_view.paragraph(verdict_in_words(self)), shown, html_view.table(header, rows, (1,))
        )

    def _row(self, index: int) -> tuple[str, str, str]:
        if not self.judged.is_scored[index]:
            return "none", "no score", ""
        verdict = "anomalous" if self.judged.is_anomalous[index] else ""
        why = self.explained[index].text if index in self.explained else ""
        return format_number(self.judged.scores[self.judged.by][index].item(), 2), verdict, why

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
    found = {
        "skipped": scored.skipped,
        "notes": scored.notes,
        "num_unscored": scored.num_unscored,
        "engine": scored.engine,
    }
    return {**about, **found, "examples": records(scored.columns), "explained": explanations(scored)}


def explanations(scored: Scored) -> list[dict[str, Any]]:
    """The most anomalous examples with the reasons, as JSON for other programs, the most anomalous first."""
    deciding = scored.scores[scored.judged.by]
    return [
        {
            "id": scored.ids[index],
            "score": float(deciding[index]),
            "anomalous": bool(scored.is_anomalous[index]),
            "text": explained.text,
            **explained.as_json(),
        }
        for index, explained in scored.explained.items()
    ]


def verdict_in_words(scored: Scored) -> str:
    """How many examples are anomalous, by which score and threshold."""
    num_anomalous, num_scored = int(scored.is_anomalous.sum()), len(scored) - scored.num_unscored
    return numbers_in_words(num_anomalous, num_scored, scored.judged.by, scored.judged.threshold)


def _rounded_up(rate: float) -> float:
    """A rate that is accepted where this one is: the least possible one is not below itself."""
    return math.ceil(rate * 1e4 - 1e-6) / 1e4


def numbers_in_words(num_anomalous: int, num_scored: int, by: str, threshold: Threshold) -> str:
    """The same from the numbers."""
    return (
        f"{num_anomalous:,} of {num_scored:,} are anomalous: {by} above {threshold.value:.2f}, the threshold for a "
        f"false-alarm rate of {_rounded_up(threshold.rate):.4g}, estimated from {threshold.num_examples:,} held-out "
        "examples."
    )
