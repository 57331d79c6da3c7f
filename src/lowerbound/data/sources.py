"""load(): named data sets (table SOURCES), files and folders to train, validation and test splits.

A source is a name in SOURCES or a path. Its examples are put in a random order that depends only on `split_seed`, so
that runs with different training seeds share their splits and can be compared in pairs. IDX files are searched in
data_dir/<name>, $LOWERBOUND_DATA/<name> and the user's cache, and otherwise downloaded to the cache.
"""

import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lowerbound.data.arrays import read_idx
from lowerbound.data.examples import Collection
from lowerbound.data.examples import Examples as Examples  # re-exported
from lowerbound.data.files import ReadingOptions, options_for_schema, read, to_collection
from lowerbound.data.hugging_face import is_name
from lowerbound.data.idx_downloads import FASHION_MNIST_ARCHIVE, KMNIST_ARCHIVE, MNIST_ARCHIVE, Archive, find_idx_files
from lowerbound.data.images import ImageOptions
from lowerbound.data.objects import read_object
from lowerbound.data.packed_data import load_packed
from lowerbound.data.packed_files import is_packed
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import Limit, limit_from_setting, printable, reading, refuse
from lowerbound.data.remote import Location, is_remote
from lowerbound.data.remote_copies import copied
from lowerbound.data.splits import DataConfig as DataConfig  # re-exported, like the next two
from lowerbound.data.splits import Pool, check_config, pool_with_default_splits, random_pool, split_order, split_pool
from lowerbound.data.splits import Splits as Splits
from lowerbound.data.splits import checksum as checksum
from lowerbound.data.sprites import NUM_IMAGES, SHAPES, factors_of, sprites
from lowerbound.data.tables import RawTable, TableOptions
from lowerbound.data.unread_settings import OF_FILES, check_unset
from lowerbound.foundation.errors import ConfigError, DataError, LowerboundError, UnknownName, in_one_line
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.text import pluralise

DIGITS = tuple("0123456789")
SIZE = re.compile(r"([0-9]{1,9})[xX×]([0-9]{1,9})")
MAX_SIDE = 4096
MOST_COLLECTED = 10_000  # training examples of packed data
SIZES = f"WIDTHxHEIGHT in pixels, from 1 to {MAX_SIDE} each"


@dataclass(frozen=True)
class Source:
    """A named data set."""

    name: str
    shape: tuple[int, ...]  # of an example as it is stored: height, width, channels of an image
    range: str  # of values, as text
    sizes: tuple[int, int, int]  # train, validation, test
    origin: str
    licence: str
    load: Callable[[DataConfig], Pool]
    uses_data_dir: bool = True  # whether it reads files of data_dir


def load(config: DataConfig, schema: Schema | None = None, partly_labelled: bool = False) -> Splits:
    """The splits of a named source, or of a file or folder, which is read by `schema` if given.

    Images of a folder that is `partly_labelled` may lack a label, which a classifier then infers.

    A named source takes precedence over a file of that name: write ./digits for a folder called digits. Raises
    UnknownName for an unknown source, DataError for missing or damaged data, ConfigError for an invalid setting.

    Examples:
        >>> lb.load_data(lb.DataConfig(source="digits"))
        Splits('digits': 1,257 train, 180 validation, 360 test; examples of shape 1×8×8)
    """
    check_config(config)
    reading_options(config)  # also checked for named sources
    is_named = config.source in SOURCES
    if config.data_dir and not (is_named and getattr(SOURCES[config.source], "uses_data_dir", True)):
        what = f"{config.source!r} reads none" if is_named else "a file or folder is given by its own path"
        raise ConfigError(f"data.data_dir is for sources that are IDX files, such as mnist; {what}; leave it out.")
    if config.factors and (is_named or is_packed(Location(config.source))):
        what = "a named source has its own factors, if any" if is_named else "packed data have no factors"
        raise ConfigError(f"data.factors is for files and folders; {what}; leave it out.")
    if is_named:
        check_unset(config, OF_FILES, f"is for files and folders; {config.source!r} is read as it is; leave it out.")
        return _load_named(config.source, config)
    if is_packed(location := Location(config.source)):
        return load_packed(location, config)
    if is_remote(config.source):
        return _load_remote(config, schema, partly_labelled)
    path = existing_path(config.source)
    pool = pool_with_default_splits(printable(path), _read(path, config, schema, partly_labelled), config.split_seed)
    # Reports contain no paths of this machine.
    return split_pool(
        pool, printable(path.resolve().name), printable(path.name if path.is_absolute() else path), config
    )


def _load_remote(config: DataConfig, schema: Schema | None, partly_labelled: bool) -> Splits:
    """The splits of a file or folder far away, which is copied for as long as it is read."""
    with copied(config.source, limit_from_setting(config.max_gib)) as copy:
        splits = load(replace(config, source=str(copy.path)), schema, partly_labelled)
    return copy.renamed(splits, source=printable(copy.url))


