"""over_seeds: scores of runs that differ only in their seed, as means with the standard error over seeds."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.numerics import mean_and_standard_error


def over_seeds(results: Sequence[Results]) -> tuple[Score, ...]:
    """Each score's mean over runs, with the standard error over seeds instead of that over examples.

    The scores of a single run keep their standard errors over examples.
    """
    if len(results) == 1:
        return results[0].scores
    found = [{(score.name, score.split): score for score in of_run.scores} for of_run in results]
    summary = []
    # Evidence that did not converge in one of the runs has another name there, and no mean over the runs.
    for key in (key for key in found[0] if all(key in scores for scores in found)):
        scores = [of_run[key] for of_run in found]
        mean = mean_and_standard_error(torch.tensor([score.value for score in scores], dtype=torch.float64))
        about = f"{scores[0].description} (mean ± standard error over {len(results)} seeds)"
        summary.append(
            replace(
                scores[0],
                value=mean.value,
                standard_error=mean.standard_error,
                description=about,
                discretisation_error=_mean_error(scores),
                num_not_converged=sum(score.num_not_converged for score in scores),
            )
        )
    return tuple(summary)


def _mean_error(scores: Sequence[Score]) -> float | None:
    errors = [score.discretisation_error for score in scores if score.discretisation_error is not None]
    return sum(errors) / len(errors) if len(errors) == len(scores) else None
