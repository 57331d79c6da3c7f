"""`python -m lowerbound.ranks`: torchrun, with its arguments, without lines and exit status of its own.

torchrun itself follows an error of a rank with forty lines of its own, and exits with status 1 whatever the status was.
"""

import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from lowerbound.commands import console
from lowerbound.foundation.errors import Interrupted

OF_SIGNALS = 128
"""Added to the number of a signal, as shells do, for the status of a process that it has ended."""

KILLED = -9


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the ranks, and exit with the status of the first that failed."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in ("torch.distributed.elastic", "torch.distributed.run"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        run.run(run.parse_args(list(sys.argv[1:] if arguments is None else arguments)))
    except ChildFailedError as error:
        _exit(*error.get_first_failure())
    except SignalException as error:
        sys.exit(OF_SIGNALS + int(error.sigval))
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_status)


def _exit(rank: int, failure: object) -> NoReturn:
    """Exit as a rank did; one that a signal has ended could not say so."""
    status = int(getattr(failure, "exitcode", 1))
    if status < 0:
        why = ", often because memory ran out" if status == KILLED else ""
        console.fail(f"rank {rank} was ended by signal {-status}{why}.")
    sys.exit(status if status > 0 else OF_SIGNALS - status)


if __name__ == "__main__":
    main()
