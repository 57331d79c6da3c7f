"""key_scores: the few scores by which a run is judged first, out of all of its scores."""

from collections.abc import Iterable, Mapping

from lowerbound.evaluation.results import Score
from lowerbound.foundation.text import pluralise

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


def most_examples(scores: Iterable[Score], split: str) -> int:
    """The number of examples of most scores of a split; 0 if it has none."""
    counts = [score.num_examples for score in scores if score.split == split]
    return max(counts, key=counts.count, default=0)


def examples_in_words(count: int, split: str, sizes: Mapping[str, int]) -> str:
    """A number of examples, and of how many of the split they are some: 15 of 120 examples."""
    size = sizes.get(split, count)
    return f"{count:,} of {pluralise(size, 'example')}" if size > count else pluralise(count, "example")
