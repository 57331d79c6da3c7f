"""compress and decompress: examples to a file and back, with a trained model.

The file is as long as the bound says: −ELBO of the examples in bits, a few bits to begin with, and the header.
"""

import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.coding.bits_back import Block, BlockCoder, check_can_code, choose_grid
from lowerbound.coding.element_coding import element_coder
from lowerbound.coding.entropy_coder import refusing_nonsense
from lowerbound.coding.rounded_networks import RoundedNetworks
from lowerbound.compression.bit_picture import check_has_picture, write_bit_picture
from lowerbound.compression.container import (
    MAX_BLOCK,
    MAX_LANES,
    BlockEntry,
    Container,
    Header,
    crc_of,
    entry_of,
    open_container,
    read_block,
    write_container,
)
from lowerbound.compression.stored_levels import Levels, Units, levels_of
from lowerbound.data.examples import Collection
from lowerbound.data.reading import STANDARD_LIMIT
from lowerbound.foundation.errors import DataError, LowerboundError, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.threads import one_thread
from lowerbound.models.vae import VAE
from lowerbound.runs.inputs import InputOptions, read_inputs
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.training.checkpoint import model_checksum, model_file

LANES, BLOCK = 4, 10_000
"""Examples coded together, and in each block."""

DIGITS = 32  # of a model's checksum that the header has
Progress = Callable[[int, int], None]
"""Called with the number of examples that are done, and of all."""


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """What a file of compressed examples takes, in bits unless stated otherwise."""

    path: Path
    num_examples: int
    num_dimensions: int  # of one example
    num_bytes: int  # of the file
    header_bytes: int  # with the model, if embedded
    negative_elbo: float  # of all examples, for the latents that were drawn
    num_direct: int  # examples that were coded directly
    num_exceptions: int
    notes: tuple[str, ...] = ()

    @property
    def bits_per_dimension(self) -> float:
        """Of the file, everything included."""
        return 8 * self.num_bytes / (self.num_examples * self.num_dimensions)

    @property
    def overhead(self) -> float:
        """How much longer the file is than −ELBO, as a share of it."""
        return 8 * self.num_bytes / self.negative_elbo - 1


@dataclass(frozen=True, kw_only=True)
class Decompressed:
    """Examples as they were given, and what was lost of a damaged file."""

    values: np.ndarray
    names: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()  # why, one for each damaged block


def compress(
    run: RunPath,
    data: Any = None,
    out: str | Path = "",
    *,
    lanes: int = LANES,
    block: int = BLOCK,
    embed_model: bool = False,
    picture: str | Path = "",
    data_dir: str = "",
    progress: Progress = lambda done, total: None,
) -> Compressed:
    """Compress examples losslessly with a run's model into the file `out`.

    `data` is an array of examples, a path, a list of paths or a named source; without it, the run's test examples.
    Bits-back coding: the file takes −ELBO bits and a little more, for any likelihood that gives probabilities of whole
    numbers (Bernoulli on binary data, discretised logistics, categorical values, counts), with a diagonal normal
    posterior and a standard normal prior. `lanes` examples are coded together, which is faster; every `block` examples
    stand for themselves, so that they can be read alone. With `embed_model` the file can be read without the run.
    `picture` is a PNG of where the bits of the first images go, pixel by pixel. UsageError for another model, DataError
    for values that could not be given back.

    Source: Townsend, Bird and Barber, arXiv:1901.04866.
    """
    path = path_of(run)
    file = Path(out) if out else Path()
    if not out or file.is_dir():
        raise UsageError("a file is needed for the compressed examples, such as examples.lb.", hint="out")
    if file.exists():
        raise UsageError(f"{file} exists already; choose another name, or remove it.", hint="out")
    for name, value, most in (("lanes", lanes, MAX_LANES), ("block", block, MAX_BLOCK)):
        if not 1 <= value <= most:
            raise UsageError(f"{name} is {value:,}; accepted: 1 to {most:,}.")
    trained = load(path)
    check_can_code(trained.vae)
    if picture:
        check_has_picture(trained.vae)
    collection, given = _read(trained, data, data_dir)
    levels, units = levels_of(collection, trained.vae, trained.schema, given)
    if not len(levels):
        raise DataError("there are no examples to compress.")
    with one_thread():
        found = _compress(path, trained, collection, levels, units, file, lanes, block, embed_model, progress)
        if picture:
            write_bit_picture(trained.vae, levels, Path(picture))
    return found


def _read(trained: TrainedModel, data: Any, data_dir: str) -> tuple[Collection, np.ndarray | None]:
    """Examples, and the array that they were given as."""
    if data is None or isinstance(data, str | Path) or _are_paths(data):
        names = [] if data is None else [str(data)] if isinstance(data, str | Path) else [str(name) for name in data]
        collection = read_inputs(trained, names, InputOptions(data_dir=data_dir))
        is_array = len(names) == 1 and names[0].endswith(".npy")
        return collection, np.load(names[0], mmap_mode="r", allow_pickle=False) if is_array else None
    return trained.examples(data), data if isinstance(data, np.ndarray) else None


def _are_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(name, str | Path) for name in data)


