"""Files that are not CSV despite their name: compressed files, workbooks, web pages, JSON.

Most are recognised by their first bytes. Text is refused only if no table header could begin that way:
`<TICKER>,<DATE>` and `[kg],{id}` are headers.
"""

import json
import re

from lowerbound.data.reading import refuse

SAMPLE = 64 * 1024  # characters searched for markup
SAVE = "save it as CSV (UTF-8)"

STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a file compressed with gzip", "decompress it (gunzip)"),
    (b"BZh91AY&SY", "a file compressed with bzip2", "decompress it (bunzip2)"),
    (b"\xfd7zXZ\0", "a file compressed with xz", "decompress it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard", "decompress it (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "extract the table from it"),
    (b"PAR1\x15", "a Parquet file", "rename it to .parquet"),
    (b"ARROW1\0", "an Arrow or Feather file", "save it as Parquet or CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as Parquet or CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x93NUMPY", "a NumPy array", "rename it to .npy"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as an Excel workbook (.xls)", SAVE),
    (b"%PDF-", "a PDF document", "export the table as CSV"),
)
"""First bytes, kind of file, remedy."""
OFFICE = ("an Excel workbook or another Office document", SAVE)
ZIP = ("a zip archive", "extract the table from it")

JSON_START = re.compile(r"""\{\s*["'}]|\[\s*[\[{"]""")
MARKED_NAME = re.compile(r"<[^<>]*>[ \t]*[,;\t|]")  # a name in a header
MARKUP_START = re.compile(r"<(?:[!?]|html\b)", re.IGNORECASE)


def check_bytes(place: str, content: bytes) -> None:
    """DataError for a file whose first bytes are those of another format."""
    if content.startswith(b"PK\x03\x04"):
        is_office = b"[Content_Types].xml" in content
        what, remedy = OFFICE if is_office else ZIP
        refuse(place, f"is {what}, not CSV; {remedy}")
    for start, what, remedy in STARTS:
        if content.startswith(start):
            refuse(place, f"is {what}, not CSV; {remedy}")


def check_text(place: str, characters: str) -> None:
    """DataError for text that is JSON, HTML or XML."""
    sample = characters[:SAMPLE].lstrip()
    if _is_json(sample):
        refuse(place, f"looks like JSON (it begins with {sample[:20]!r}), not CSV; {SAVE} or Parquet")
    if _is_markup(sample):
        begins = f"it begins with {sample[:20]!r}"
        refuse(place, f"looks like HTML or XML ({begins}), not CSV; download the table itself, or {SAVE}")


def _is_json(sample: str) -> bool:
    if JSON_START.match(sample):
        return True
    return sample.startswith("[") and _is_json_line(sample.splitlines()[0])


def _is_json_line(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _is_markup(sample: str) -> bool:
    if not sample.startswith("<") or MARKED_NAME.match(sample):
        return False
    return MARKUP_START.match(sample) is not None or "</" in sample or "/>" in sample
