"""Names, files and folders to train, validation and test splits.

A source is a name in SOURCES or a path. What it holds is put in a random order that depends on `split_seed`
alone, so that runs with different training seeds see the same splits and can be compared in pairs. IDX files
are looked for in data_dir/<name>, $LOWERBOUND_DATA/<name> and the user's cache, else downloaded to the cache.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Int64

from lowerbound.data.files import Collection, read_idx, read_images, reading, refuse, shown
from lowerbound.data.files import Examples as Examples  # what splits are made of: part of this module's face
from lowerbound.errors import ConfigError, DataError, UnknownName

Watched = Literal["held-out", "test"]

DATA_VARIABLE = "LOWERBOUND_DATA"
DIGITS = tuple("0123456789")
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on."""

    source: str = "digits"  # a name in SOURCES, or the path of a file or folder
    data_dir: str = ""  # where IDX files lie, each source in a subfolder of its name
    split_seed: int = 0  # independent of the training seed, so that runs are paired
    validation: Watched = "held-out"  # what training watches


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
    checksum: str  # SHA-256 of images and labels


@dataclass(frozen=True, eq=False)
class Pool:
    """What a source holds: examples to learn from, of which some will be held out, and those to test on."""

    learn: Examples
    order: Int64[np.ndarray, " example"]  # which of `learn` belong here; the last `num_held_out` are held out
    num_held_out: int
    test: Examples
    label_names: tuple[str, ...]
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


@dataclass(frozen=True)
class Archive:
    """Where gzipped IDX files can be fetched, and what they must hash to."""

    mirrors: tuple[str, ...]  # tried in this order; each ends with a slash
    sha256: Mapping[str, str]  # of file name without .gz: SHA-256 of the .gz file


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
    return _divide(_split_in_tenths(path, config.split_seed), shown(path.resolve().name), shown(path), config)


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
        for array in (part.images, part.labels):
            if array is not None:
                digest.update(f"{array.dtype.str}{array.shape};".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def find_idx_files(name: str, archive: Archive, data_dir: str) -> list[Path]:
    """The four IDX files of a source, in the order of IDX_FILES; downloaded if no folder has them all."""
    folders = [root / name for root in _roots(data_dir)]
    for folder in folders:
        if len(found := _files_in(folder)) == len(IDX_FILES):
            return [found[file] for file in IDX_FILES]
    try:
        return [download(archive, file, folders[-1]) for file in IDX_FILES]
    except DataError as error:
        places = ", ".join(_as_searched(folder) for folder in folders)
        came = f"{name} was not found in {places}, and downloading it failed ({error})"
        wanted = ", ".join(f"{file}.gz" for file in IDX_FILES)
        raise DataError(f"{came}; put {wanted} (or the same without .gz) into one of these folders.") from error


def download(archive: Archive, file: str, folder: Path) -> Path:
    """Fetch `file`.gz into `folder` from the first mirror that has it; a wrong checksum leaves no file."""
    # Imported here: 45 ms that only IDX sources should cost.
    import pooch

    # Seconds to connect, and to wait for the next bytes.
    fetch = pooch.HTTPDownloader(timeout=(10, 60), chunk_size=2**16)
    name, known_hash = f"{file}.gz", f"sha256:{archive.sha256[file]}"
    failures = []
    for mirror in archive.mirrors:
        try:
            return Path(pooch.retrieve(mirror + name, known_hash, name, folder, downloader=fetch))
        except (OSError, ValueError) as error:
            failures.append(f"{urlsplit(mirror).hostname}: {_why(error)}")
    raise DataError("; ".join(failures))


def _check(config: DataConfig) -> None:
    if config.split_seed < 0:
        raise ConfigError(f"split_seed must be 0 or more, got {config.split_seed}.")
    if config.validation not in get_args(Watched):
        raise UnknownName("validation", config.validation, get_args(Watched))


def _divide(pool: Pool, name: str, source: str, config: DataConfig) -> Splits:
    if config.validation == "test":
        train, validation = pool.learn.subset(pool.order), pool.test
    else:
        train = pool.learn.subset(pool.order[: -pool.num_held_out])
        validation = pool.learn.subset(pool.order[-pool.num_held_out :])
    return Splits(
        name=name,
        train=train,
        validation=validation,
        test=pool.test,
        label_names=pool.label_names,
        watched="test" if config.validation == "test" else "validation",
        source=source,
        checksum=checksum((train, validation, pool.test)),
    )


def _pool(all_of_it: Collection, num_held_out: int, num_test: int, split_seed: int, read_from: str) -> Pool:
    # Splits keep the random order: their first images are a fair sample, even of a file sorted by class.
    examples = all_of_it.examples
    order = split_order(len(examples), split_seed)
    test = examples.subset(order[-num_test:])
    return Pool(examples, order[:-num_test], num_held_out, test, all_of_it.label_names, read_from)


def _existing_path(source: str) -> Path:
    # What can go wrong: no such file, no such user's home, a null character.
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(source).expanduser()
        path.stat()
        if source:  # an empty one would be the current folder
            return path
    if Path(source).name == source and not Path(source).suffix:
        raise UnknownName("data source", source, [*SOURCES, "the path of a file or folder"])
    raise DataError(f"{shown(source)} is no file or folder that can be read, nor one of {', '.join(SOURCES)}.")


def _split_in_tenths(path: Path, split_seed: int) -> Pool:
    collection = read_images(path)
    num_examples = len(collection.examples)
    if num_examples < 3:
        refuse(path, f"holds {num_examples} image(s); train, validation and test need at least 3")
    tenth = max(1, num_examples // 10)
    return _pool(collection, tenth, tenth, split_seed, str(path))


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
    return Pool(learn, order, max(1, len(learn) // 12), test, label_names, shown(files[0].parent))


def _read_pair(image_file: Path, label_file: Path, num_labels: int) -> Examples:
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        refuse(label_file, f"holds {len(labels):,} labels, but {shown(image_file)} {len(images):,} images")
    if labels.max() >= num_labels:
        refuse(label_file, f"holds the label {labels.max()}; accepted are 0..{num_labels - 1}")
    return Examples(images[..., np.newaxis], 255.0, labels.astype(np.int64))


def _roots(data_dir: str) -> list[Path]:
    """Where sources are looked for, in order; the last is the cache, into which they are downloaded."""
    import pooch

    given = [root for root in (data_dir, os.environ.get(DATA_VARIABLE, "")) if root]
    # Path.expanduser raises where os.path.expanduser leaves the home of an unknown user as it is.
    expanded = [Path(os.path.expanduser(root)) for root in given]  # noqa: PTH111
    return [*expanded, Path(pooch.os_cache("lowerbound"))]


def _files_in(folder: Path) -> dict[str, Path]:
    candidates = [(file, folder / f"{file}{suffix}") for file in IDX_FILES for suffix in (".gz", "")]
    with reading(folder, "a folder"):
        return {file: path for file, path in candidates if path.is_file()}


def _as_searched(folder: Path) -> str:
    found = _files_in(folder)
    missing = ", ".join(file for file in IDX_FILES if file not in found)
    return f"{shown(folder)} (which lacks {missing})" if found else shown(folder)


def _why(error: Exception) -> str:
    # requests raises OSErrors, some of which are ValueErrors too; pooch a plain ValueError for a wrong hash.
    if not isinstance(error, OSError):
        return "wrong checksum"
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"


CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

MNIST_ARCHIVE = Archive(
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST_ARCHIVE = Archive(
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    sha256={
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
KMNIST_ARCHIVE = Archive(
    # One host, by two protocols: no other is known to serve these very files.
    mirrors=(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
)


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
