"""Files that mean harm: small on the disk, and large, slow or endless for a reader that trusts them.

A builder writes one file (or a folder) at a path; its second argument is how far it goes, so that a test can build a
small one and lower the limit, and a slow test or a benchmark one of true size.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

MIB = 2**20
PIECE = bytes(2**24)

Builder = Callable[[Path, int], object]


# ---- bytes that stand for many


def zeros(num_bytes: int) -> bytes:
    """So many zero bytes, deflated a thousandfold."""
    stream = zlib.compressobj(9)
    return b"".join([*(stream.compress(piece) for piece in _pieces(num_bytes)), stream.flush()])


def gzipped(num_bytes: int, start: bytes) -> bytes:
    """What begins so and goes on with so many zeros."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as archive:
        archive.write(start)
        for piece in _pieces(num_bytes):
            archive.write(piece)
    return file.getvalue()


def zip_of(name: str, num_bytes: int, start: bytes = b"") -> bytes:
    """An archive of one member that begins so and goes on with so many zeros."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(start)
        for piece in _pieces(num_bytes):
            member.write(piece)
    return file.getvalue()


def _pieces(num_bytes: int) -> Iterator[bytes]:
    whole, rest = divmod(num_bytes, len(PIECE))
    yield from [PIECE] * whole
    yield PIECE[:rest]


# ---- images


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, pixels: bytes, *chunks: bytes, kind: int = 0) -> bytes:
    """A PNG with this header and these deflated pixels, of 8 bits; `kind` is 0 for grey, 2 for RGB, 6 for RGBA."""
    header = struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    content = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(content)


def black_png(num_megapixels: int) -> bytes:
    """A black RGBA image of so many million pixels, in kilobytes."""
    width, height = 8000, num_megapixels * 125
    return png_of(width, height, zeros(height * (4 * width + 1)), kind=6)


def png_texts(num_bytes: int) -> bytes:
    """A small PNG with so many bytes of deflated text, in chunks of a MiB."""
    text = zlib.compress(bytes(MIB - 1), 9)
    chunks = [png_chunk(b"zTXt", b"k%d\0\0" % number + text) for number in range(max(1, num_bytes // MIB))]
    return png_of(8, 8, zlib.compress(bytes(72)), *chunks)


def png_profile(num_bytes: int) -> bytes:
    """A small PNG whose colour profile unpacks to so many bytes."""
    return png_of(8, 8, zlib.compress(bytes(72)), png_chunk(b"iCCP", b"icc\0\0" + zeros(num_bytes)))


def exif_png(num_tags: int) -> bytes:
    """A PNG whose EXIF has so many tags, all of which stand for the same bytes."""
    return png_of(8, 8, zlib.compress(bytes(72)), png_chunk(b"eXIf", tiff_tags(num_tags)))


def apng_frames(num_frames: int) -> bytes:
    """A PNG of 1×1 pixels with so many frames."""
    pixels = zlib.compress(bytes(2))
    sequence = iter(range(2 * num_frames))

    def frame() -> bytes:
        control = struct.pack(">5I2H2B", next(sequence), 1, 1, 0, 0, 1, 10, 0, 0)
        return png_chunk(b"fcTL", control) + png_chunk(b"fdAT", struct.pack(">I", next(sequence)) + pixels)

    first = png_chunk(b"fcTL", struct.pack(">5I2H2B", next(sequence), 1, 1, 0, 0, 1, 10, 0, 0))
    header = struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0)
    rest = b"".join(frame() for _ in range(num_frames - 1))
    count = png_chunk(b"acTL", struct.pack(">2I", num_frames, 0))
    start = png_chunk(b"IHDR", header) + count + first + png_chunk(b"IDAT", pixels)
    return b"\x89PNG\r\n\x1a\n" + start + rest + png_chunk(b"IEND", b"")


def gif_frames(num_frames: int) -> bytes:
    """A GIF of 1×1 pixels with so many frames."""
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * num_frames + b";"


def webp_frames(num_frames: int) -> bytes:
    """A WebP of 1×1 pixels with so many frames."""
    file = io.BytesIO()
    two = [Image.new("RGB", (1, 1), colour) for colour in ("black", "white")]
    two[0].save(file, "webp", save_all=True, append_images=two[1:], lossless=True)
    content = file.getvalue()
    start = content.index(b"ANMF")
    length = 8 + struct.unpack("<I", content[start + 4 : start + 8])[0]
    body = content[8:start] + content[start : start + length] * num_frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_frames(num_frames: int) -> bytes:
    """A TIFF of 1×1 pixels with so many directories of tags, one after the other: about 100 bytes each."""
    entries = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 1))
    size = 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<2H2I", tag, 4, 1, n) for tag, n in entries)
    offsets = range(16, 16 + size * num_frames, size)
    parts = [directory + struct.pack("<I", offset + size) for offset in offsets]
    parts[-1] = directory + bytes(4)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + b"".join(parts)


def tiff_tags(num_tags: int, num_bytes: int = 64 * 1024) -> bytes:
    """A TIFF of 1×1 pixels with so many tags, each of which claims the same bytes of the file."""
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 4, 1, 1), (279, 4, 1, 1)]
    start = 16 + 2 + 12 * (len(entries) + num_tags) + 4
    entries += [(40_000 + number % 25_000, 7, num_bytes, start) for number in range(num_tags)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<2H2I", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory + bytes(4) + bytes(num_bytes)


def tiff_tiles(num_tiles: int) -> bytes:
    """A TIFF of so many tiles of one pixel, all of which lie at the same byte: 2 bytes for each."""
    side = max(1, int(num_tiles**0.5))
    start = 8 + 2 + 12 * 9 + 4
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 3, 1, 1), (323, 3, 1, 1), (324, 3, side * side, start)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<2H2I", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + struct.pack("<H", 8) * (side * side)


def images_zip(num_members: int) -> bytes:
    """An archive of so many images of 64 million black pixels."""
    file, image = io.BytesIO(), png_of(8000, 8000, zeros(8000 * 8001))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(num_members):
            archive.writestr(f"{number}.png", image)
    return file.getvalue()


def overlapping_zip(num_members: int, num_bytes: int = 64 * MIB) -> bytes:
    """An archive whose directory names one deflated member so many times."""
    content = zip_of("0.png", num_bytes, b"\x89PNG\r\n\x1a\n")
    end = content.rindex(b"PK\x05\x06")
    size, start = struct.unpack("<2I", content[end + 12 : end + 20])
    entry = content[start : start + size]
    body = content[:start] + entry * num_members
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, num_members, num_members, size * num_members, start, 0)
    return body + tail


def nested_zip(depth: int) -> bytes:
    """Archives within archives, with an image in the innermost."""
    content, name = black_png(1), "image.png"
    for level in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
        content, name = file.getvalue(), f"{level}.zip"
    return content


# ---- folders


def deep_folder(path: Path, depth: int) -> None:
    """Folders within folders, so deep that no path reaches the innermost; an image in it and one on top."""
    path.mkdir()
    Image.new("L", (8, 8)).save(path / "top.png")
    before = Path.cwd()
    try:
        os.chdir(path)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
        Image.new("L", (8, 8)).save("image.png")
    finally:
        os.chdir(before)


def doubling_links(path: Path, depth: int) -> None:
    """Folders each of which has two links to the next: 2^depth ways to the image in the last."""
    for level in range(depth + 1):
        (path / f"l{level}").mkdir(parents=True)
    for level in range(depth):
        for name in "ab":
            (path / f"l{level}" / name).symlink_to(path / f"l{level + 1}")
    Image.new("L", (8, 8)).save(path / f"l{depth}" / "image.png")


def long_labels(path: Path, num_rows: int) -> None:
    """A folder of one image with a labels.csv of so many rows."""
    path.mkdir()
    Image.new("L", (8, 8)).save(path / "0.png")
    with (path / "labels.csv").open("w") as file:
        file.write("file,label\n0.png,a\n")
        file.writelines("x,a\n" for _ in range(num_rows))


# ---- arrays


def npy_start(shape: str, descr: str = "|u1", length: int = 0) -> bytes:
    """The header of a .npy array that claims this shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(length) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def long_npy_header(num_bytes: int) -> bytes:
    """A .npy of version 2 with a header of so many bytes."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", num_bytes) + b" " * num_bytes


def npz_zeros(num_bytes: int) -> bytes:
    """An .npz of one array of zeros, 1,000 bytes for each row."""
    rows = num_bytes // 1000
    return zip_of("images.npy", 1000 * rows, npy_start(f"({rows}, 1000)"))


def npz_splits(num_bytes: int) -> bytes:
    """An .npz of three splits that are zeros, so many bytes together."""
    file, rows = io.BytesIO(), num_bytes // 3000
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "x_val", "x_test"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy_start(f"({rows}, 1000)"))
                for piece in _pieces(1000 * rows):
                    member.write(piece)
    return file.getvalue()


def npz_objects(num: int) -> bytes:
    """An .npz of Python objects, which are pickled."""
    file = io.BytesIO()
    np.savez(file, images=np.array([{}] * num, object))
    return file.getvalue()


def idx_zeros(num_bytes: int) -> bytes:
    """A gzipped IDX file of black images of 28×28."""
    num = num_bytes // 784
    return gzipped(784 * num, struct.pack(">4B3I", 0, 0, 8, 3, num, 28, 28))


def sparse_npy(path: Path, num_bytes: int) -> None:
    """A .npy that is as long as it claims, and takes nothing on the disk: a sparse file."""
    rows = num_bytes // 784
    start = npy_start(f"({rows}, 28, 28)")
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + 784 * rows)


def safetensors_header(num_bytes: int) -> bytes:
    """A .safetensors file whose header is so long: a list of lists."""
    return struct.pack("<Q", num_bytes) + b'{"x":[' + b"[]," * ((num_bytes - 10) // 3) + b"[]]}"


# ---- tables


def parquet_rows(path: Path, num_rows: int) -> None:
    """A Parquet file of one column of one number, so many times: run lengths."""
    import pyarrow
    from pyarrow import parquet

    batch = pyarrow.table({"a": np.zeros(min(num_rows, 10**6)), "b": np.zeros(min(num_rows, 10**6), np.int8)})
    with parquet.ParquetWriter(path, batch.schema, compression="zstd") as writer:
        for _ in range(max(1, num_rows // 10**6)):
            writer.write_table(batch, row_group_size=10**6)


def parquet_texts(path: Path, num_bytes: int) -> None:
    """A Parquet file of one text of a megabyte, once in a dictionary, and as often as makes so many bytes."""
    import pyarrow
    from pyarrow import parquet

    num_rows = max(2, num_bytes // 10**6)
    texts = pyarrow.DictionaryArray.from_arrays(np.zeros(num_rows, np.int32), ["x" * 10**6])
    columns = pyarrow.table({"text": texts.cast(pyarrow.string()) if num_rows < 100 else texts, "n": range(num_rows)})
    parquet.write_table(columns, path, compression="zstd", store_schema=False)


def parquet_prefixes(path: Path, num_bytes: int) -> None:
    """A Parquet file of different texts that share a megabyte, which is stored once."""
    import pyarrow
    from pyarrow import parquet

    num_rows = max(2, num_bytes // 10**6)
    texts = ["x" * 10**6 + str(number) for number in range(min(num_rows, 100))]
    batch = pyarrow.table({"text": texts, "n": range(len(texts))})
    with parquet.ParquetWriter(
        path, batch.schema, use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY", "n": "PLAIN"}
    ) as writer:
        for _ in range(max(1, num_rows // 100)):
            writer.write_table(batch)


def parquet_lists(path: Path, num_bytes: int) -> None:
    """A Parquet file of rows that are lists of a million zeros."""
    import pyarrow
    from pyarrow import parquet

    inner = pyarrow.array(np.zeros(10**6))
    row = pyarrow.ListArray.from_arrays(np.array([0, 10**6], np.int32), inner)
    batch = pyarrow.table({"a": row, "b": [1]})
    with parquet.ParquetWriter(path, batch.schema, compression="zstd") as writer:
        for _ in range(max(2, num_bytes // (8 * 10**6))):
            writer.write_table(batch)


def parquet_columns(path: Path, num_columns: int) -> None:
    """A Parquet file of so many columns of two rows."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({f"c{number}": [number, 1.5] for number in range(num_columns)}), path)