def _compress(
    run: Path, trained: TrainedModel, collection: Collection, levels: Levels, units: Units, file: Path, lanes: int,
    block: int, embed_model: bool, progress: Progress,
) -> Compressed:  # fmt: skip
    model = trained.vae
    networks, elements = RoundedNetworks(model), element_coder(model.likelihood, units.num_levels)
    coder = BlockCoder(networks, elements, choose_grid(networks, elements, levels), lanes)
    entries: list[BlockEntry] = []
    contents: list[bytes] = []
    bits = 0.0
    for start in range(0, len(levels), block):
        part = levels[start : start + block]
        coded = coder.encode(part, partial(_report, progress, start, len(levels)))
        entry, content = entry_of(coded.block, crc_of(part))
        entries.append(entry)
        contents.append(content)
        bits += coded.negative_elbo / np.log(2)
    weights = model_file(run).read_bytes() if embed_model else b""
    header = Header(
        model=model_checksum(run)[:DIGITS],
        **_embedded(weights),
        event_shape=tuple(model.event_shape),
        num_levels=units.num_levels,
        grid=coder.grid,
        lanes=lanes,
        block=block,
        blocks=tuple(entries),
        dtype=units.dtype,
        shape=units.shape,
        low=units.low,
        high=units.high,
        is_image=units.is_image,
        names=collection.ids,
    )
    header_bytes = write_container(file, header, weights, contents)
    return Compressed(
        path=file,
        num_examples=len(levels),
        num_dimensions=elements.num_elements,
        num_bytes=header_bytes + sum(map(len, contents)),
        header_bytes=header_bytes,
        negative_elbo=bits,
        num_direct=sum(_num_direct(entry, lanes) for entry in entries),
        num_exceptions=sum(entry.num_exceptions for entry in entries),
        notes=collection.notes,
    )


def _report(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _embedded(weights: bytes) -> dict[str, int]:
    return {"model_bytes": len(weights), "model_crc": zlib.crc32(weights)}


def _num_direct(entry: BlockEntry, lanes: int) -> int:
    return sum(min(lanes, entry.num_examples - lanes * group) for group in entry.direct)


def decompress(
    file: str | Path,
    run: RunPath = "",
    *,
    example: int | None = None,
    skip_broken: bool = False,
    progress: Progress = lambda done, total: None,
) -> Decompressed:
    """The examples in a file that `compress` wrote, exactly as they were given.

    `run` is the run whose model they were compressed with, unless the file contains it. `example` reads one only,
    without the other blocks. DataError for a file that is damaged; with `skip_broken` what is intact is returned, and
    what was lost is named.
    """
    container = open_container(Path(file))
    header = container.header
    model = _model_of(container, run)
    elements = element_coder(model.likelihood, header.num_levels)
    units = Units(header.low, header.high, header.num_levels, header.dtype, header.shape, header.is_image)
    chosen = _blocks(header, example)
    STANDARD_LIMIT.check(str(file), 8 * elements.num_elements * sum(header.blocks[k].num_examples for k in chosen))
    parts: list[Levels] = []
    kept: list[int] = []
    lost: list[str] = []
    with one_thread():
        coder = BlockCoder(RoundedNetworks(model), elements, header.grid, header.lanes)
        for number in chosen:
            first = sum(entry.num_examples for entry in header.blocks[:number])
            try:
                levels = _decoded(coder, container, number)
            except LowerboundError as error:
                last = first + header.blocks[number].num_examples - 1
                lost.append(f"block {number + 1} (examples {first:,} to {last:,}): {str(error).rstrip('.')}")
                continue
            parts.append(levels)
            kept += range(first, first + len(levels))
            progress(len(kept), header.num_examples)
    if lost and not skip_broken:
        raise DataError(f"{file} is damaged: {'; '.join(lost)}.", hint="skip_broken")
    levels = np.concatenate(parts) if parts else np.zeros((0, elements.num_elements), np.int64)
    if example is not None:
        at = [kept.index(example)] if example in kept else []
        levels, kept = levels[at], [kept[k] for k in at]
    names = tuple(header.names[k] for k in kept) if header.names else ()
    return Decompressed(values=units.restored(levels, model.event_shape), names=names, lost=tuple(lost))


def _blocks(header: Header, example: int | None) -> Sequence[int]:
    """The blocks to read: all, or that of one example."""
    if example is None:
        return range(len(header.blocks))
    if not 0 <= example < header.num_examples:
        raise UsageError(f"there is no example {example}; the file has {header.num_examples:,}, numbered from 0.")
    return [example // header.block]


def _decoded(coder: BlockCoder, container: Container, number: int) -> Levels:
    entry = container.header.blocks[number]
    block: Block = read_block(container, number)
    with refusing_nonsense():
        levels = coder.decode(block)
    if crc_of(levels) != entry.levels_crc:
        raise DataError("what was decoded is not what was coded")
    return levels


def _model_of(container: Container, run: RunPath) -> VAE:
    """The model that a file was written with: that in it, or a run's; DataError for another one."""
    header, place = container.header, container.path
    if not run and not container.model:
        raise UsageError(f"{place} contains no model; give the run that it was compressed with.", hint="run")
    if run:
        path = path_of(run)
        model, checksum = load(path).vae, model_checksum(path)
    else:
        with tempfile.TemporaryDirectory() as folder:
            embedded = Path(folder) / "model.safetensors"
            embedded.write_bytes(container.model)
            model, checksum = load(embedded).vae, model_checksum(embedded)
    if checksum[:DIGITS] != header.model:
        raise DataError(f"{place} was compressed with another model than that of {run or 'this file'}; give its run.")
    if tuple(model.event_shape) != header.event_shape:
        raise DataError(f"{place} is damaged: its examples have another shape than those of its model.")
    check_can_code(model)
    return model
