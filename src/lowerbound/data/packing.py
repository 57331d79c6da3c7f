"""write_packed(): writes packed data, shard by shard, in parallel; what is interrupted goes on where it was.

The rows of a split are written in its order, which is random for training examples: shuffling within a window of blocks
is then as good as shuffling all of them. A shard is 16 to 256 MiB of consecutive rows, and its bytes depend only on the
plan, so neither the number of workers nor an interruption changes them. The manifest, which completes the folder, is
written last.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import reduce
from math import prod
from operator import or_
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.moments import Moments, moments_of
from lowerbound.data.packed_files import (
    MANIFEST,
    PACKED_VERSION,
    STATISTICS,
    Block,
    Manifest,
    PackedSplit,
    Shard,
    block_rows_for,
    described_shard,
    needed_pyarrow,
    read_manifest,
    shard_about,
    write_manifest,
    write_shard,
)
from lowerbound.data.packing_input import PackingInput, SplitRows
from lowerbound.data.reading import format_bytes
from lowerbound.data.remote import Location
from lowerbound.data.support_scan import SupportScan
from lowerbound.data.threads import in_order
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.folder_lock import LOCK, locked_folder
from lowerbound.foundation.run_identity import digest
from lowerbound.foundation.storage import PART
from lowerbound.foundation.tensor_files import save_tensors, stated_checksum

SHARD_BYTES = 2**28
LEAST_SHARD_BYTES = 2**24
SHARDS = 16
"""Shards of a split, at least, where they are not smaller than the least: workers share them."""

READ_BYTES = 2**24
"""Values that a worker reads at a time, in the order of the source."""

SPARE = 2**16
"""Bytes of metadata and manifest, at least; free space beyond that of the values."""

Report = Callable[[str, int, int], None]
"""Told of a stage, and how many of how many rows are done."""


@dataclass(frozen=True)
class Job:
    """One shard to write."""

    split: str
    number: int  # of the shard in its split
    start: int  # of its rows in the split
    stop: int
    about: str  # kept in the shard's metadata: the plan and the shard

    @property
    def file(self) -> str:
        """The shard's name."""
        return f"{self.split}-{self.number:05d}.arrow"


