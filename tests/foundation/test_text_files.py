"""JSON and TOML files come back as they were, and what is damaged is named."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.text_files import read_json, read_toml, write_json, write_toml

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(st.text(), JSON_VALUES, max_size=4)


@settings(max_examples=40)
@given(value=JSON_OBJECTS)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path, number):
    path = tmp_path / "value.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": [number]})
    assert read_json(path) == {"loss": 1.0}


def test_toml_comes_back_as_it_was(tmp_path):
    value = {"format_version": 1, "training": {"rate": 1e-3, "name": 'a "quoted" — é', "sizes": [1, 2]}}
    write_toml(tmp_path / "config.toml", value)
    assert read_toml(tmp_path / "config.toml") == value


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b'"text"', b"\xff\xfe", b'{"a": 1}}'])
def test_what_is_no_json_object_is_refused_by_name(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"results\.json .*it is damaged"):
        read_json(path)


@pytest.mark.parametrize("content", [b"a = ", b"a = 1\na = 2", b"\xff\xfe"])
def test_what_is_no_toml_is_refused_by_name(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"config\.toml is not valid TOML"):
        read_toml(path)


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_a_file_that_is_missing_is_refused_by_name(tmp_path, read):
    with pytest.raises(RunError, match=r"cannot read .*absent: No such file"):
        read(tmp_path / "absent")
