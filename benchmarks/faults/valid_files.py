"""Valid files for every reader, from which fuzzing starts."""

import csv
import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from importlib import resources
from importlib.util import find_spec

import numpy as np
from PIL import Image

BITS = np.random.default_rng(0)
PIXELS = BITS.integers(0, 256, (7, 6, 3), np.uint8)
GREY = PIXELS[..., 0]
DEEP = BITS.integers(0, 65536, (7, 6)).astype(np.uint16)
STACK = BITS.integers(0, 256, (12, 5, 4), np.uint8)


def image(form: str, array: np.ndarray = PIXELS, mode: str = "", **options: object) -> bytes:
    """An array as an image file."""
    file = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(file, form, **options)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    """Integers in the IDX format of MNIST."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _saved(save: Callable[..., None], *arguments: object, **options: object) -> bytes:
    file = io.BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


def _zipped(names: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return file.getvalue()


def _table(separator: str = ",", decimal: str = ".") -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(["length", "kind", "number", "a name, quoted"])
    for row in range(24):
        length = "" if row % 5 == 0 else f"{BITS.normal():.3f}".replace(".", decimal)
        writer.writerow([length, "abc"[row % 3], int(BITS.poisson(4)), f"{row / 7:.2e}".replace(".", decimal)])
    return file.getvalue().encode()


def _parquet() -> bytes:
    import pyarrow
    from pyarrow import parquet

    columns = {"x": BITS.normal(size=24), "level": [*"abc"] * 8, "count": BITS.poisson(4, 24)}
    return _saved(lambda file: parquet.write_table(pyarrow.table(columns), file))


def _arrow() -> bytes:
    import pyarrow

    table = pyarrow.table({"x": BITS.normal(size=24), "level": [*"abc"] * 8})
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _safetensors() -> bytes:
    from safetensors.numpy import save

    return bytes(save({"x": STACK.astype(np.float32), "y": np.arange(12)}))


def _photos() -> dict[str, bytes]:
    names = [f"{place}/{number}.png" for place in ("cold", "warm") for number in range(4)]
    return {name: image("PNG", np.roll(PIXELS, index)) for index, name in enumerate(names)}


def _recipes() -> tuple[bytes, ...]:
    folder = resources.files("lowerbound") / "recipes"
    return tuple(file.read_bytes() for file in folder.iterdir() if file.name.endswith(".toml"))


PHOTOS = _photos()

VALID: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "photo.png": lambda: (
        image("PNG"),
        image("PNG", GREY),
        image("PNG", DEEP),
        image("PNG", mode="P"),
        image("PNG", mode="RGBA"),
        image("PNG", mode="1"),
    ),
    "photo.jpg": lambda: (image("JPEG"), image("JPEG", GREY, progressive=True), image("JPEG", mode="CMYK")),
    "photo.webp": lambda: (image("WEBP"), image("WEBP", lossless=True)),
    "photo.tiff": lambda: (
        image("TIFF"),
        image("TIFF", DEEP, compression="tiff_lzw"),
        image("TIFF", compression="tiff_adobe_deflate"),
        image("TIFF", DEEP.astype(np.float32)),
    ),
    "photo.bmp": lambda: (image("BMP"), image("BMP", mode="1"), image("BMP", mode="P")),
    "photo.gif": lambda: (image("GIF", GREY), image("GIF", mode="P")),
    "photos.zip": lambda: (_zipped(PHOTOS), _zipped(PHOTOS, zipfile.ZIP_STORED)),
    "photos/cold/9.png": lambda: (image("PNG"), image("PNG", GREY), image("JPEG")),
    "labels.csv": lambda: (
        "".join(["file,label\n", *(f"{name},{name[0]}\n" for name in PHOTOS)]).encode(),
        "".join(["path;class\r\n", *(f"{name};{name[0]}\r\n" for name in PHOTOS)]).encode(),
    ),
    "array.npy": lambda: (
        _saved(np.save, STACK),
        _saved(np.save, STACK.astype(">f8")),
        _saved(np.save, np.asfortranarray(STACK.astype(np.float32))),
        _saved(np.save, STACK.reshape(12, -1) > 128),
    ),
    "arrays.npz": lambda: (
        _saved(np.savez, x=STACK, y=np.arange(12)),
        _saved(np.savez_compressed, x=STACK.astype(np.float32), y=np.array([*"abc"] * 4)),
    ),
    "arrays.safetensors": lambda: (_safetensors(),),
    "images-idx3-ubyte": lambda: (idx(STACK),),
    "images-idx3-ubyte.gz": lambda: (gzip.compress(idx(STACK), mtime=0),),
    "table.csv": lambda: (_table(), _table(";", ","), b"\xef\xbb\xbf" + _table(), _table().decode().encode("utf-16")),
    "table.tsv": lambda: (_table("\t"),),
    "table.parquet": lambda: (_parquet(),),
    **({"table.arrow": lambda: (_arrow(),)} if find_spec("datasets") else {}),
    "recipe.toml": _recipes,
    "--set": lambda: (
        b"training.batch_size=64",
        b"model.hidden=[16, 8]",
        b'data.columns."a.b=c".kind="numeric"',
        b"objective.preset=vae",
        b"evaluation.annealing.step_size=1e-3",
        b"data.range=[0, 255.0]",
        b"data.missing_markers=['', 'NA']",
        b"training.learning_rate=0.003",
    ),
}
"""File name to valid contents; what reads it stands in fuzzing.READERS under the same name."""
