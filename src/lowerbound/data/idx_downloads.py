"""IDX files of MNIST, Fashion-MNIST and KMNIST: found in local folders or downloaded, with their checksums."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lowerbound.data.reading import printable, reading
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.storage import cache_folder

DATA_VARIABLE = "LOWERBOUND_DATA"
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Archive:
    """Mirrors of gzipped IDX files, and the checksums of the files."""

    mirrors: tuple[str, ...]  # tried in this order; each ends with a slash
    sha256: Mapping[str, str]  # of file name without .gz: SHA-256 of the .gz file


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
    # Imported here: only IDX sources should pay its 45 ms.
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


def _roots(data_dir: str) -> list[Path]:
    """Folders that are searched for sources, in order; the last is the download cache."""
    given = [root for root in (data_dir, os.environ.get(DATA_VARIABLE, "")) if root]
    # Path.expanduser raises where os.path.expanduser leaves the home of an unknown user as it is.
    expanded = [Path(os.path.expanduser(root)) for root in given]  # noqa: PTH111
    return [*expanded, cache_folder()]


def _files_in(folder: Path) -> dict[str, Path]:
    candidates = [(file, folder / f"{file}{suffix}") for file in IDX_FILES for suffix in (".gz", "")]
    with reading(folder, "a folder"):
        return {file: path for file, path in candidates if path.is_file()}


def _as_searched(folder: Path) -> str:
    found = _files_in(folder)
    missing = ", ".join(file for file in IDX_FILES if file not in found)
    return f"{printable(folder)} (without {missing})" if found else printable(folder)


def _why(error: Exception) -> str:
    # requests raises OSErrors, some of which are ValueErrors too; pooch a plain ValueError for a wrong hash.
    if not isinstance(error, OSError):
        return "wrong checksum"
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"


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
