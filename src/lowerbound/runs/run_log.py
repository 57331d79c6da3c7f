"""RunLog: the training log metrics.jsonl, JSON lines that each carry the run's id and a checksum.

A crash can truncate the last line, which is then skipped. Any other damaged line is an error.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.run_identity import RunIdentity, checksum_of, identity_of, mark_of
from lowerbound.foundation.storage import write_text
from lowerbound.foundation.strict import parsed

LOG = "metrics.jsonl"
CHECKSUM_DIGITS = 16
OF_LINE = ("run", "checksum")
"""Keys of a line that are not part of the record."""


class RunLog:
    """The training log in a run directory."""

    def __init__(self, run: Path) -> None:
        self.path = run / LOG
        self.mark = mark_of(run)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line_of({**record, **self.mark}))

    def rewrite(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace the whole log, atomically."""
        write_text(self.path, "".join(line_of({**record, **self.mark}) for record in records))


def read_log(run: Path) -> list[dict[str, Any]]:
    """The complete records of a run's log; none without a log. RunError, with its number, for a damaged line."""
    path = run / LOG
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}.") from error
    identity = identity_of(run)
    # What follows the last line break is empty, or a record that was being written.
    lines = content.split(b"\n")[:-1]
    return [record_of(line, identity, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def read_epochs(run: Path) -> tuple[dict[str, Any], ...]:
    """The log's records at the ends of epochs; raises as `read_log` does, and RunError if there are none."""
    epochs = tuple(record for record in read_log(run) if record["validation"])
    if not epochs:
        raise RunError(
            f"{run / LOG} has no record of a finished epoch; restore it, or resume the run.", hint="resume", path=run
        )
    return epochs


def record_of(line: bytes, identity: RunIdentity | None, place: str) -> dict[str, Any]:
    """The record in one line of a log; RunError, naming `place`, if it is damaged or belongs to another run."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place}: not valid JSON ({error}); the log is damaged, restore it.") from error
    if not isinstance(content, dict) or checksum_of(content)[:CHECKSUM_DIGITS] != content.get("checksum"):
        raise RunError(f"{place}: the record is damaged (its checksum does not match its content); restore the log.")
    if identity is not None and not identity.accepts(str(content.get("run", ""))):
        stated = content.get("run") or "no id"
        raise RunError(f"{place}: the record belongs to another run ({stated}); restore the log.")
    record = {key: value for key, value in content.items() if key not in OF_LINE}
    parsed(Progress, record, f"{place}: the record")
    return record


def line_of(content: Mapping[str, Any]) -> str:
    """A record and its mark as a line of the log; ValueError for NaN and infinity."""
    return json.dumps({**content, "checksum": checksum_of(content)[:CHECKSUM_DIGITS]}, allow_nan=False) + "\n"
