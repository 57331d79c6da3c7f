"""Check of a TIFF's first directory (number of tags, strips and tiles) before Pillow reads it.

A directory is a list of tags, each with a number of values. Pillow creates an object for every strip or tile and
decodes each separately: two megabytes of offsets to the same byte would take it a minute.

Source: Adobe, TIFF Revision 6.0 (1992), section 2; BigTIFF has 8 bytes where TIFF has 4.
"""

import struct
from io import BufferedIOBase
from pathlib import Path

from lowerbound.data.reading import refuse, too_large

OFFSETS = {273: "strips", 324: "tiles"}
MAX_TAGS = 4096
MAX_PARTS = 32_768
"""Strips of an image 32,768 pixels high, or tiles of 16 × 16 of one of 8 million; each takes 50 µs."""


def check_tiff(place: Path | str, file: BufferedIOBase, start: bytes) -> None:
    """DataError for a directory with too many tags, strips or tiles; files that are not TIFFs pass."""
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    version = struct.unpack(f"{order}H", start[2:4])[0] if order and len(start) >= 16 else 0
    if version not in (42, 43):
        return
    # Formats of the tag count and of one tag: number, type, number of values, values or their offset.
    offset, count, tag = ("I", "H", "HHI4s") if version == 42 else ("Q", "Q", "HHQ8s")
    file.seek(struct.unpack_from(f"{order}{offset}", start, 4 if version == 42 else 8)[0])
    (num_tags,) = struct.unpack(f"{order}{count}", file.read(struct.calcsize(count)))
    if num_tags > MAX_TAGS:
        refuse(place, f"has {num_tags:,} tags, but the limit is {MAX_TAGS:,}")
    size = struct.calcsize(f"{order}{tag}")
    for number, _, num_values, _ in struct.iter_unpack(f"{order}{tag}", file.read(num_tags * size)):
        if number in OFFSETS and num_values > MAX_PARTS:
            what = OFFSETS[number]
            too_large(place, f"has {num_values:,} {what}, but the limit is {MAX_PARTS:,}; save it with larger {what}")
