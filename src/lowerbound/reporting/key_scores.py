"""key_scores: the few scores by which a run is judged first, out of all of its scores."""

from collections.abc import Iterable

from lowerbound.evaluation.results import Score

MOST = 5

ORDER = (
    ("log-evidence", "grey-evidence", "importance-bound"),
    ("elbo", "reconstruction-error"),
    ("distortion",),
    ("rate",),
    ("evidence-gap", "importance-error"),
    ("bits-per-dimension",),
    ("squared-error",),
)
"""Of each group the first score that a run has."""


def key_scores(scores: Iterable[Score], split: str = "test") -> list[Score]:
    """At most five scores of a split: the level of log p(x), the ELBO, its terms, and its gap or the bits."""
    of_split = {score.name: score for score in scores if score.split == split}
    first = (next((of_split[name] for name in group if name in of_split), None) for group in ORDER)
    return [score for score in first if score is not None][:MOST]
