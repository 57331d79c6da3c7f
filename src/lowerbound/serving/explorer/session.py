"""What is open and what is at work: models, examples and codes are read or computed once, when first asked for.

Pointers have a lane of their own, and so never wait for the codes of a whole data set, whose parts go behind everything
else that someone asks for.
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
from lowerbound.serving.explorer.latents import Latents, codes_of, encode_chunk, stored_codes
from lowerbound.serving.explorer.loaded_run import Arrays, Space, decode, examples_at_once, open_space
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.points import Dataset, chunks_of, load_points, why_absent
from lowerbound.serving.explorer.run_folder import FileVersion, RunEntry, RunFolder, stamp
from lowerbound.serving.explorer.worker import AHEAD, ASKED, POINTER, Lane
from lowerbound.serving.image_decoding import Decoders

MOST_OPEN = 4  # runs; the one that was asked for longest ago is closed
FEW = 16  # latents that are decoded in the pointers' lane


@dataclass(eq=False)
class Opened:
    """One run: its model, and its examples and codes once they are there."""

    space: Space
    stamp: FileVersion  # of its model
    lane: Lane
    data: str  # where the run's data lie now; empty for where they were
    data_dir: str
    stage: str = "loading data"
    done: int = 0
    total: int = 0
    tasks: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def points(self) -> Dataset:
        """The run's examples; DataError where they are unavailable."""
        return await self._once("points", self._load)

    async def codes(self) -> Latents:
        """The codes of all points; without data those that the results hold; DataError where there are none."""
        return await self._once("codes", self._encode)

    async def why_no_points(self) -> str:
        """Why the examples are unavailable; empty where they are there."""
        try:
            await self.points()
        except LowerboundError as error:
            return str(error)
        return ""

    async def points_or_none(self) -> Dataset | None:
        """The run's examples, or None where they are unavailable."""
        try:
            return await self.points()
        except LowerboundError:
            return None

    async def _once(self, name: str, compute: Any) -> Any:
        if name not in self.tasks:
            self.tasks[name] = asyncio.create_task(compute())
        # Whoever asked may go away; others wait for the same.
        return await asyncio.shield(self.tasks[name])

    async def _load(self) -> Dataset:
        # In a thread of its own: reading files needs no lane, and may take long.
        try:
            return await asyncio.to_thread(load_points, self.space, self.data, self.data_dir)
        except LowerboundError as error:
            remedy = "Then start the explorer again."
            raise DataError(f"{why_absent(self.space, error, self.data)} {remedy}") from error

    async def _encode(self) -> Latents:
        try:
            points = await self.points()
        except DataError:
            if (known := await self.lane(partial(stored_codes, self.space))) is not None:
                self.stage = "ready"
                return known
            raise
        self.stage, self.total = "encoding", len(points)
        encoded = []
        for chunk in chunks_of(points):
            encoded.append(await self.lane(partial(encode_chunk, self.space, points, chunk), AHEAD))
            self.done += encoded[-1].shape[1]
        codes = await self.lane(partial(codes_of, points, encoded))
        self.stage = "ready"
        return codes


class Explorer:
    """The runs of a folder, those that are open, and the lanes in which they compute."""

    def __init__(self, root: Path, data: str = "", data_dir: str = "", device: str = "auto") -> None:
        self.folder = RunFolder(root)
        if data and not self.folder.is_single:
            raise UsageError(f"--data names the data of one run, {root} holds several; give the run.")
        self.data, self.data_dir, self.device = data, data_dir, device
        self.opened: OrderedDict[Path, Opened] = OrderedDict()
        self.opening = asyncio.Lock()
        # One thread for a point or two; half of them for the rest, so that a training beside it goes on.
        self.pointers = Lane("pointers", 1)
        self.steady = Lane("steady", max(1, (os.cpu_count() or 1) // 2))
        self.decoders = Decoders()

    async def open(self, found: RunEntry) -> Opened:
        """A run that has a model; RunError where that cannot be read."""
        current = stamp(found.path / MODEL)
        if not self._is_open(found.path, current):
            async with self.opening:
                if not self._is_open(found.path, current):
                    self.opened[found.path] = Opened(
                        await self._space(found), current, self.steady, self.data, self.data_dir
                    )
        opened = self.opened[found.path]
        self.opened.move_to_end(found.path)
        while len(self.opened) > MOST_OPEN:
            self.opened.popitem(last=False)
        return opened

    def _is_open(self, path: Path, current: FileVersion) -> bool:
        """Whether a run's model has been read, and is still the one that is there."""
        return path in self.opened and self.opened[path].stamp == current

    async def decode(self, opened: Opened, z: Float32[np.ndarray, "n latent"]) -> Arrays:
        """Decoded latents; many of them part by part, so that others pass between."""
        lane, priority = (self.pointers, POINTER) if len(z) <= FEW else (self.steady, ASKED)
        size = examples_at_once(opened.space)
        parts = [z[start : start + size] for start in range(0, len(z), size)]
        shown = [await lane(partial(decode, opened.space, part), priority) for part in parts]
        return {name: np.concatenate([part[name] for part in shown]) for name in shown[0]}

    def close(self) -> None:
        """Let the lanes end, and the processes that decode."""
        self.pointers.close()
        self.steady.close()
        self.decoders.close()

    async def _space(self, found: RunEntry) -> Space:
        try:
            return await self.steady(partial(open_space, found.path, self.device))
        except LowerboundError as error:
            reason = without_paths(str(error), found.path)
            self.folder.mark_broken(found.path, reason)
            raise RunError(reason) from error
