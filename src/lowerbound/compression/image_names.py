"""Names of images in a compressed file: relative, as .png, and all different."""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from lowerbound.foundation.errors import DataError

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def within_folder(names: Sequence[str]) -> tuple[str, ...]:
    """Names within the folder that all images have in common, if some lead elsewhere."""
    if all(_is_within(name) for name in names):
        return tuple(names)
    paths = [Path(name).expanduser().resolve() for name in names]
    folder = os.path.commonpath([path.parent for path in paths])
    return tuple(path.relative_to(folder).as_posix() for path in paths)


def written_names(names: Sequence[str]) -> list[str]:
    """The names of PNG files; DataError for one that leads out of its folder, or that two images would have."""
    for name in names:
        if not _is_within(name):
            raise DataError(
                f"the file names an image {name[:60]!r}, which is not a name within a folder; nothing is written."
            )
    written = [name if PurePosixPath(name).suffix.lower() == ".png" else f"{name}.png" for name in names]
    if len(set(written)) < len(written):
        twice = next(name for name in written if written.count(name) > 1)
        raise DataError(f"two images would be written as {twice!r}; give them different names, or an array.")
    return written


def _is_within(name: str) -> bool:
    parts = PureWindowsPath(name).parts
    leads_out = PurePosixPath(name).is_absolute() or not parts or ".." in parts or bool(PureWindowsPath(name).drive)
    return not leads_out and not CONTROL.search(name)
