"""What several ranks that train one model check together: their batches, their checkpoints, and the run directory."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from lowerbound.foundation import distributed
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import mark_of
from lowerbound.foundation.shares import Share
from lowerbound.runs.experiment import Experiment
from lowerbound.training.group_stepping import check_can_be_shared

SEEING = 30.0  # seconds until what one machine has written must be visible on another


def announce_ranks(experiment: Experiment, message: Callable[[str], None]) -> None:
    """Say how several ranks divide a batch; ConfigError for what they cannot compute."""
    share, batch_size = distributed.share(), experiment.training.batch_size
    if not share.is_whole:
        check_can_be_shared(experiment.objective, batch_size, share)
        message(describe_ranks(share.num_ranks, distributed.backend(), batch_size))


def describe_ranks(num_ranks: int, backend: str, batch_size: int) -> str:
    """How the ranks divide a batch, in one line."""
    rows = [Share(rank, num_ranks).rows(batch_size) for rank in range(num_ranks)]
    sizes = " or ".join(map(str, sorted({part.stop - part.start for part in rows})))
    return f"{num_ranks} ranks ({backend}): each takes {sizes} of the {batch_size:,} examples of a batch"


def check_see_the_same(folder: Path, found: str) -> None:
    """RunError if ranks have found different things in a folder, as they do if each has a folder of its own."""
    everywhere = distributed.texts(found)
    if len(set(everywhere)) > 1:
        listed = ", ".join(f"rank {rank}: {one}" for rank, one in enumerate(everywhere))
        raise RunError(f"the ranks see different checkpoints in {folder} ({listed}); {ONE_FILE_SYSTEM}.")


def check_see_the_run(path: Path) -> None:
    """RunError on every rank unless all see the run that the first one writes into a directory."""
    mark = distributed.texts(mark_of(path).get("run", "") if distributed.is_writer() else "")[0]
    deadline = time.monotonic() + SEEING
    with distributed.together():
        while mark_of(path).get("run", "") != mark:
            if time.monotonic() > deadline:
                raise RunError(f"{socket.gethostname()} does not see the run that rank 0 writes into {path}; "
                               f"{ONE_FILE_SYSTEM}.")  # fmt: skip
            time.sleep(0.2)


ONE_FILE_SYSTEM = "give a directory on a file system that all machines share"
