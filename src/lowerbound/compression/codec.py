"""compress and decompress: examples to a file and back, with a trained model.

The file is as long as the bound says: −ELBO of the examples in bits, a few bits to begin with, and the header.
"""

import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.coding.bits_back import BlockCoder, check_can_code, choose_grid
from lowerbound.coding.coders import element_coder
from lowerbound.coding.entropy_coder import refusing_nonsense
from lowerbound.coding.rounded_networks import RoundedNetworks
from lowerbound.coding.table_coding import TableCoder
from lowerbound.compression.bit_picture import check_has_picture, check_is_picture, write_bit_picture
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
from lowerbound.compression.given_examples import GivenExamples, given_examples
from lowerbound.compression.stored_levels import Levels, Units
from lowerbound.compression.table_cells import restored_texts, stored_problem
from lowerbound.data.reading import STANDARD_LIMIT
from lowerbound.foundation.errors import DataError, LowerboundError, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.threads import one_thread
from lowerbound.models.vae import VAE
from lowerbound.runs.trained_model import load
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
    text_bytes: int = 0  # of a table: columns that the model does not know, and cells written in an unusual way
    missing_bits: float = 0.0  # which cells of a table are missing
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

    values: np.ndarray  # of a table the numbers of the model's columns, positions of levels, NaN where one is missing
    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # if they were kept
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of a table: all cells as text
    separator: str = ","  # of the table's text
    lost: tuple[str, ...] = ()  # why, one for each damaged block


def compress(
    run: RunPath,
    data: Any = None,
    out: str | Path = "",
    *,
    lanes: int = LANES,
    block: int = BLOCK,
    embed_model: bool = False,
    labels: bool = False,
    picture: str | Path = "",
    data_dir: str = "",
    progress: Progress = lambda done, total: None,
) -> Compressed:
    """Compress examples losslessly with a run's model into the file `out`.

    `data` is an array of examples, a table, a path, a list of paths or a named source; without it, the run's test
    examples. Bits-back coding: the file takes −ELBO bits and a little more, for any likelihood that gives probabilities
    of whole numbers (Bernoulli on binary data, discretised logistics, categorical values, counts, tables), with a
    diagonal normal posterior and a prior that is the standard normal or a mixture of normals. Of a table all cells come
    back as text. `lanes` examples are coded together, which is faster; every `block` examples stand for themselves, so
    that they can be read alone. With `embed_model` the file can be read without the run; with `labels` it has the
    labels of the examples, too. `picture` is a PNG of where the bits of the first images go, pixel by pixel. UsageError
    for another model, DataError for values that could not be given back.

    Source: Townsend, Bird and Barber, arXiv:1901.04866.
    """
    path = path_of(run)
    file = Path(out) if out else Path()
    if not out or file.is_dir():
        raise UsageError("a file is needed for the compressed examples, such as examples.lb.", hint="out")
    if file.exists():
        raise UsageError(f"{file} exists already; choose another name, or remove it.", hint="out")
    if picture:
        check_is_picture(Path(picture))
        if Path(picture).expanduser().resolve() == file.expanduser().resolve():
            raise UsageError(f"{file} is both the compressed file and the picture; choose another name.", hint="out")
    for name, value, most in (("lanes", lanes, MAX_LANES), ("block", block, MAX_BLOCK)):
        if not 1 <= value <= most:
            raise UsageError(f"{name} is {value:,}; accepted: 1 to {most:,}.")
    trained = load(path)
    check_can_code(trained.vae)
    if picture:
        check_has_picture(trained.vae)
    given = given_examples(trained, data, data_dir, labels)
    with one_thread():
        found = _compress(path, trained.vae, given, file, lanes, block, embed_model, progress)
        if picture:
            write_bit_picture(trained.vae, given.levels, Path(picture))
    return found


