"""A command on several ranks: one of them prints."""

import warnings

from lowerbound.commands import console
from lowerbound.foundation import distributed


def join_ranks() -> None:
    """Join the ranks that torchrun started with this one, if any; all but the first are silent from here on."""
    if distributed.launched_rank() > 0:
        console.silence()
        warnings.simplefilter("ignore")
    distributed.join()
