"""What `lowerbound score` prints: the most anomalous examples, and how many exceed the threshold."""

from typing import TYPE_CHECKING

from lowerbound.commands.console import MOST_SHOWN, out, print_notes, print_skipped, print_table

if TYPE_CHECKING:
    from lowerbound.inference.anomaly import Scored, ScoredShards


def print_anomalies(scored: "Scored") -> None:
    """Print the most anomalous examples, and how many exceed the threshold."""
    print_notes(scored.notes)
    print_skipped(scored.skipped)
    judged = scored.judged
    order = sorted(range(len(scored.ids)), key=lambda index: _rank(scored, index))
    rows = [
        (scored.ids[index], *(_number(values[index]) for values in judged.scores.values()), _flag(scored, index))
        for index in order[:MOST_SHOWN]
    ]
    print_table(("example", *judged.scores, ""), rows, right=range(1, 1 + len(judged.scores)))
    num_scored = len(scored.ids) - scored.num_unscored
    unscored = _about_unscored(scored)
    out.print(
        f"{int(judged.is_anomalous.sum()):,} of {num_scored:,} are anomalous: {judged.by} above "
        f"{judged.threshold.value:.2f}, the threshold for a false-alarm rate of {judged.threshold.rate:.3g}, estimated "
        f"from {judged.threshold.num_examples:,} held-out examples.{unscored}",
        markup=False,
    )


def print_scored_shards(scored: "ScoredShards") -> None:
    """Print how many inputs exceed the threshold, and where their scores are."""
    print_skipped(scored.skipped)
    out.print(
        f"{scored.num_anomalous:,} of {scored.num_scored:,} are anomalous: {scored.by} above "
        f"{scored.threshold.value:.2f}, the threshold for a false-alarm rate of {scored.threshold.rate:.3g}, estimated "
        f"from {scored.threshold.num_examples:,} held-out examples.",
        markup=False,
    )
    out.print(str(scored.path), markup=False)


def _about_unscored(scored: "Scored") -> str:
    """How many examples have no score, and their names."""
    names = [name for name, known in zip(scored.ids, scored.judged.is_scored, strict=True) if not known]
    if not names:
        return ""
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return f" {len(names):,} without a score: {', '.join(names[:MOST_SHOWN])}{more}."


def _rank(scored: "Scored", index: int) -> float:
    """Sorts the most anomalous examples first, and those without a score last."""
    value = float(scored.judged.scores[scored.judged.by][index])
    return -value if value == value else float("inf")


def _number(value: float) -> str:
    return f"{value:.2f}" if value == value else "none"


def _flag(scored: "Scored", index: int) -> str:
    if not scored.judged.is_scored[index]:
        return "no score"
    return "anomalous" if scored.judged.is_anomalous[index] else ""
