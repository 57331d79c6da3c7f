"""Explorer: the open runs, whose model, examples and latents are loaded or computed once, on the first request.

Requests that follow the pointer have a worker of their own, so that they never wait for the encoding of a whole data
set, which is split into chunks that run after everything else.
"""

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from lowerbound.foundation.errors import DataError, LowerboundError, RunError, UsageError
from lowerbound.foundation.run_identity import MODEL
from lowerbound.inference.engine import check_engine
from lowerbound.serving.explorer.latents import Latents, encode_chunk, join_chunks, stored_latents
from lowerbound.serving.explorer.loaded_run import Arrays, LoadedRun, decode, decoding_batch_size, load_run
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.page_decoder import decoder_program
from lowerbound.serving.explorer.points import Dataset, chunks_of, load_points, reason_unavailable
from lowerbound.serving.explorer.projection import umap_plane
from lowerbound.serving.explorer.run_folder import FileVersion, RunEntry, RunFolder, version_of
from lowerbound.serving.explorer.worker import BACKGROUND, INTERACTIVE, NORMAL, Worker
from lowerbound.serving.image_decoding import Decoders

MAX_OPEN_RUNS = 4  # beyond which the least recently used run is closed
INTERACTIVE_LATENTS = 16  # the most that are decoded by the interactive worker
POLL_INTERVAL = 0.05  # seconds


@dataclass(eq=False)
class OpenRun:
    """One run: its model, and its examples and latents once they are available."""

    loaded: LoadedRun
    model_version: FileVersion
    worker: Worker
    data: str  # where the run's data are now; empty if they have not moved
    data_dir: str
    done: int = 0  # examples that are encoded
    encoded: list[np.ndarray] = field(default_factory=list)  # the chunks so far
    tasks: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def points(self) -> Dataset:
        """The run's examples; DataError if they are unavailable."""
        return await self._once("points", self._load)

    async def latents(self) -> Latents:
        """The latents of all examples, or those in the results if there are no data; DataError without either."""
        return await self._once("latents", self._encode)

    async def latents_from(self, row: int) -> Latents:
        """The latents from `row` on that are available, as soon as there are any; none after the last row."""
        whole = self._task("latents", self._encode)
        while not whole.done() and self.done <= row:
            await asyncio.wait({whole}, timeout=POLL_INTERVAL)
        if whole.done():
            return (await whole).rows(row)
        return await self.worker(partial(join_chunks, await self.points(), self.encoded[:], row))

    async def umap(self) -> Float32[np.ndarray, "n 2"]:
        """The latents of all examples in a plane, by UMAP."""
        return await self._once("umap", self._project)

    async def decoder(self) -> bytes:
        """The decoder with which a page decodes, as ONNX; empty if there is none."""
        return await self._once("decoder", self._export)

    def start_loading(self) -> bool:
        """Start to read the examples unless that has begun; whether the result is still to come."""
        return not self._task("points", self._load).done()

    async def reason_without_points(self) -> str:
        """Why the examples are unavailable; empty if they are available."""
        try:
            await self.points()
        except LowerboundError as error:
            return str(error)
        return ""

    async def points_or_none(self) -> Dataset | None:
        """The run's examples, or None if they are unavailable."""
        try:
            return await self.points()
        except LowerboundError:
            return None

    async def _once(self, name: str, compute: Any) -> Any:
        # A request may be aborted while others wait for the same result.
        return await asyncio.shield(self._task(name, compute))

    def _task(self, name: str, compute: Any) -> asyncio.Task[Any]:
        if name not in self.tasks:
            self.tasks[name] = asyncio.create_task(compute())
        return self.tasks[name]

    async def _load(self) -> Dataset:
        # In a separate thread: reading files needs no worker, and may take long.
        try:
            return await asyncio.to_thread(load_points, self.loaded, self.data, self.data_dir)
        except LowerboundError as error:
            remedy = "Then restart the explorer with --data PATH."
            raise DataError(f"{reason_unavailable(self.loaded, error, self.data)} {remedy}") from error

    async def _export(self) -> bytes:
        # In a separate thread, which waits for a process.
        return await asyncio.to_thread(decoder_program, self.loaded)

    async def _project(self) -> Float32[np.ndarray, "n 2"]:
        # In a thread of its own, because it may take minutes.
        return await asyncio.to_thread(umap_plane, (await self.latents()).mean)

    async def _encode(self) -> Latents:
        try:
            points = await self.points()
        except DataError:
            if (stored := await self.worker(partial(stored_latents, self.loaded))) is not None:
                return stored
            raise
        for chunk in chunks_of(points):
            self.encoded.append(await self.worker(partial(encode_chunk, self.loaded, points, chunk), BACKGROUND))
            self.done += self.encoded[-1].shape[1]
        latents = await self.worker(partial(join_chunks, points, self.encoded))
        self.encoded = []
        return latents