def csv_columns(num_columns: int) -> bytes:
    """A CSV of so many columns and five rows of numbers with three decimals."""
    header = ",".join(f"c{number}" for number in range(num_columns))
    rows = [",".join(f"{(7 * number * row) % 1000 / 1000}" for number in range(num_columns)) for row in range(1, 6)]
    return "\n".join([header, *rows, ""]).encode()


def csv_line(num_bytes: int) -> bytes:
    """A CSV whose only row is one cell of so many digits."""
    return b"a,b\n" + b"1" * num_bytes


def csv_quoted(num_bytes: int) -> bytes:
    """A CSV with one quoted cell of so many bytes, of many lines."""
    return b'a,b\n1,"' + b"x\n" * (num_bytes // 2) + b'"\n'


def csv_rows(num_rows: int) -> bytes:
    """A CSV of one column and so many rows of one digit."""
    return b"a\n" + b"0\n1\n2\n" * (num_rows // 3)


def arrow_texts(path: Path, num_bytes: int) -> None:
    """An Arrow file of one text of a megabyte, once in a dictionary, and as often as makes so many bytes."""
    import pyarrow

    num_rows = max(2, num_bytes // 10**6)
    texts = pyarrow.DictionaryArray.from_arrays(np.zeros(num_rows, np.int32), ["x" * 10**6])
    _write_arrow(path, pyarrow.table({"text": texts, "n": range(num_rows)}))


def arrow_offsets(path: Path, num_rows: int) -> None:
    """An Arrow file of texts whose offsets lead out of the file."""
    import pyarrow

    _write_arrow(path, pyarrow.table({"text": ["ab"] * num_rows, "n": range(num_rows)}))
    sound = np.arange(0, 2 * num_rows + 1, 2, dtype=np.int32)
    outside = np.where(sound > 0, sound + 2**30, 0).astype(np.int32)
    content = path.read_bytes()
    assert sound.tobytes() in content
    path.write_bytes(content.replace(sound.tobytes(), outside.tobytes()))


def _write_arrow(path: Path, table: object) -> None:
    import pyarrow

    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


# ---- all of them


@dataclass(frozen=True)
class Hostile:
    """One kind of file, and how far it goes: small for a quick test under lowered limits, true to do harm."""

    name: str
    build: Builder
    small: int
    true: int

    def write(self, folder: Path, extent: int | None = None) -> Path:
        """The file, of true size unless an extent is given."""
        path = folder / self.name
        self.build(path, self.true if extent is None else extent)
        return path


def _bytes(make: Callable[[int], bytes]) -> Builder:
    return lambda path, extent: path.write_bytes(make(extent))


IMAGES = (
    Hostile("frames.tif", _bytes(tiff_frames), 3_000, 160_000),
    Hostile("tiles.tif", _bytes(tiff_tiles), 40_000, 8_000_000),
    Hostile("tags.tif", _bytes(tiff_tags), 500, 25_000),
    Hostile("frames.gif", _bytes(gif_frames), 3_000, 1_000_000),
    Hostile("frames.webp", _bytes(webp_frames), 1_000, 200_000),
    Hostile("frames.png", _bytes(apng_frames), 1_000, 200_000),
    Hostile("texts.png", _bytes(png_texts), MIB, 2**31),
    Hostile("profile.png", _bytes(png_profile), MIB, 2**31),
    Hostile("exif.png", _bytes(exif_png), 500, 25_000),
    Hostile("pixels.png", _bytes(black_png), 4, 88),
    Hostile("more-pixels.png", _bytes(black_png), 6, 2_000),
)
"""Image files, which the service and the explorer take, too."""

OTHERS = (
    Hostile("images.zip", _bytes(images_zip), 3, 40),
    Hostile("overlapping.zip", _bytes(overlapping_zip), 50, 10_000),
    Hostile("nested.zip", _bytes(nested_zip), 3, 5),
    Hostile("zeros.zip", _bytes(lambda extent: zip_of("a.png", extent)), 2**23, 2**32),
    Hostile("deep", deep_folder, 150, 3_000),
    Hostile("links", doubling_links, 25, 40),
    Hostile("labels", long_labels, 20_000, 30_000_000),
    Hostile("zeros.npz", _bytes(npz_zeros), 2**23, 6 * 2**30),
    Hostile("splits.npz", _bytes(npz_splits), 2**23, 6 * 2**30),
    Hostile("objects.npz", _bytes(npz_objects), 10, 1_000_000),
    Hostile("header.npy", _bytes(long_npy_header), 2**17, 2**28),
    Hostile("sparse.npy", sparse_npy, 2**23, 2**40),
    Hostile("zeros-idx3-ubyte.gz", _bytes(idx_zeros), 2**23, 6 * 2**30),
    Hostile("header.safetensors", _bytes(safetensors_header), 2**20, 2**28),
    Hostile("rows.parquet", parquet_rows, 100_000, 100_000_000),
    Hostile("texts.parquet", parquet_texts, 10**8, 8_400_000_000),
    Hostile("prefixes.parquet", parquet_prefixes, 10**8, 8_400_000_000),
    Hostile("lists.parquet", parquet_lists, 10**8, 8_400_000_000),
    Hostile("columns.parquet", parquet_columns, 2_000, 100_000),
    Hostile("columns.csv", _bytes(csv_columns), 2_000, 100_000),
    Hostile("line.csv", _bytes(csv_line), 2**18, 2**30),
    Hostile("quoted.csv", _bytes(csv_quoted), 2**18, 2**30),
    Hostile("rows.csv", _bytes(csv_rows), 200_000, 10_000_000),
    Hostile("texts.arrow", arrow_texts, 10**8, 8_400_000_000),
    Hostile("offsets.arrow", arrow_offsets, 10, 1_000),
)
"""Files and folders that the commands and Python take."""

HOSTILE = {hostile.name: hostile for hostile in (*IMAGES, *OTHERS)}