def _load_named(name: str, config: DataConfig) -> Splits:
    """The splits of a row of SOURCES; DataError naming it if it fails or returns anything but a pool with a schema."""
    source = SOURCES[name]
    if not isinstance(source, Source):
        raise DataError(f"SOURCES[{name!r}] is a {type(source).__name__} instead of a Source.")
    try:
        pool = source.load(config)
        if not isinstance(pool, Pool):
            raise TypeError(f"load returned a {type(pool).__name__} instead of a Pool")
        splits = split_pool(pool, source.name, f"{source.origin}; read from {pool.read_from}", config)
    except (LowerboundError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"source {name!r} failed: {in_one_line(error)}.") from error
    if splits.schema is None:
        raise DataError(f"source {name!r} returned a pool without a schema; make its collection with to_collection.")
    return splits


def collect(config: DataConfig, partly_labelled: bool = False) -> Collection:
    """All examples of a file or folder, or the training examples of a named source, read as by `load`."""
    if config.source in SOURCES or is_packed(Location(config.source)):
        splits = load(config)
        train = splits.train.first(MOST_COLLECTED) if splits.train.is_on_disk else splits.train
        few = f"the first {len(train):,} of {pluralise(len(splits.train), 'training example')}"
        notes = (few,) if len(train) < len(splits.train) else ()
        return Collection(train, splits.label_names, schema=splits.schema, notes=notes)
    check_config(config)
    if not is_remote(config.source):
        return _read(existing_path(config.source), config, partly_labelled=partly_labelled)
    with copied(config.source, limit_from_setting(config.max_gib)) as copy:
        found = _read(copy.path, config, partly_labelled=partly_labelled)
    return copy.renamed(found, place=printable(copy.url))


def split_raw(raw: RawArray | RawTable, config: DataConfig, name: str) -> Splits:
    """The splits of data in memory, read as from a file."""
    check_config(config)
    collection = to_collection(raw, reading_options(config))
    pool = pool_with_default_splits(raw.place, collection, config.split_seed)
    return split_pool(pool, name, f"{name} in memory", config)


def split_array(values: Any, labels: Any = None, split_seed: int = 0, factors: Any = None) -> Splits:
    """The splits of an object in memory (see objects.py), read as from a file: a tenth for validation and a tenth for
    test, unless the data have their own splits. Labels are a list, an array, a tensor or a column of strings; factors
    are a table with a column for each, or an array of examples × factors.

    Examples:
        >>> images = np.random.default_rng(0).random((100, 16, 16, 3))
        >>> splits = lb.split_array(images, labels=["left", "right"] * 50)
        >>> len(splits.train.values), splits.label_names
        (80, ('left', 'right'))
    """
    raw = read_object(values, labels, factors=factors)
    return raw if isinstance(raw, Splits) else split_raw(raw, DataConfig(split_seed=split_seed), "array")


def digits(config: DataConfig) -> Pool:
    """Handwritten digits, 8 x 8 x 1, 0..16, 1,257 / 180 / 360 examples: the file that comes with scikit-learn.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI. Licence: CC BY 4.0.
    """
    path = _digits_path()
    with reading(path, "scikit-learn's digits.csv.gz"):
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    if table.shape[1] != 65 or table[:, :64].max() > 16 or table[:, 64].max() > 9:
        refuse(path, "is not scikit-learn's digits.csv.gz: 64 pixels in 0..16 and a digit per line")
    examples = Examples(table[:, :64].reshape(-1, 8, 8, 1), 16.0, table[:, 64].astype(np.int64))
    _, num_held_out, num_test = SOURCES["digits"].sizes
    schema = Schema(layout="image", shape=(8, 8, 1), dtype="uint8", range=examples.range)
    return random_pool(
        Collection(examples, DIGITS, schema=schema), num_held_out, num_test, config.split_seed, "scikit-learn"
    )


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


def sprites_64(config: DataConfig) -> Pool:
    """Shapes with known factors, 64 x 64 x 1, 0 and 1, 100,000 / 5,000 / 10,000 examples, labelled by shape.

    Source: drawn by this program, like dSprites: a random part of 737,280 images. Licence: none needed.
    """
    return _draw_sprites(SOURCES["sprites"], config)


def sprites_32(config: DataConfig) -> Pool:
    """The same images in 32 x 32 x 1, 100,000 / 5,000 / 10,000 examples.

    Source: drawn by this program. Licence: none needed.
    """
    return _draw_sprites(SOURCES["sprites-32"], config)


def _draw_sprites(source: Source, config: DataConfig) -> Pool:
    """As many images of the grid as the source has, by the split seed."""
    chosen = split_order(NUM_IMAGES, config.split_seed)[: sum(source.sizes)]
    factors = factors_of(chosen)
    examples = Examples(sprites(chosen, source.shape[0])[..., np.newaxis], 1.0, factors.codes[:, 0], factors=factors)
    schema = Schema(layout="image", shape=source.shape, dtype="uint8", range=examples.range)
    order, of_test = np.split(np.arange(len(examples)), [sum(source.sizes[:2])])
    collection = Collection(examples, SHAPES, schema=schema)
    return Pool(examples, order, source.sizes[1], examples.subset(of_test), collection, "a program")


