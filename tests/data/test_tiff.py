"""The first directory of a TIFF is checked before Pillow reads it."""

import struct
from io import BytesIO

import pytest

from lowerbound.data.tiff import MAX_PARTS, MAX_TAGS, check_tiff
from lowerbound.foundation.errors import DataError, TooLarge


def tiff(tags, order="<", big=False):
    """A header and one directory of (number, number of values)."""
    mark = b"II" if order == "<" else b"MM"
    if big:
        head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16) + struct.pack(f"{order}Q", len(tags))
        return head + b"".join(struct.pack(f"{order}HHQ8s", number, 4, count, bytes(8)) for number, count in tags)
    head = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(tags))
    return head + b"".join(struct.pack(f"{order}HHI4s", number, 4, count, bytes(4)) for number, count in tags)


def check(content):
    check_tiff("a.tif", BytesIO(content), content[:32])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("tag", "what"), [(273, "strips"), (324, "tiles")])
def test_too_many_parts_are_refused_in_every_form(order, big, tag, what):
    check(tiff([(256, 1), (tag, MAX_PARTS)], order, big))
    with pytest.raises(TooLarge, match=f"has {MAX_PARTS + 1:,} {what}"):
        check(tiff([(256, 1), (tag, MAX_PARTS + 1)], order, big))


def test_too_many_tags_are_refused():
    with pytest.raises(DataError, match=r"has 4,097 tags"):
        check(tiff([(256, 1)] * (MAX_TAGS + 1)))


def test_other_files_pass():
    check(b"\x89PNG\r\n\x1a\n" + bytes(24))
    check(b"II")