def _compress(
    run: Path, model: VAE, given: GivenExamples, file: Path, lanes: int, block: int, embed_model: bool,
    progress: Progress,
) -> Compressed:  # fmt: skip
    levels, units = given.levels, given.units
    columns = given.table.columns if given.table else ()
    networks, elements = RoundedNetworks(model), element_coder(model.likelihood, units.num_levels, columns)
    coder = BlockCoder(networks, elements, choose_grid(networks, elements, levels), lanes)
    entries: list[BlockEntry] = []
    contents: list[bytes] = []
    texts: list[int] = []
    bits = 0.0
    for start in range(0, len(levels), block):
        part = levels[start : start + block]
        coded = coder.encode(part, partial(_report, progress, start, len(levels)))
        text = given.packed_texts(start, start + block, model.columns)
        entry, content = entry_of(coded.block, crc_of(part), text)
        entries.append(entry)
        contents.append(content)
        texts.append(len(text))
        bits += coded.negative_elbo / np.log(2)
    weights = model_file(run).read_bytes() if embed_model else b""
    header = Header(
        model=model_checksum(run)[:DIGITS],
        model_bytes=len(weights),
        model_crc=zlib.crc32(weights),
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
        names=given.names,
        table=given.table,
        texts=tuple(texts) if any(texts) else (),
        labels=given.labels,
    )
    header_bytes = write_container(file, header, weights, contents)
    return Compressed(
        path=file,
        num_examples=len(levels),
        num_dimensions=elements.num_elements,
        num_bytes=header_bytes + sum(map(len, contents)),
        header_bytes=header_bytes,
        text_bytes=sum(texts),
        missing_bits=float(elements.missing_bits(levels).sum()),
        negative_elbo=bits,
        num_direct=sum(_num_direct(entry, lanes) for entry in entries),
        num_exceptions=sum(entry.num_exceptions for entry in entries),
        notes=given.notes,
    )


def _report(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


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
    columns = header.table.columns if header.table else ()
    elements = element_coder(model.likelihood, header.num_levels, columns)
    units = Units(header.low, header.high, header.num_levels, header.dtype, header.shape, header.is_image)
    chosen = _blocks(header, example)
    STANDARD_LIMIT.check(str(file), 8 * elements.num_elements * sum(header.blocks[k].num_examples for k in chosen))
    parts: list[Levels] = []
    cells: dict[str, list[str]] = {name: [] for name in header.table.names} if header.table else {}
    kept: list[int] = []
    lost: list[str] = []
    with one_thread():
        coder = BlockCoder(RoundedNetworks(model), elements, header.grid, header.lanes)
        for number in chosen:
            first = sum(entry.num_examples for entry in header.blocks[:number])
            try:
                levels, packed = _decoded(coder, container, number)
                texts = restored_texts(packed, levels, header.table, model.columns) if header.table else {}
            except LowerboundError as error:
                last = first + header.blocks[number].num_examples - 1
                lost.append(f"block {number + 1} (examples {first:,} to {last:,}): {str(error).rstrip('.')}")
                continue
            parts.append(levels)
            for name, some in texts.items():
                cells[name] += some
            kept += range(first, first + len(levels))
            progress(len(kept), header.num_examples)
    if lost and not skip_broken:
        raise DataError(f"{file} is damaged: {'; '.join(lost)}.", hint="skip_broken")
    levels = np.concatenate(parts) if parts else np.zeros((0, elements.num_elements), np.int64)
    if example is not None:
        at = [kept.index(example)] if example in kept else []
        levels, kept = levels[at], [kept[k] for k in at]
        cells = {name: [column[k] for k in at] for name, column in cells.items()}
    return Decompressed(
        values=elements.numbers(levels)
        if isinstance(elements, TableCoder)
        else units.restored(levels, model.event_shape),
        names=tuple(header.names[k] for k in kept) if header.names else (),
        labels=tuple(header.labels[k] for k in kept) if header.labels else (),
        columns=cells,
        separator=header.table.separator if header.table else ",",
        lost=tuple(lost),
    )


def _blocks(header: Header, example: int | None) -> Sequence[int]:
    """The blocks to read: all, or that of one example."""
    if example is None:
        return range(len(header.blocks))
    if not 0 <= example < header.num_examples:
        raise UsageError(f"there is no example {example}; the file has {header.num_examples:,}, numbered from 0.")
    return [example // header.block]


def _decoded(coder: BlockCoder, container: Container, number: int) -> tuple[Levels, bytes]:
    """The levels of a block, and its texts; DataError if they are not those that were coded."""
    entry = container.header.blocks[number]
    block, packed = read_block(container, number)
    with refusing_nonsense():
        levels = coder.decode(block)
    if crc_of(levels) != entry.levels_crc:
        raise DataError("what was decoded is not what was coded")
    return levels, packed


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
    problem = stored_problem(header.table, model.columns) if header.table else ""
    if problem or bool(header.table) != bool(model.columns):
        raise DataError(f"{place} is damaged: {problem or 'its examples are not of the kind of its model'}.")
    check_can_code(model)
    return model