def _is_link(source: str) -> bool:
    try:
        return Path(source).is_symlink()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def existing_path(source: str) -> Path:
    """The path of a file or folder, or of a data set by name; UnknownName or DataError if there is none."""
    if is_name(Path(source)):
        return Path(source)
    # Possible errors: no such file, no such user's home, a null character.
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(source).expanduser()
        path.stat()
        if source:  # empty would be the current folder
            return path
    if _is_link(source):
        raise DataError(f"{printable(source)} is a link to {printable(Path(source).readlink())}, which does not exist.")
    if Path(source).name == source and not Path(source).suffix:
        raise UnknownName("data source", source, [*SOURCES, "the path of a file or folder"])
    raise DataError(f"{printable(source)} is not a readable file or folder, nor one of {', '.join(SOURCES)}.")


def _read(path: Path, config: DataConfig, schema: Schema | None = None, partly_labelled: bool = False) -> Collection:
    options = reading_options(config)
    options = replace(options, images=replace(options.images, partly_labelled=partly_labelled))
    if schema is not None:
        options = options_for_schema(options, schema)
    collection = read(path, options)
    if config.size and collection.examples.event_shape[:0:-1] != options.images.size:
        refuse_size(path, config)
    return collection


def refuse_size(path: Path, config: DataConfig) -> NoReturn:
    """DataError: there is nothing to resize."""
    refuse(path, f"contains no image files, and only image files are resized; remove data.size {config.size!r}")


def read_size(text: str) -> tuple[int, int] | None:
    """Width and height from WIDTHxHEIGHT, or None for another text."""
    match = SIZE.fullmatch(text)
    if match is None or not all(1 <= int(length) <= MAX_SIDE for length in match.groups()):
        return None
    return int(match[1]), int(match[2])


def reading_options(config: DataConfig) -> ReadingOptions:
    """Reading options from a configuration; ConfigError for an invalid size."""
    size = read_size(config.size) if config.size else None
    if config.size and size is None:
        raise ConfigError(f"data.size is {config.size!r}; accepted: {SIZES}, such as 64x48.")
    tables = TableOptions(
        label=config.labels,
        exclude=config.exclude,
        columns=config.columns,
        missing_markers=config.missing_markers,
        decimal=config.decimal,
        separator=config.separator,
        skip_broken=config.skip_broken,
    )
    return ReadingOptions(
        images=ImageOptions(
            size=size, resize=config.resize, num_channels=config.channels, skip_broken=config.skip_broken
        ),
        tables=tables,
        labels=config.labels,
        factors=config.factors,
        layout=config.layout,
        range=config.range,
        skip_broken=config.skip_broken,
        limit=limit_from_setting(config.max_gib),
    )


def _digits_path() -> Path:
    # Located without importing scikit-learn, which takes seconds.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("digits is read from scikit-learn, which is not installed; install scikit-learn.")
    return Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")


def _load_idx(name: str, archive: Archive, label_names: tuple[str, ...], config: DataConfig) -> Pool:
    """A source with its own test set. One in twelve training examples, 5,000 of 60,000, is held out."""
    files = find_idx_files(name, archive, config.data_dir)
    limit = limit_from_setting(config.max_gib)
    learn = _read_pair(files[0], files[1], len(label_names), limit)
    test = _read_pair(files[2], files[3], len(label_names), limit)
    if learn.event_shape != test.event_shape:
        refuse(files[2], f"has another image size than {printable(files[0])}; the files are not from one data set")
    if len(learn) < 2:
        refuse(files[0], "contains 1 image; train and validation need at least 2")
    order = split_order(len(learn), config.split_seed)
    schema = Schema(layout="image", shape=learn.values.shape[1:], dtype="uint8", range=learn.range)
    collection = Collection(learn, label_names, schema=schema)
    return Pool(learn, order, max(1, len(learn) // 12), test, collection, printable(files[0].parent))


def _read_pair(image_file: Path, label_file: Path, num_labels: int, limit: Limit) -> Examples:
    images, labels = read_idx(image_file, 3, limit), read_idx(label_file, 1, limit)
    if len(images) != len(labels):
        of_images = f"{printable(image_file)} {pluralise(len(images), 'image')}"
        refuse(label_file, f"contains {pluralise(len(labels), 'label')}, but {of_images}")
    if labels.max() >= num_labels:
        refuse(label_file, f"contains the label {labels.max()}; accepted: 0..{num_labels - 1}")
    return Examples(images[..., np.newaxis], 255.0, labels.astype(np.int64))


CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def _sprites(name: str, side: int, load: Callable[[DataConfig], Pool]) -> Source:
    return Source(
        name=name,
        shape=(side, side, 1),
        range="0 and 1",
        sizes=(100_000, 5_000, 10_000),
        origin="drawn by this program, like dSprites (Matthey et al., 2017), whose pixels differ",
        licence="none needed",
        load=load,
        uses_data_dir=False,
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
        uses_data_dir=False,
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
    "sprites": _sprites("sprites", 64, sprites_64),
    "sprites-32": _sprites("sprites-32", 32, sprites_32),
}
