"""What `lowerbound score` prints: the most anomalous examples, and how many exceed the threshold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowerbound.commands.console import MOST_SHOWN, out, print_notes, print_skipped, print_table

if TYPE_CHECKING:
    from lowerbound.inference.anomaly import ScoredShards
    from lowerbound.inference.scored import Scored


def print_anomalies(scored: "Scored") -> None:
    """Print the most anomalous examples, and how many exceed the threshold."""
    print_notes(scored.notes)
    print_skipped(scored.skipped)
    from lowerbound.inference.scored import verdict_in_words

    judged = scored.judged
    rows = [
        (
            scored.ids[index],
            _number(judged.scores[judged.by][index]),
            _flag(scored, index),
            scored.explained[index].text if index in scored.explained else "",
        )
        for index in scored.order[:MOST_SHOWN]
    ]
    _print_worst(judged.by, rows)
    out.print(f"{verdict_in_words(scored)}{_about_unscored(scored)}", markup=False)


def print_scored_shards(scored: "ScoredShards") -> None:
    """Print the most anomalous inputs, how many exceed the threshold, and where their scores are."""
    from lowerbound.inference.scored import numbers_in_words

    print_notes(scored.notes)
    print_skipped(scored.skipped)
    rows = [
        (one["id"], _number(one["score"]), "anomalous" if one["anomalous"] else "", one["text"])
        for one in scored.explained[:MOST_SHOWN]
    ]
    if rows:
        _print_worst(scored.by, rows)
    out.print(numbers_in_words(scored.num_anomalous, scored.num_scored, scored.by, scored.threshold), markup=False)
    out.print(str(scored.path), markup=False)


def _print_worst(by: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Name, score, verdict and reasons of the most anomalous examples."""
    print_table(("example", by, "", "nats above the held-out mean"), rows, right=(1,))


def _about_unscored(scored: "Scored") -> str:
    """How many examples have no score, and their names."""
    names = [name for name, known in zip(scored.ids, scored.judged.is_scored, strict=True) if not known]
    if not names:
        return ""
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return f" {len(names):,} without a score: {', '.join(names[:MOST_SHOWN])}{more}."


def _number(value: float) -> str:
    return f"{value:.2f}" if value == value else "none"


def _flag(scored: "Scored", index: int) -> str:
    if not scored.judged.is_scored[index]:
        return "no score"
    return "anomalous" if scored.judged.is_anomalous[index] else ""
