"""Names, files and folders to train, validation and test splits.

A source is a name in SOURCES or a path. What it holds is put in a random order that depends on `split_seed`
alone, so that runs with different training seeds see the same splits and can be compared in pairs. IDX files
are looked for in data_dir/<name>, $LOWERBOUND_DATA/<name> and the user's cache, else downloaded to the cache.
"""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int64, Integer, Shaped

from lowerbound.data.archives import FASHION_MNIST_ARCHIVE, KMNIST_ARCHIVE, MNIST_ARCHIVE, Archive, find_idx_files
from lowerbound.data.arrays import as_examples, read_idx, with_labels
from lowerbound.data.binarisation import Binarisation, binarised
from lowerbound.data.examples import Collection
from lowerbound.data.examples import Examples as Examples  # what splits are made of: part of this module's face
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.hugging_face import is_name
from lowerbound.data.images import ImageOptions, Resize
from lowerbound.data.reading import reading, refuse, shown
from lowerbound.errors import ConfigError, DataError, UnknownName

Watched = Literal["held-out", "test"]
HeldOut = Literal["random", "last"]

DIGITS = tuple("0123456789")
SIZE = re.compile(r"(\d+)[xX×](\d+)")
MAX_SIDE = 4096
SIZES = f"WIDTHxHEIGHT in pixels, from 1 to {MAX_SIDE} each"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on."""

    source: str = "digits"  # a name in SOURCES, or the path of a file or folder
    data_dir: str = ""  # where IDX files lie, each source in a subfolder of its name
    split_seed: int = 0  # independent of the training seed, so that runs are paired
    validation: Watched = "held-out"  # what training watches
    held_out: HeldOut = "random"  # which training images are held out: in a random order, or the last of the file
    num_held_out: int = 0  # how many; 0 is the source's own number
    binarisation: Binarisation = "none"  # black and white drawn from grey pixels: once, or on every pass
    binarisation_seed: int = 0
    # What follows is for files and folders.
    size: str = ""  # WIDTHxHEIGHT to bring images to; empty takes images of one size as they are
    resize: Resize = "crop"  # cover the size and cut what sticks out, or "fit" within it on black
    skip_broken: bool = False  # pass over files that cannot be read; they are counted and named
    labels: str = ""  # a CSV of file names and labels, or the column of a table that holds them


@dataclass(frozen=True, eq=False)
class Splits:
    """Examples to train on, to watch while training, and to test on."""

    name: str
    train: Examples
    validation: Examples
    test: Examples
    label_names: tuple[str, ...]  # empty where there are no labels
    watched: Literal["validation", "test"]  # "test": validation is the test examples, and train has the held-out ones
    source: str  # where it came from
    binarisation: str  # in words; empty where pixels are as they came
    checksum: str  # SHA-256 of values and labels
    skipped: tuple[str, ...] = ()  # files that could not be read, each with the reason
    notes: tuple[str, ...] = ()  # what was done to the data on the way here
    resized_to: tuple[int, int] | None = None  # width and height that some images were brought to


@dataclass(frozen=True, eq=False)
class Pool:
    """What a source holds: examples to learn from, of which some will be held out, and those to test on."""

    learn: Examples
    order: Int64[np.ndarray, " example"]  # which of `learn` belong here; the last `num_held_out` are held out
    num_held_out: int
    test: Examples
    collection: Collection
    read_from: str


@dataclass(frozen=True)
class Source:
    """A data set that has a name."""

    name: str
    shape: tuple[int, int, int]  # height, width, channels
    range: str  # of pixel values
    sizes: tuple[int, int, int]  # train, validation, test
    origin: str
    licence: str
    load: Callable[[DataConfig], Pool]


def load(config: DataConfig) -> Splits:
    """The splits of a named source, or of a file or folder.

    A name goes before a file of that name: write ./digits for a folder called digits. Raises UnknownName for
    what is neither, DataError for data that is missing or damaged, ConfigError for a setting out of range.
    """
    _check(config)
    if config.source in SOURCES:
        source = SOURCES[config.source]
        pool = source.load(config)
        return _divide(pool, source.name, f"{source.origin}; read from {pool.read_from}", config)
    path = _existing_path(config.source)
    pool = _in_tenths(path, _read(path, config), config.split_seed)
    return _divide(pool, shown(path.resolve().name), shown(path), config)


def collect(config: DataConfig) -> Collection:
    """All examples of a file or folder, or the training examples of a named source, as `load` reads them."""
    if config.source in SOURCES:
        splits = load(config)
        return Collection(splits.train, splits.label_names)
    _check(config)
    return _read(_existing_path(config.source), config)


def split_array(
    values: Shaped[np.ndarray, "example *event"],
    labels: Integer[np.ndarray, " example"] | None = None,
    split_seed: int = 0,
) -> Splits:
    """The splits of an array in memory, read as a .npy file of it would be: a tenth to validate, a tenth to test."""
    collection = with_labels(Path("the array"), as_examples(Path("the array"), np.asarray(values)), labels)
    config = DataConfig(split_seed=split_seed)
    return _divide(_in_tenths(Path("the array"), collection, split_seed), "array", "an array in memory", config)


def digits(config: DataConfig) -> Pool:
    """Handwritten digits, 8 x 8 x 1, 0..16, 1,257 / 180 / 360 examples: the file that scikit-learn brings.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI. Licence: CC BY 4.0.
    """
    path = _digits_path()
    with reading(path, "scikit-learn's digits.csv.gz"):
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    if table.shape[1] != 65 or table[:, :64].max() > 16 or table[:, 64].max() > 9:
        refuse(path, "is not scikit-learn's digits.csv.gz: 64 pixels in 0..16 and a digit per line")
    examples = Examples(table[:, :64].reshape(-1, 8, 8, 1), 16.0, table[:, 64].astype(np.int64))
    _, num_held_out, num_test = SOURCES["digits"].sizes
    return _pool(Collection(examples, DIGITS), num_held_out, num_test, config.split_seed, "scikit-learn")


def mnist(config: DataConfig) -> Pool:
    """Handwritten digits, 28 x 28 x 1, 0..255, 55,000 / 5,000 / 10,000 examples.

    Source: Y. LeCun, C. Cortes and C. J. C. Burges, http://yann.lecun.com/exdb/mnist. Licence: CC BY-SA 3.0.
    """
    return _load_idx("mnist", MNIST_ARCHIVE, DIGITS, config)


def fashion_mnist(config: DataConfig) -> Pool:
    """Photographs of clothes, 28 x 28 x 1, 0..255, 55,000 / 5,000 / 10,000 examples.

    Source: H. Xiao, K. Rasul and R. Vollgraf (Zalando), arXiv:1708.07747. Licence: MIT.
    """
    return _load_idx("fashion-mnist", FASHION_MNIST_ARCHIVE, CLOTHES, config)


def kmnist(config: DataConfig) -> Pool:
    """Cursive Japanese characters, 28 x 28 x 1, 0..255, 55,000 / 5,000 / 10,000 examples.

    Source: KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset (created by NIJL and others),
    doi:10.20676/00000341; arXiv:1812.01718. Licence: CC BY-SA 4.0.
    """
    return _load_idx("kmnist", KMNIST_ARCHIVE, KANA, config)


def split_order(num_examples: int, split_seed: int) -> Int64[np.ndarray, " example"]:
    """A random order of the examples; equal arguments give equal orders, with any version of numpy."""
    # numpy promises a bit generator's stream for good, but not what Generator.permutation makes of it.
    bits = np.random.PCG64(split_seed).random_raw(num_examples)
    return np.argsort(bits, kind="stable").astype(np.int64)


def checksum(parts: Sequence[Examples]) -> str:
    """SHA-256 over the types, shapes and bytes of images and labels, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.max_value};".encode())
        for array in (part.values, part.labels):
            if array is not None:
                digest.update(f"{array.dtype.str}{array.shape};".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(config: DataConfig) -> None:
    for key in ("split_seed", "num_held_out", "binarisation_seed"):
        if getattr(config, key) < 0:
            raise ConfigError(f"data.{key} must be 0 or more, got {getattr(config, key)}.")
    kinds = {"validation": Watched, "held_out": HeldOut, "binarisation": Binarisation, "resize": Resize}
    for key, choices in kinds.items():
        if getattr(config, key) not in get_args(choices):
            raise UnknownName(f"data.{key}", getattr(config, key), get_args(choices))


def _divide(pool: Pool, name: str, source: str, config: DataConfig) -> Splits:
    is_watching_test = config.validation == "test"
    num_held_out = config.num_held_out or pool.num_held_out
    if num_held_out >= len(pool.order):
        raise ConfigError(
            f"data.num_held_out is {num_held_out:,}, and {name} has {len(pool.order):,} images to train on; "
            "hold out fewer."
        )
    order = pool.order if config.held_out == "random" else np.sort(pool.order)
    num_kept = len(order) - (0 if is_watching_test else num_held_out)
    train = pool.learn.subset(order[:num_kept])
    test = _binarised(pool.test, config, stream=2)
    validation = test if is_watching_test else _binarised(pool.learn.subset(order[num_kept:]), config, stream=1)
    is_redrawn = config.binarisation == "dynamic"
    train = replace(train, is_redrawn=True) if is_redrawn else _binarised(train, config, stream=0)
    return Splits(
        name=name,
        train=train,
        validation=validation,
        test=test,
        label_names=pool.collection.label_names,
        skipped=pool.collection.skipped,
        notes=pool.collection.notes,
        resized_to=pool.collection.resized_to,
        watched="test" if is_watching_test else "validation",
        source=source,
        binarisation=_in_words(config),
        checksum=checksum((train, validation, test)),
    )


def _binarised(examples: Examples, config: DataConfig, stream: int) -> Examples:
    return examples if config.binarisation == "none" else binarised(examples, config.binarisation_seed, stream)


def _in_words(config: DataConfig) -> str:
    if config.binarisation == "none":
        return ""
    return f"{config.binarisation} binarisation, seed {config.binarisation_seed}"


def _pool(all_of_it: Collection, num_held_out: int, num_test: int, split_seed: int, read_from: str) -> Pool:
    # Splits keep the random order: their first images are a fair sample, even of a file sorted by class.
    examples = all_of_it.examples
    order = split_order(len(examples), split_seed)
    test = examples.subset(order[-num_test:])
    return Pool(examples, order[:-num_test], num_held_out, test, all_of_it, read_from)


def _existing_path(source: str) -> Path:
    if is_name(Path(source)):
        return Path(source)
    # What can go wrong: no such file, no such user's home, a null character.
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(source).expanduser()
        path.stat()
        if source:  # an empty one would be the current folder
            return path
    if Path(source).name == source and not Path(source).suffix:
        raise UnknownName("data source", source, [*SOURCES, "the path of a file or folder"])
    raise DataError(f"{shown(source)} is no file or folder that can be read, nor one of {', '.join(SOURCES)}.")


def _read(path: Path, config: DataConfig) -> Collection:
    options = reading_options(config)
    collection = read(path, options)
    if options.images.size is not None and collection.examples.event_shape[:0:-1] != options.images.size:
        refuse(path, f"holds no image files, which alone are brought to a size; leave data.size {config.size!r} out")
    return collection


def _in_tenths(path: Path, collection: Collection, split_seed: int) -> Pool:
    if collection.num_test:
        return _with_own_test(path, collection, split_seed)
    num_examples = len(collection.examples)
    if num_examples < 3:
        refuse(path, f"holds {num_examples} example(s); train, validation and test need at least 3")
    tenth = max(1, num_examples // 10)
    return _pool(collection, tenth, tenth, split_seed, str(path))


def _with_own_test(path: Path, collection: Collection, split_seed: int) -> Pool:
    num_learned = len(collection.examples) - collection.num_test
    if num_learned < 2:
        refuse(path, f"holds {num_learned} example(s) beside its test split; train and validation need at least 2")
    order = split_order(num_learned, split_seed)
    test = collection.examples.subset(np.arange(num_learned, len(collection.examples)))
    return Pool(collection.examples, order, max(1, num_learned // 10), test, collection, str(path))


def read_size(text: str) -> tuple[int, int] | None:
    """Width and height from WIDTHxHEIGHT, or None where that is not what the text is."""
    match = SIZE.fullmatch(text)
    if match is None or not all(1 <= int(length) <= MAX_SIDE for length in match.groups()):
        return None
    return int(match[1]), int(match[2])


def reading_options(config: DataConfig) -> ReadingOptions:
    """What a configuration chooses about reading; ConfigError for a size that is none."""
    size = read_size(config.size) if config.size else None
    if config.size and size is None:
        raise ConfigError(f"data.size is {config.size!r}, accepted is {SIZES}, such as 64x48.")
    images = ImageOptions(size=size, resize=config.resize, skip_broken=config.skip_broken)
    return ReadingOptions(images=images, labels=config.labels)


def _digits_path() -> Path:
    # Not imported: importing scikit-learn takes seconds.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("digits is read from scikit-learn, which is not installed; install scikit-learn.")
    return Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")


def _load_idx(name: str, archive: Archive, label_names: tuple[str, ...], config: DataConfig) -> Pool:
    """A source with a test set of its own. One in twelve of the others, 5,000 of 60,000, is held out."""
    files = find_idx_files(name, archive, config.data_dir)
    learn = _read_pair(files[0], files[1], len(label_names))
    test = _read_pair(files[2], files[3], len(label_names))
    if learn.event_shape != test.event_shape:
        refuse(files[2], f"holds images of another size than {shown(files[0])}; they are not of one data set")
    if len(learn) < 2:
        refuse(files[0], "holds 1 image; train and validation need at least 2")
    order = split_order(len(learn), config.split_seed)
    collection = Collection(learn, label_names)
    return Pool(learn, order, max(1, len(learn) // 12), test, collection, shown(files[0].parent))


def _read_pair(image_file: Path, label_file: Path, num_labels: int) -> Examples:
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        refuse(label_file, f"holds {len(labels):,} labels, but {shown(image_file)} {len(images):,} images")
    if labels.max() >= num_labels:
        refuse(label_file, f"holds the label {labels.max()}; accepted are 0..{num_labels - 1}")
    return Examples(images[..., np.newaxis], 255.0, labels.astype(np.int64))


CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def _like_mnist(name: str, origin: str, licence: str, load: Callable[[DataConfig], Pool]) -> Source:
    return Source(name, (28, 28, 1), "0..255, 256 grey levels", (55_000, 5_000, 10_000), origin, licence, load)


SOURCES = {
    "digits": Source(
        name="digits",
        shape=(8, 8, 1),
        range="0..16, 17 grey levels",
        sizes=(1_257, 180, 360),
        origin="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, doi:10.24432/C50P49",
        licence="CC BY 4.0",
        load=digits,
    ),
    "mnist": _like_mnist(
        name="mnist",
        origin="Y. LeCun, C. Cortes and C. J. C. Burges, http://yann.lecun.com/exdb/mnist",
        licence="CC BY-SA 3.0",
        load=mnist,
    ),
    "fashion-mnist": _like_mnist(
        name="fashion-mnist",
        origin="H. Xiao, K. Rasul and R. Vollgraf (Zalando), arXiv:1708.07747",
        licence="MIT",
        load=fashion_mnist,
    ),
    "kmnist": _like_mnist(
        name="kmnist",
        origin="KMNIST (CODH), adapted from Kuzushiji Dataset (NIJL and others), doi:10.20676/00000341",
        licence="CC BY-SA 4.0",
        load=kmnist,
    ),
}
