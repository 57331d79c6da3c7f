"""One-line errors, and sizes and names in messages."""

import struct
from io import BytesIO

import pytest

from lowerbound.data.reading import (
    GIB,
    MOST_GIB,
    Limit,
    format_bytes,
    format_shape,
    limit_from_setting,
    printable,
    read_up_to,
    reading,
)
from lowerbound.foundation.errors import ConfigError, DataError, TooLarge


@pytest.mark.parametrize("error", [struct.error("bad\nheader"), MemoryError(), SyntaxError("x"), ValueError("y.")])
def test_whatever_a_decoder_raises_is_one_line_that_names_the_file(error):
    with pytest.raises(DataError) as caught, reading("a.bin", "a picture"):
        raise error
    message = str(caught.value)
    assert message.startswith("a.bin is not a picture, or it is damaged (") and "\n" not in message
    assert message.endswith(").") and ".)" not in message


def test_an_error_of_the_file_itself_keeps_its_reason(tmp_path):
    path = tmp_path / "none"
    with pytest.raises(DataError, match="cannot be read: No such file or directory"), reading(path, "a picture"):
        path.read_bytes()


def test_a_limit_names_the_setting_that_raises_it_unless_it_is_fixed():
    with pytest.raises(TooLarge, match=r"takes 3 GiB, but the limit is 2 GiB; raise the limit data\.max_gib to 3"):
        Limit(2 * GIB).check("x", 3 * GIB)
    with pytest.raises(TooLarge, match="send a smaller request"):
        Limit(2 * GIB, can_be_raised=False).check("x", 3 * GIB)
    Limit(2 * GIB).check("x", 2 * GIB)


@pytest.mark.parametrize("setting", [0.0, -1.0, float(MOST_GIB), float("nan"), float("inf")])
def test_a_limit_that_is_no_number_of_gib_is_refused(setting):
    with pytest.raises(ConfigError, match=r"data\.max_gib"):
        limit_from_setting(setting)


def test_no_more_is_read_than_was_asked_for():
    assert read_up_to(BytesIO(b"abcdef"), 4) == b"abcd"


def test_sizes_and_shapes_are_written_out():
    assert (format_bytes(2**30), format_bytes(3 * 2**20), format_bytes(512)) == ("1 GiB", "3 MiB", "0.5 KiB")
    assert (format_shape((3, 28)), format_shape(())) == ("3×28", "a single number")
    assert printable("a\nb") == r"'a\nb'" and printable("é b") == "é b"