@dataclass(frozen=True, eq=False)
class Plan:
    """What decides the bytes of all shards."""

    data: PackingInput
    block_rows: int
    jobs: tuple[Job, ...]

    @property
    def num_rows(self) -> int:
        """Rows of all splits."""
        return sum(split.num_rows for split in self.data.splits.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of the values of a row."""
        return prod(self.data.schema.shape) * np.dtype(self.data.dtype).itemsize

    @property
    def learned(self) -> str:
        """The split whose mean and deviation are stated."""
        return "train" if "train" in self.data.splits else "test"


def plan_of(data: PackingInput, settings: dict[str, object]) -> Plan:
    """The plan of packing some data; `settings` are those that decide the order of rows."""
    row_bytes = prod(data.schema.shape) * np.dtype(data.dtype).itemsize
    block_rows = block_rows_for(row_bytes)
    sizes = {name: split.num_rows for name, split in data.splits.items()}
    decisive = {"schema": asdict(data.schema), "content": data.content, "dtype": data.dtype, "sizes": sizes}
    mark = digest({**decisive, "block_rows": block_rows, "shard_bytes": SHARD_BYTES, "settings": settings})
    jobs = tuple(
        Job(name, number, start, min(start + shard_rows, rows), f"{mark} {name} {number}")
        for name, rows in sizes.items()
        for shard_rows in [_shard_rows(rows, row_bytes, block_rows)]
        for number, start in enumerate(range(0, rows, shard_rows))
    )
    return Plan(data, block_rows, jobs)


def _shard_rows(rows: int, row_bytes: int, block_rows: int) -> int:
    """Rows of each shard of a split, whole blocks."""
    num_bytes = min(SHARD_BYTES, max(LEAST_SHARD_BYTES, rows * row_bytes // SHARDS))
    return max(1, num_bytes // max(1, row_bytes) // block_rows) * block_rows


@dataclass
class Seen:
    """What the manifest states of the values of a shard or a split."""

    support: SupportScan
    moments: Moments | None = None
    has_moments: bool = True  # only those of the split that is learned from are stated

    def add(self, values: np.ndarray) -> None:
        """Look at a block."""
        self.support.add(values)
        if self.has_moments:
            of_block = moments_of(values)
            self.moments = of_block if self.moments is None else self.moments | of_block

    def merge(self, other: "Seen") -> None:
        """Add what was seen of the next shard."""
        self.support |= other.support
        if other.moments is not None:
            self.moments = other.moments if self.moments is None else self.moments | other.moments


def write_packed(out: Path, plan: Plan, workers: int = 1, report: Report | None = None) -> tuple[Manifest, bool]:
    """Write packed data, or go on with those of the same plan; the manifest, and whether anything was written.

    UsageError if the folder contains anything else, or other packed data.
    """
    needed_pyarrow()
    with locked_folder(out):
        damaged: set[str] = set()
        if (out / MANIFEST).exists():
            manifest, damaged = _complete(out, plan)
            if manifest is not None and not damaged:
                return manifest, False
        kept = _kept(out, plan) - damaged
        _check_space(out, plan, kept)
        shards, seen = _write_shards(out, plan, kept, workers, report)
        plan.data.check_unchanged()
        manifest = _manifest(out, plan, shards, seen)
        write_manifest(out, manifest)
    return manifest.sealed(), True


def _complete(out: Path, plan: Plan) -> tuple[Manifest | None, set[str]]:
    """The manifest of packed data, None if it is damaged or a file is missing, and the shards that are damaged, which
    are written again; UsageError if the data are of another plan.
    """
    about = {job.file: job.about for job in plan.jobs}
    found = {name: shard_about(out / name) for name in about}
    if any(mark and mark != about[name] for name, mark in found.items()):
        raise UsageError(
            f"{out} contains other packed data, or the same packed with other settings; choose another folder.", hint=""
        )
    try:
        manifest = read_manifest(Location(out))
    except DataError:
        return None, set()
    known = {shard.file: shard for split in manifest.splits.values() for shard in split.shards}
    if known.keys() != about.keys():
        raise UsageError(f"{out} contains other packed data; choose another folder.")
    return manifest, {name for name, shard in known.items() if not _is_intact(out / name, shard)}


def _is_intact(path: Path, shard: Shard) -> bool:
    # A damaged file makes the library raise nearly anything.
    with suppress(Exception):
        return described_shard(path) == shard
    return False


def _kept(out: Path, plan: Plan) -> set[str]:
    """The shards of this plan that are there; UsageError if the folder contains anything else."""
    about = {job.file: job.about for job in plan.jobs}
    others = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in (*about, LOCK, STATISTICS, MANIFEST) and not path.name.endswith(PART)
    )
    if others:
        raise UsageError(f"{out} is not empty: it contains {others[0]}; choose another folder, or empty it.")
    there = {name: shard_about(out / name) for name in about if (out / name).exists()}
    if wrong := [name for name, found in there.items() if found and found != about[name]]:
        raise UsageError(
            f"{out} contains {wrong[0]} of other data or settings, whose packing was interrupted; choose another "
            "folder, or empty it."
        )
    return {name for name, found in there.items() if found}


def _check_space(out: Path, plan: Plan, kept: set[str]) -> None:
    needed = sum((job.stop - job.start) * plan.row_bytes for job in plan.jobs if job.file not in kept) + SPARE
    free = shutil.disk_usage(out).free
    if needed > free:
        came = f"{os.strerror(errno.ENOSPC)}: {format_bytes(needed)} are needed, and {format_bytes(free)} are free"
        raise OSError(errno.ENOSPC, came, str(out))


def _write_shards(
    out: Path, plan: Plan, kept: set[str], workers: int, report: Report | None
) -> tuple[dict[str, list[Shard]], dict[str, Seen]]:
    shards: dict[str, list[Shard]] = {name: [] for name in plan.data.splits}
    seen = {name: _nothing_seen(plan, name) for name in plan.data.splits}
    progress = _Progress(plan.num_rows, report)

    def write(job: Job) -> tuple[Job, Shard, Seen]:
        return job, *_written(out, plan, job, job.file in kept, progress)

    for job, shard, of_shard in in_order(write, plan.jobs, workers, progress.stop):
        shards[job.split].append(shard)
        seen[job.split].merge(of_shard)
    return shards, seen


def _nothing_seen(plan: Plan, split: str) -> Seen:
    schema = plan.data.schema
    return Seen(SupportScan(schema.range, schema.layout), has_moments=split == plan.learned)


class _Progress:
    """Counts rows, and stops the threads when the main one has ended."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.total, self.report = total, report
        self.done, self.is_over = 0, False

    def stop(self) -> None:
        """Let threads that are still writing end with their next block."""
        self.is_over = True

    def add(self, rows: int) -> None:
        """Report that rows were written."""
        if self.is_over:
            raise InterruptedError
        self.done += rows
        if self.report is not None:
            self.report("packing", self.done, self.total)


def _written(out: Path, plan: Plan, job: Job, is_kept: bool, progress: _Progress) -> tuple[Shard, Seen]:
    """A shard, written now or before; damaged ones are written again."""
    path, seen = out / job.file, _nothing_seen(plan, job.split)

    def noted(blocks: Iterator[Block]) -> Iterator[Block]:
        for values, labels in blocks:
            seen.add(values)
            yield values, labels
            progress.add(len(values))

    if is_kept:
        # A damaged file makes the library raise nearly anything.
        with suppress(Exception):
            if (shard := described_shard(path, noted)).rows == job.stop - job.start:
                return shard, seen
        seen = _nothing_seen(plan, job.split)
    return write_shard(path, noted(_blocks(plan, job)), job.about), seen


def _blocks(plan: Plan, job: Job) -> Iterator[Block]:
    at_once = max(1, READ_BYTES // max(1, plan.row_bytes) // plan.block_rows) * plan.block_rows
    split: SplitRows = plan.data.splits[job.split]
    for start in range(job.start, job.stop, at_once):
        values, labels = split.read(start, min(start + at_once, job.stop))
        for first in range(0, len(values), plan.block_rows):
            rows = slice(first, first + plan.block_rows)
            yield values[rows], None if labels is None else labels[rows]


def _manifest(out: Path, plan: Plan, shards: dict[str, list[Shard]], seen: dict[str, Seen]) -> Manifest:
    moments = seen[plan.learned].moments
    assert moments is not None
    statistics = {"mean": torch.from_numpy(moments.mean), "deviation": torch.from_numpy(moments.deviation)}
    save_tensors(out / STATISTICS, statistics, {})
    data = plan.data
    splits = {
        name: PackedSplit(
            rows=sum(shard.rows for shard in of_split), shards=tuple(of_split), support=seen[name].support.support
        )
        for name, of_split in shards.items()
    }
    support = reduce(or_, [split.support for split in splits.values()])
    return Manifest(
        packed_version=PACKED_VERSION,
        name=data.name,
        schema=data.completed(support),
        dtype=data.dtype,
        block_rows=plan.block_rows,
        splits=splits,
        has_own_splits=data.has_own_splits,
        statistics=stated_checksum(out / STATISTICS),
        notes=(*data.notes, *data.notes_after(support)),
        skipped=data.skipped,
    )