class Explorer:
    """The runs of a folder, those that are open, and the workers that compute."""

    def __init__(
        self, root: Path, data: str = "", data_dir: str = "", device: str = "auto", engine: str = "auto"
    ) -> None:
        check_engine(engine)
        self.folder = RunFolder(root)
        if data and not self.folder.is_single:
            raise UsageError(f"{root} contains several runs; give the one whose data were moved.", hint="data")
        self.data, self.data_dir, self.device, self.engine = data, data_dir, device, engine
        self.open_runs: OrderedDict[Path, OpenRun] = OrderedDict()
        self.opening = asyncio.Lock()
        # One thread for a few latents; half of the cores for the rest, so that a training can run at the same time.
        self.interactive_worker = Worker("interactive", 1)
        self.batch_worker = Worker("batch", max(1, (os.cpu_count() or 1) // 2))
        self.decoders = Decoders()

    async def open(self, entry: RunEntry) -> OpenRun:
        """A run that has a model; RunError if it cannot be read."""
        current = version_of(entry.path / MODEL)
        if not self._is_open(entry.path, current):
            async with self.opening:
                if not self._is_open(entry.path, current):
                    self.open_runs[entry.path] = OpenRun(
                        await self._load(entry), current, self.batch_worker, self.data, self.data_dir
                    )
        run = self.open_runs[entry.path]
        self.open_runs.move_to_end(entry.path)
        while len(self.open_runs) > MAX_OPEN_RUNS:
            self.open_runs.popitem(last=False)
        return run

    def _is_open(self, path: Path, current: FileVersion) -> bool:
        """Whether the current version of a run's model is loaded."""
        return path in self.open_runs and self.open_runs[path].model_version == current

    async def decode(self, loaded: LoadedRun, z: Float32[np.ndarray, "n latent"]) -> Arrays:
        """Decoded latents; many of them in batches, so that other jobs run in between."""
        is_interactive = len(z) <= INTERACTIVE_LATENTS
        worker, priority = (self.interactive_worker, INTERACTIVE) if is_interactive else (self.batch_worker, NORMAL)
        loaded.check_values(len(z))
        size = decoding_batch_size(loaded)
        starts = range(0, len(z), size)
        decoded = [await worker(partial(decode, loaded, z[start : start + size], start), priority) for start in starts]
        return {name: np.concatenate([batch[name] for batch in decoded]) for name in decoded[0]}

    def close(self) -> None:
        """End the workers and the image decoders."""
        self.interactive_worker.close()
        self.batch_worker.close()
        self.decoders.close()

    async def _load(self, entry: RunEntry) -> LoadedRun:
        try:
            return await self.batch_worker(partial(load_run, entry.path, self.device, self.engine))
        except LowerboundError as error:
            reason = without_paths(str(error), entry.path)
            self.folder.mark_broken(entry.path, reason)
            raise RunError(reason) from error
