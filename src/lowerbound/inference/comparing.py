"""`compare`: runs on the same test examples, with paired differences of the scores that they have in common."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lowerbound.evaluation.comparison import Comparison
from lowerbound.evaluation.comparison import compare as compare_results
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.storage import write_bytes
from lowerbound.reporting import theme
from lowerbound.reporting.comparison_page import write_comparison
from lowerbound.reporting.comparison_plot import comparison_figure
from lowerbound.reporting.pages import ShownRun
from lowerbound.runs.run_data import read_stored

OUTPUTS = (".html", ".png")


def compare(runs: Sequence[RunPath], out: Path | str | None = None) -> Comparison:
    """A comparison of finished runs on the same test examples, the first as the reference.

    With `out`, a .html file, a page with the scores and the figures of all runs is written there; with a .png file only
    a plot of the differences. UsageError for runs with different test examples, or without a score in common.

    Examples:
        >>> lb.compare(["runs/dense", "runs/conv"])
        Comparison(dense, conv: ... scores)
    """
    if isinstance(runs, str | Path):
        raise UsageError(f"compare takes a list of runs, got {str(runs)!r}; such as compare([{str(runs)!r}, 'other']).")
    paths = [path_of(run) for run in runs]
    for path in paths:
        read_stored(path)
    _refuse_repeats(paths)
    place = None if out is None else Path(out)
    if place is not None and place.suffix.lower() not in OUTPUTS:
        raise UsageError(f"{place} ends in {place.suffix or 'nothing'!r}; accepted: {', '.join(OUTPUTS)}.", hint="out")
    shown = [ShownRun(name, path, read_results(path)) for name, path in zip(_distinct_names(paths), paths, strict=True)]
    comparison = compare_results([(run.name, run.results) for run in shown])
    if place is not None and place.suffix.lower() == ".png":
        _check_is_paired(comparison)
        write_bytes(place, theme.png(comparison_figure(comparison)))
    elif place is not None:
        write_comparison(comparison, shown, place)
    return comparison


def _refuse_repeats(paths: Sequence[Path]) -> None:
    """UsageError for a run that is given twice: every difference would be zero."""
    counts = Counter(path.resolve() for path in paths)
    if repeated := [path for path in paths if counts[path.resolve()] > 1]:
        raise UsageError(f"{repeated[0]} is given more than once; a run is compared with others, so give each once.")


def _check_is_paired(comparison: Comparison) -> None:
    if not any(score.is_paired for score in comparison.scores):
        raise UsageError("no score of these runs has values per example, so there is no plot; write a .html page.")


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or all of it where several runs share that."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else str(path) for path in paths]
