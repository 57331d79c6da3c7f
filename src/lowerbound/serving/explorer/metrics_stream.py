"""A training's log, followed while it is written."""

from pathlib import Path
from typing import Any

from lowerbound.foundation.run_identity import identity_of
from lowerbound.runs.run_log import LOG, record_of
from lowerbound.serving.explorer.run_folder import is_training


def follow(run: Path, after: int) -> dict[str, Any]:
    """The records of a log from byte `after` on, and the byte to ask for next.

    A last line that is still being written is left for the next time. A log that is shorter than `after` was cut back,
    as resuming does, and is given from its beginning, with "restarted". An offset within a line gives the next ones.
    RunError, with the place, for a record that is damaged or another run's.
    """
    log = run / LOG
    size = log.stat().st_size if log.is_file() else 0
    restarted = after > size
    start = 0 if restarted else after
    content, is_within = _read(log, start) if size > start else (b"", False)
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.split(b"\n")[:-1][int(is_within) :]
    identity = identity_of(run)
    answer: dict[str, Any] = {
        "records": [record_of(line, identity, f"{log}, record {number}") for number, line in enumerate(lines, 1)],
        "after": start + len(whole),
        "state": "training" if is_training(run) else "finished",
    }
    return answer | ({"restarted": True} if restarted else {})


def _read(log: Path, start: int) -> tuple[bytes, bool]:
    """What follows a byte, and whether that lies within a line."""
    with log.open("rb") as file:
        file.seek(max(0, start - 1))
        before = file.read(1) if start else b"\n"
        return file.read(), before != b"\n"
