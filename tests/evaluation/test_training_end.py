"""Training that was ended by its limit on epochs is told from training that had converged."""

import pytest

from lowerbound.evaluation.training_end import still_improving


def history(*scores, best=None, num_epochs=None):
    best = len(scores) if best is None else best
    limit = len(scores) if num_epochs is None else num_epochs
    return [
        {"epoch": epoch, "num_epochs": limit, "best_epoch": min(best, epoch), "validation": {"objective": score}}
        for epoch, score in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (history(-30.0), True),  # one epoch
        (history(-30.0, -20.0), True),
        (history(-30.0, -24.0, -22.0, -21.0), True),
        (history(-30.0, -20.0, -19.99, -19.98), False),  # converged
        (history(-30.0, -20.0, -18.0, -18.5, best=3), False),
        (history(-30.0, -20.0, num_epochs=9), False),  # ended by patience, or by the user
        ([], False),
        ([{"epoch": 1, "num_epochs": 1, "best_epoch": 0, "validation": None}], False),
    ],
)
def test_a_run_still_improves_if_its_last_epoch_is_the_best_and_the_limit(records, expected):
    assert still_improving(records) == expected
