"""A training's log, followed while it is written."""

from pathlib import Path
from typing import Any

from lowerbound.errors import RunError
from lowerbound.run_identity import RunIdentity, identity_of
from lowerbound.run_log import LOG, record_of
from lowerbound.serving.explorer.run_folder import is_training


def follow(run: Path, after: int) -> dict[str, Any]:
    """The records of a log from byte `after` on, and the byte to ask for next.

    A last line that is still being written is left for the next time. A log that is shorter than `after` was cut back,
    as resuming does, and is given from its beginning, with "restarted".
    """
    log = run / LOG
    size = log.stat().st_size if log.is_file() else 0
    restarted = after > size
    start = 0 if restarted else after
    content = _read(log, start) if size > start else b""
    whole = content[: content.rfind(b"\n") + 1]
    identity = identity_of(run)
    answer: dict[str, Any] = {
        "records": [record for line in whole.splitlines() if (record := _record(line, identity)) is not None],
        "after": start + len(whole),
        "state": "training" if is_training(run) else "finished",
    }
    return answer | ({"restarted": True} if restarted else {})


def _read(log: Path, start: int) -> bytes:
    with log.open("rb") as file:
        file.seek(start)
        return file.read()


def _record(line: bytes, identity: RunIdentity | None) -> dict[str, Any] | None:
    """One record; None for a line that is damaged, as for an offset within a line, or of another run."""
    try:
        return record_of(line, identity, LOG)
    except RunError:
        return None
