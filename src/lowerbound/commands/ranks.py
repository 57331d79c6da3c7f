"""A command on several ranks: one of them prints; commands that run in one process refuse to run on several."""

import warnings

from lowerbound.commands import console
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import UsageError

OF_RANKS = ("train", "evaluate", "encode", "score")
"""Commands that several ranks run together."""


def join_ranks() -> None:
    """Join the ranks that torchrun started with this one, if any; all but the first are silent from here on."""
    if distributed.launched_rank() > 0:
        console.silence()
        warnings.simplefilter("ignore")
    distributed.join()


def check_runs_on_ranks(command: str) -> None:
    """UsageError for a command that several processes would run over one another."""
    if distributed.is_launched() and command not in OF_RANKS:
        join_ranks()
        raise UsageError(
            f"{command} runs in one process; start it without torchrun. Several ranks run {', '.join(OF_RANKS)}."
        )
