"""SweepResults: the runs of a sweep with their scores, for each point of its grid over all seeds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.evaluation.comparison import checksum_of_test
from lowerbound.evaluation.over_seeds import over_seeds
from lowerbound.evaluation.rate_distortion import RatePoint, lower_hull, pareto_set
from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation import html_view
from lowerbound.foundation.text import pluralise

EVIDENCE = ("log-evidence", "grey-evidence")
"""Scores of the exact evidence; where its integral did not converge, the name is another one."""


@dataclass(frozen=True, eq=False)
class SweepRun:
    """One run of a sweep."""

    label: str
    seed: int
    path: Path
    results: Results | None  # None if training failed
    failure: str = ""

    def scores(self) -> list[Score]:
        """Scores of the test split; empty for a run that failed."""
        return [score for score in self.results.scores if score.split == "test"] if self.results else []


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """One point of the grid: the values that were swept, and a run for each seed."""

    label: str
    values: Mapping[str, Any]  # by key, such as objective.rate_weight
    runs: tuple[SweepRun, ...]

    @property
    def results(self) -> list[Results]:
        """Those of the runs that did not fail."""
        return [run.results for run in self.runs if run.results is not None]

    def scores(self) -> list[Score]:
        """Scores of the test split, with errors over examples for a single seed, and means with those over several."""
        if not self.results:
            return []
        found = [score for score in over_seeds(self.results) if score.split == "test"]
        if len(self.results) == 1 < len(self.runs):  # one seed of several has no error over seeds
            found = [replace(score, standard_error=None) for score in found]
        return found

    def score(self, *names: str) -> Score | None:
        """The first of these scores on the test split that is known."""
        by_name = {score.name: score for score in self.scores()}
        return next((by_name[name] for name in names if name in by_name), None)

    @property
    def convention(self) -> str:
        """What log p(x|z) means; empty if all runs failed."""
        return next((score.convention for score in self.scores()), "")

    @property
    def rate_point(self) -> RatePoint | None:
        """Its place in the rate-distortion plane; None without a rate."""
        rate, distortion = self.score("rate"), self.score("distortion")
        return RatePoint(rate.value, distortion.value) if rate and distortion else None


@dataclass(frozen=True, eq=False)
class Plane:
    """Points whose rate and distortion can be compared, with those on the frontier."""

    convention: str
    points: list[SweepPoint]
    pareto: list[SweepPoint]  # by increasing rate
    hull: list[SweepPoint]


@dataclass(frozen=True, eq=False)
class SweepResults:
    """A sweep: the values of each key, and the points of the grid in its order, the last key the fastest."""

    path: Path
    over: Mapping[str, list[Any]]
    points: tuple[SweepPoint, ...]

    @property
    def runs(self) -> tuple[SweepRun, ...]:
        """All runs, in the order in which they were trained."""
        return tuple(run for point in self.points for run in point.runs)

    @property
    def num_seeds(self) -> int:
        """The number of runs of each point."""
        return max(len(point.runs) for point in self.points)

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by their label."""
        return {run.label: run.failure for run in self.runs if run.failure}

    def planes(self) -> list[Plane]:
        """A rate-distortion plane for each convention and set of test examples, without points that have no rate."""
        groups: dict[tuple[str, str], list[SweepPoint]] = {}
        for point in self.points:
            if point.rate_point is not None:
                groups.setdefault((point.convention, checksum_of_test(point.results[0])), []).append(point)
        return [_plane(convention, points) for (convention, _), points in groups.items()]

    def as_json(self) -> dict[str, Any]:
        """Everything that the page shows, for other programs; paths are relative to the sweep's folder."""
        return {
            "over": dict(self.over),
            "points": [self._point_as_json(point) for point in self.points],
            "frontier": [
                {
                    "convention": plane.convention,
                    "pareto_set": [point.label for point in plane.pareto],
                    "lower_convex_hull": [point.label for point in plane.hull],
                }
                for plane in self.planes()
            ],
        }

    def _point_as_json(self, point: SweepPoint) -> dict[str, Any]:
        runs = [
            {"seed": run.seed, "run": run.path.relative_to(self.path).as_posix(), "failure": run.failure}
            | {"scores": [asdict(score) for score in run.scores()]}
            for run in point.runs
        ]
        scores = [asdict(score) for score in point.scores()]
        return {"label": point.label, "values": dict(point.values), "scores": scores, "runs": runs}

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"SweepResults({str(self.path)!r}, {pluralise(len(self.runs), 'run')}{failed})"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(score.name for point in self.points for score in point.scores()))
        found = [(point.label, {score.name: score.text for score in point.scores()}) for point in self.points]
        rows = [(label, *(texts.get(name, "") for name in names)) for label, texts in found]
        failures = html_view.table(("failed", "reason"), self.failures.items()) if self.failures else ""
        return html_view.view(repr(self), html_view.table(("", *names), rows, range(1, 1 + len(names))), failures)


def _plane(convention: str, points: list[SweepPoint]) -> Plane:
    places = [place for point in points if (place := point.rate_point)]
    pareto, hull = ([points[index] for index in find(places)] for find in (pareto_set, lower_hull))
    return Plane(convention, points, pareto, hull)
