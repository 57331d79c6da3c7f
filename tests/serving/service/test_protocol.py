"""Bodies that nobody in their right mind would send, and those that differ from good ones by little."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import catalogue_of
from lowerbound.serving.service.protocol import encode_response, json_length, parse_request
from served_models import digits, icons, images, people, spectra

OFFERS = catalogue_of([digits(), icons(), people(), spectra()]).endpoints
LIMITS = Limits(max_batch=16)
NAMES = st.sampled_from(sorted(OFFERS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["id", "parameters", "inputs", "outputs", "name", "shape", "datatype", "data", "x", "seed"])
REQUESTS = st.recursive(
    JSON | st.sampled_from(["x", "z", "num", "FP32", "UINT8", [1, 1, 8, 8], [1, 2], [0.5] * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=20,
)


def read(name, body, header_length=None):
    return parse_request(OFFERS[name], memoryview(bytearray(body)), header_length, LIMITS)


def good(raw=False, **changes):
    """A request for `digits.encode` with some of its fields changed, and the length of its JSON if bytes follow."""
    x = images(2)
    entry = {"name": "x", "shape": [2, 1, 8, 8], "datatype": "FP32"}
    entry |= {"parameters": {"binary_data_size": x.nbytes}} if raw else {"data": x.ravel().tolist()}
    text = json.dumps({"inputs": [entry | changes.pop("entry", {})], **changes}).encode()
    return (text + x.tobytes(), str(len(text))) if raw else (text, None)


def refusal(body, header_length=None, name="digits.encode"):
    with pytest.raises(RequestError) as error:
        read(name, body, header_length)
    assert error.value.status in (400, 413)
    assert error.value.reason
    assert "\n" not in error.value.reason
    return error.value.reason


@settings(max_examples=150)
@given(NAMES, st.binary(max_size=400), st.none() | st.text("0123456789-x", max_size=4))
def test_any_bytes_are_a_request_or_refused(name, body, header_length):
    try:
        length = header_length and str(json_length(header_length))
        read(name, body, length or None)
    except RequestError as refused:
        assert refused.status in (400, 413)


@settings(max_examples=300)
@given(NAMES, REQUESTS)
def test_any_json_is_a_request_or_refused(name, value):
    try:
        read(name, json.dumps(value).encode())
    except RequestError as refused:
        assert refused.status in (400, 413)


@settings(max_examples=100)
@given(st.data())
def test_one_change_to_a_good_request_is_refused_or_harmless(data):
    body, length = good(raw=data.draw(st.booleans()))
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] = data.draw(st.integers(0, 255))
    try:
        read("digits.encode", changed, length)
    except RequestError as refused:
        assert refused.status in (400, 413)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), min_size=64, max_size=64))
def test_numbers_are_read_as_they_were_written(values):
    x = np.array(values, np.float32).reshape(1, 1, 8, 8)
    entry = {"shape": [1, 1, 8, 8]}
    for data in (values, x.tolist()):
        inference = read("digits.encode", good(entry=entry | {"data": data})[0])
        np.testing.assert_array_equal(inference.request.x, x)


def test_the_good_request_is_taken_in_both_forms():
    for raw in (False, True):
        inference = read("digits.encode", *good(raw=raw))
        np.testing.assert_array_equal(inference.request.x, images(2))
        assert inference.request.num_examples == 2


@pytest.mark.parametrize(
    "text", [b"", b"[" * 100_000, b'{"inputs"', b"\xff\xfe", b"1" * 5000, b'{"a": "\\ud800"}', b"NaN"]
)
def test_what_is_no_json_or_no_object_is_refused(text):
    refusal(text)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"data": ["0.5"] * 128}, "contain strings; accepted: numbers"),
        ({"data": [True] * 128}, "contain true or false"),
        ({"data": [None] * 128}, "contain null"),
        ({"data": [0.5] * 127}, "have the shape (127,)"),
        ({"data": [[0.5] * 64, [0.5] * 63]}, "have lists of different lengths"),
        ({"data": [10**400] * 128}, "number too large"),
        ({"data": [1e300] * 128}, "example 0, element 0,0,0 is inf; the model accepts numbers from 0 to 1"),
        ({"data": "0" * 128}, "a list of numbers"),
        ({"data": [256] * 128, "datatype": "UINT8"}, "whole numbers from 0 to 255"),
        ({"data": [0.5] * 128, "datatype": "UINT8"}, "whole numbers from 0 to 255"),
        ({"shape": [2, 64]}, "[-1, 1, 8, 8]"),
        ({"shape": [True, 1, 8, 8]}, "inputs[0].shape[0] is true; accepted: an integer."),
        ({"shape": None}, "inputs[0].shape is null; accepted: a list"),
        ({"name": None}, "inputs[0].name is null; accepted: a string"),
        ({"datatype": None}, "accepted: FP32, UINT8, INT32"),
        ({"data": None}, "input 'x' has no data"),
        ({"parameters": {"binary_data_size": True}}, "binary_data_size is true; accepted: an integer from 0"),
        ({"shape": [-2, 1, 8, 8]}, "at least 1"),
        ({"shape": [0, 1, 8, 8], "data": []}, "at least 1"),
        ({"shape": [10**18, 1, 8, 8]}, "the limit is 16"),
        ({"datatype": "BYTES"}, "accepted: FP32, INT32, UINT8"),
        ({"name": ["x"]}, 'inputs[0].name is ["x"]; accepted: a string'),
        ({"parameters": {"shared_memory_region": "a"}}, "binary_data_size"),
        ({"parameters": {"binary_data_size": 512}}, "without data in the JSON"),
        ({"colour": 1}, "unknown inputs[0] field 'colour'"),
    ],
)
def test_an_input_that_is_wrong_is_refused_with_the_reason(entry, reason):
    assert reason in refusal(good(entry=entry)[0])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": {}}, "inputs is {}; accepted: a list"),
        ({"inputs": []}, "'x' is missing"),
        ({"inputs": None}, "inputs is null; accepted: a list"),
        ({"inputs": [None]}, "inputs[0] is null; accepted: an object"),
        ({"outputs": [{"name": None}]}, "outputs[0].name is null; accepted: a string"),
        ({"parameters": {"seed": True}}, "parameters.seed is true; accepted: an integer from 0 to 9223372036854775807"),
        ({"parameters": {"seeds": None}}, "did you mean 'seed'?"),
        ({"id": 7}, "id is 7; accepted: a string"),
        ({"parameters": []}, "parameters is []; accepted: an object"),
        ({"parameters": {"sequence_id": 1}}, "unknown parameter"),
        ({"parameters": {"temperature": 2}}, "unknown parameter"),
        ({"outputs": [{"name": "means"}]}, "did you mean 'mean'?"),
        ({"outputs": [{"name": "mean", "parameters": {"classification": 3}}]}, "accepted: binary_data"),
        ({"outputs": [{"name": "mean", "parameters": {"binary_data": "yes"}}]}, "true or false"),
        ({"input": []}, "did you mean 'inputs'?"),
    ],
)
def test_a_request_that_is_wrong_is_refused_with_the_reason(changes, reason):
    assert reason in refusal(good(**changes)[0])


NULLS = [
    {"id": None, "parameters": None, "outputs": None, "entry": {"parameters": None}},
    {"parameters": {"seed": None, "sample": None, "binary_data_output": None}},
    {"outputs": [{"name": "mean", "parameters": None}, {"name": "log_variance", "parameters": {"binary_data": None}}]},
]


@pytest.mark.parametrize("changes", NULLS)
def test_null_in_place_of_what_is_optional_is_as_if_it_were_absent(changes):
    plain, inference = read("digits.encode", *good()), read("digits.encode", *good(**changes))
    assert (inference.id, inference.request.sample, inference.outputs) == ("", False, plain.outputs)
    np.testing.assert_array_equal(inference.request.x, plain.request.x)


def test_data_that_are_null_may_stand_beside_raw_bytes():
    np.testing.assert_array_equal(read("digits.encode", *good(raw=True, entry={"data": None})).request.x, images(2))


def test_an_input_is_given_once():
    request = json.loads(good()[0])
    request["inputs"] *= 2
    assert "given twice" in refusal(json.dumps(request).encode())


def test_raw_bytes_are_those_that_are_claimed():
    body, length = good(raw=True)
    assert "declares 512 bytes, of which 508" in refusal(body[:-4], length)
    assert "4 bytes follow" in refusal(body + b"abcd", length)
    assert "the body has" in refusal(body, str(len(body) + 1))
    for header in ("0", "-1", "x", "9" * 30, "٣"):
        with pytest.raises(RequestError, match="accepted: the length"):
            json_length(header)


def test_json_longer_than_its_numbers_can_be_is_refused_unread():
    body = good()[0].replace(b'{"inputs"', b"{" + b" " * 200_000 + b'"inputs"')
    assert "send numbers as binary data" in refusal(body)
    assert read("digits.encode", good()[0].replace(b"{", b"{" + b" " * 50_000, 1)).request.num_examples == 2


@pytest.mark.parametrize("name", ["digits.encode", "digits.decode", "digits.generate", "people.score"])
def test_seeds_are_chosen_where_none_is_given_and_kept_where_one_is(name):
    inputs = {
        "digits.encode": [{"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}],
        "digits.decode": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}],
        "people.score": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.5, None, 2]}],
    }.get(name, [])
    chosen = {read(name, json.dumps({"inputs": inputs}).encode()).request.seed for _ in range(3)}
    assert len(chosen) == 3
    given_one = json.dumps({"inputs": inputs, "parameters": {"seed": 2**63 - 1}}).encode()
    assert read(name, given_one).request.seed == 2**63 - 1


def test_an_answer_is_written_in_the_forms_that_were_wanted():
    outputs = [{"name": "mean"}, {"name": "log_variance", "parameters": {"binary_data": True}}]
    inference = read("digits.encode", good(outputs=outputs, id="mine")[0])
    answer = {"mean": np.array([[1, np.nan]], np.float32), "log_variance": np.array([[2, np.inf]], np.float32)}
    written = encode_response(inference, answer)
    header = json.loads(written.body[: written.header_length])
    assert header["outputs"][0] == {"name": "mean", "datatype": "FP32", "shape": [1, 2], "data": [1.0, None]}
    assert header["outputs"][1]["parameters"] == {"binary_data_size": 8}
    assert header["id"] == "mine"
    np.testing.assert_array_equal(np.frombuffer(written.body[written.header_length :], "<f4"), [2, np.inf])
