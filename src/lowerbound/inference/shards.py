"""write_shards(): results for each input as a folder of Parquet files, computed by one process or by several ranks.

Every file holds the results of the same range of inputs, whatever the number of ranks, and states what it was computed
from. A rank computes every n-th file. After an interruption the same command keeps the files that are complete, so each
input has exactly one row.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from lowerbound.data.column_writers import Columns, arrow_columns, needed_pyarrow
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import make_folder, remove_remains, write_bytes
from lowerbound.foundation.text_files import read_json, write_json

ROWS_PER_SHARD = 65_536
SUMMARY = "shards.json"
TOLD = ("skipped", "notes", "records")
"""Fields of a PartResult that the metadata of a file and the summary list."""


@dataclass(frozen=True, eq=False)
class PartResult:
    """The results of some inputs."""

    columns: Columns
    skipped: Sequence[str] = ()  # inputs that could not be read, with the reasons
    notes: Sequence[str] = ()  # how inputs were converted
    records: Sequence[Mapping[str, Any]] = ()  # of some rows, what the columns do not have, as JSON


@dataclass(frozen=True)
class Sharded:
    """A folder of results."""

    path: Path
    num_rows: int
    num_inputs: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    records: tuple[dict[str, Any], ...]


def check_shards(out: Path | None, shards: Path | None) -> None:
    """UsageError for an output that several ranks cannot write together, or for two outputs."""
    if shards is None:
        raise UsageError("several ranks write a folder of Parquet files together; give a folder.", hint="shards")
    if out is not None:
        raise UsageError(f"{out} and {shards} are both given as outputs; give one of them.")
    needed_pyarrow()


def job_of(task: str, **about: Any) -> str:
    """The identity of a task: files of another one are never mistaken for its own."""
    return hashlib.sha256(json.dumps([task, about], sort_keys=True, default=str).encode()).hexdigest()[:16]


def write_shards(
    folder: Path,
    num_inputs: int,
    job: str,
    results: Callable[[int, int], Iterable[PartResult]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sharded:
    """Compute `results(start, stop)` for every shard, on all ranks, and write a Parquet file for each.

    UsageError if the folder contains anything else. `progress` is called with the inputs that this rank has done, and
    has to do.
    """
    share = distributed.join()
    files = _files_for(num_inputs)
    with distributed.together():
        if distributed.is_writer():
            _prepare(folder, files, job)
    own = list(files.items())[share.rank :: share.num_ranks]
    done, total = 0, sum(stop - start for _, (start, stop) in own)
    with distributed.together():
        for name, (start, stop) in own:
            if _about(folder / name).get("job") != job:
                report = partial(_report, progress, done, total)
                _write(folder / name, job, start, stop, results(start, stop), report)
            done += stop - start
            progress(done, total)
    with distributed.together():
        if distributed.is_writer():
            _summarise(folder, files, job, num_inputs)
    return _read_summary(folder)


def _files_for(num_inputs: int) -> dict[str, tuple[int, int]]:
    """The files, with the first input of each and the one after its last."""
    starts = range(0, max(1, num_inputs), ROWS_PER_SHARD)
    edges = ((start, min(start + ROWS_PER_SHARD, num_inputs)) for start in starts)
    return {f"part-{number:05d}.parquet": edge for number, edge in enumerate(edges)}


def _prepare(folder: Path, files: Container[str], job: str) -> None:
    """Make the folder; UsageError if it contains anything but files of this job."""
    make_folder(folder)
    remove_remains(folder)
    for path in sorted(folder.iterdir()):
        is_own = path.name in files and _about(path).get("job") == job
        is_own |= path.name == SUMMARY and path.is_file() and _read_json(path).get("job") == job
        if not is_own:
            raise UsageError(
                f"{folder} is not empty: {path.name} is not of this task, model and data; choose another folder.",
                hint="shards",
            )


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _write(
    path: Path, job: str, start: int, stop: int, parts: Iterable[PartResult], progress: Callable[[int], None]
) -> None:
    arrow = needed_pyarrow()
    from pyarrow import parquet

    tables, done = [], 0
    told: dict[str, list[Any]] = {name: [] for name in TOLD}
    for part in parts:
        arrays = {name: _typed(arrow, values) for name, values in arrow_columns(part.columns).items()}
        tables.append(arrow.table(arrays))
        for name in TOLD:
            told[name] += getattr(part, name)
        done += tables[-1].num_rows
        progress(done)
    whole = arrow.concat_tables(tables, promote_options="default").combine_chunks()
    about = {"job": job, "start": start, "stop": stop, "rows": whole.num_rows, **told}
    buffer = BytesIO()
    parquet.write_table(whole.replace_schema_metadata({"lowerbound": json.dumps(about)}), buffer)
    write_bytes(path, buffer.getvalue())


def _typed(arrow: Any, values: Any) -> Any:
    """A column that is empty in this part has the type of verdicts, which are the only such columns."""
    return values.cast(arrow.int64()) if arrow.types.is_null(values.type) else values


def _about(path: Path) -> dict[str, Any]:
    """What a file states about itself; empty for one that is missing or of another origin."""
    needed_pyarrow()
    from pyarrow import ArrowException, parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
        return dict(json.loads(metadata.get(b"lowerbound", b"{}")))
    except (OSError, ArrowException, ValueError):
        return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except RunError:
        return {}


def _summarise(folder: Path, files: Mapping[str, tuple[int, int]], job: str, num_inputs: int) -> None:
    found = [{"file": name, **_about(folder / name)} for name in files]
    for about, edges in zip(found, files.values(), strict=True):
        if (about.get("start"), about.get("stop")) != edges:
            raise RunError(f"{folder / about['file']} is missing or damaged; remove it, and run the command again.")
    rows = sum(about["rows"] for about in found)
    write_json(folder / SUMMARY, {"job": job, "inputs": num_inputs, "rows": rows, "shards": found})


def _read_summary(folder: Path) -> Sharded:
    content = read_json(folder / SUMMARY)
    told = {name: tuple(one for shard in content["shards"] for one in shard[name]) for name in TOLD}
    return Sharded(folder, content["rows"], content["inputs"], **told)


def counts_in(folder: Path, column: str) -> tuple[int, int]:
    """How many rows have a value in a column of zeros and ones, and how many of these are one."""
    from pyarrow import compute, parquet

    known, ones = 0, 0
    for shard in read_json(folder / SUMMARY)["shards"]:
        values = parquet.read_table(folder / shard["file"], columns=[column])[column]
        known += len(values) - values.null_count
        ones += compute.sum(values).as_py() or 0
    return known, ones
