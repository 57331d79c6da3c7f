"""new_records: what was appended to a run's training log (metrics.jsonl) since the page last read it."""

from pathlib import Path
from typing import Any

from lowerbound.foundation.run_identity import identity_of
from lowerbound.runs.run_log import LOG, record_of
from lowerbound.serving.explorer.run_folder import is_training


def new_records(run: Path, after: int) -> dict[str, Any]:
    """The records of a log from byte `after` on, and the byte to continue from.

    An incomplete last line is left for the next call. A log shorter than `after` was truncated, as when a run is
    resumed; its records are returned from the start, with "restarted". An offset inside a line continues with the next
    line. RunError, with the place, for a record that is damaged or belongs to another run.
    """
    log = run / LOG
    size = log.stat().st_size if log.is_file() else 0
    restarted = after > size
    start = 0 if restarted else after
    content, is_inside_line = _read(log, start) if size > start else (b"", False)
    complete = content[: content.rfind(b"\n") + 1]
    lines = complete.split(b"\n")[:-1][int(is_inside_line) :]
    identity = identity_of(run)
    update: dict[str, Any] = {
        "records": [record_of(line, identity, f"{log}, record {number}") for number, line in enumerate(lines, 1)],
        "after": start + len(complete),
        "state": "training" if is_training(run) else "finished",
    }
    return update | ({"restarted": True} if restarted else {})


def _read(log: Path, start: int) -> tuple[bytes, bool]:
    """The content from a byte on, and whether that byte is inside a line."""
    with log.open("rb") as file:
        file.seek(max(0, start - 1))
        before = file.read(1) if start else b"\n"
        return file.read(), before != b"\n"
