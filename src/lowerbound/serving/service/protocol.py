"""Requests and answers of the Open Inference Protocol v2 over REST: bytes to questions, answers to bytes.

A body is JSON; numbers stand in it, flat or nested, or follow it as raw bytes in the order of the tensors (the binary
tensor extension: header Inference-Header-Content-Length, parameter binary_data_size). What does not hold to the
protocol, or to what a model takes, is refused with one line. Nothing here waits or computes.
"""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.foundation.errors import DataError
from lowerbound.serving.service.fields import (
    PARAMETERS,
    Fields,
    as_json,
    as_list,
    as_object,
    given,
    known,
    parsed,
    shown,
    truth,
    wrong,
)
from lowerbound.serving.service.limits import (
    JSON_BYTES_FOR_A_NUMBER,
    Limits,
    RequestError,
    check_answer_length,
    check_json_length,
    check_num_examples,
)
from lowerbound.serving.service.models import Endpoint
from lowerbound.serving.service.operations import BATCH, Answer, InferenceRequest, Signature
from lowerbound.serving.service.validation import as_array, check_codes, seen_tensor, stored_tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
TYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1"), "INT32": np.dtype("<i4")}
STORED = ("UINT8", "INT32")
"""Types in which examples come as they are stored; FP32 is what the bare module takes."""
CHOSEN_SEEDS = 2**31  # short enough to be typed
OF_THE_PROTOCOL = ("binary_data_output", "priority", "timeout")
"""Parameters of a request that no operation has; the last two are hints, and not taken."""


@dataclass(frozen=True)
class Wanted:
    """One tensor of the answer, and how it is sent."""

    signature: Signature
    is_binary: bool


@dataclass(frozen=True)
class Inference:
    """A request: the question, and what the answer is to look like."""

    offer: Endpoint
    question: InferenceRequest
    outputs: tuple[Wanted, ...]
    id: str
    notes: tuple[str, ...] = ()  # what was done to the examples


@dataclass(frozen=True)
class Written:
    """An answer as bytes."""

    body: bytes
    header_length: int | None  # of its JSON, where raw bytes follow


def read_inference(offer: Endpoint, body: memoryview, header_length: str | None, limits: Limits) -> Inference:
    """The request in a body; RequestError with 400 for what is none, with 413 for one of too many examples."""
    length = len(body) if header_length is None else json_length(header_length)
    if length > len(body):
        raise RequestError(400, f"{HEADER_LENGTH} is {length:,}, the body has {len(body):,} bytes.")
    check_json_length(length, limits.max_batch * max(math.prod(signature.shape[1:]) for signature in offer.inputs))
    request = as_object(parsed(bytes(body[:length])), "the body")
    request = given("field of a request", request, ("id", "parameters", "outputs"), required=("inputs",))
    parameters = as_object(request.get("parameters", {}), "parameters")
    parameters = given("parameter", parameters, (*offer.operation.parameters, *OF_THE_PROTOCOL))
    options = {name: PARAMETERS[name](name, value) for name, value in parameters.items() if name in PARAMETERS}
    arrays = _read_inputs(offer, request.get("inputs", []), body[length:], limits.max_batch)
    outputs = _read_outputs(offer, request.get("outputs", []), options)
    identifier = request.get("id", "")
    if not isinstance(identifier, str):
        raise wrong("id", identifier, "a text")
    question, notes = _question(offer, options, arrays, outputs, limits.max_batch)
    _check_answer(question.num_examples, outputs, limits.max_body)
    return Inference(offer, question, outputs, identifier, notes)


def write_answer(inference: Inference, answer: Answer) -> Written:
    """The answer as it was wanted: JSON, and behind it the raw bytes of binary tensors."""
    offer, question = inference.offer, inference.question
    header: Fields = {"model_name": offer.name, "model_version": offer.served.version}
    if inference.id:
        header["id"] = inference.id
    drawn: Fields = {"seed": question.seed} if offer.operation.always_draws or question.sample else {}
    noted: Fields = {"notes": "; ".join(inference.notes)} if inference.notes else {}
    if drawn or noted:
        header["parameters"] = drawn | noted
    values = [np.ascontiguousarray(answer[wanted.signature.name], "<f4") for wanted in inference.outputs]
    header["outputs"] = [_described(wanted, value) for wanted, value in zip(inference.outputs, values, strict=True)]
    written = as_json(header)
    raw = [_bytes(value) for wanted, value in zip(inference.outputs, values, strict=True) if wanted.is_binary]
    return Written(b"".join([written, *raw]), len(written)) if raw else Written(written, None)


def json_length(header: str) -> int:
    """How much of the body is JSON, as the header says."""
    if not header.isascii() or not header.isdigit() or not 0 < int(header[:20]) < 2**63:
        raise RequestError(400, f"{HEADER_LENGTH} is {shown(header)}; accepted is the length of the body's JSON.")
    return int(header)


def chosen_seed() -> int:
    """A seed for who gives none, and is told this one."""
    return secrets.randbelow(CHOSEN_SEEDS)


def _check_answer(num_examples: int, outputs: Sequence[Wanted], most: int) -> None:
    for is_binary, length in ((True, TYPES["FP32"].itemsize), (False, JSON_BYTES_FOR_A_NUMBER)):
        chosen = [wanted.signature for wanted in outputs if wanted.is_binary == is_binary]
        check_answer_length(num_examples * sum(math.prod(each.shape[1:]) for each in chosen), length, most)


def _described(wanted: Wanted, value: np.ndarray) -> Fields:
    output: Fields = {"name": wanted.signature.name, "datatype": wanted.signature.datatype, "shape": list(value.shape)}
    if wanted.is_binary:
        return {**output, "parameters": {"binary_data_size": value.nbytes}}
    return {**output, "data": value.ravel().tolist()}


def _bytes(value: np.ndarray) -> memoryview:
    return value.reshape(-1).view(np.uint8).data


def _read_inputs(offer: Endpoint, inputs: Any, raw: memoryview, max_batch: int) -> dict[str, np.ndarray]:
    """The tensors of a request by their names."""
    signatures = {signature.name: signature for signature in offer.inputs}
    arrays: dict[str, np.ndarray] = {}
    for entry in as_list(inputs, "inputs"):
        entry = as_object(entry, "an input")
        entry = given("field of an input", entry, ("parameters", "data"), required=("name", "shape", "datatype"))
        name = known(f"input of {offer.name}", entry.get("name"), signatures)
        if name in arrays:
            raise RequestError(400, f"input {name!r} is given twice.")
        dtype = _datatype(offer, signatures[name], entry.get("datatype"))
        shape = _shape(signatures[name], entry.get("shape"), max_batch)
        arrays[name], raw = _values(offer, entry, dtype, shape, raw)
    if raw:
        raise RequestError(400, f"{len(raw):,} bytes follow the body's JSON that no input claims by binary_data_size.")
    return arrays


def _values(
    offer: Endpoint, entry: Fields, dtype: np.dtype[Any], shape: tuple[int, ...], raw: memoryview
) -> tuple[np.ndarray, memoryview]:
    """One input's numbers, and what is left of the raw bytes."""
    name, parameters = entry["name"], as_object(entry.get("parameters", {}), "an input's parameters")
    parameters = given(f"parameter of input {name!r}", parameters, ("binary_data_size",))
    if not {"data", "binary_data_size"} & {*entry, *parameters}:
        raise RequestError(
            400, f"input {name!r} has no data; send a list of numbers, or raw bytes and binary_data_size."
        )
    if "binary_data_size" not in parameters:
        return as_array(name, entry["data"], dtype, shape, with_missing=offer.served.layout == "table"), raw
    size, needed = parameters["binary_data_size"], math.prod(shape) * dtype.itemsize
    if type(size) is not int or size != needed or "data" in entry:
        raise wrong(f"binary_data_size of {name!r}", size, f"{needed} for its shape and type, and no data beside it")
    if size > len(raw):
        raise RequestError(400, f"input {name!r} claims {size:,} bytes, of which {len(raw):,} follow the body's JSON.")
    values = np.frombuffer(raw[:size], dtype).reshape(shape)
    return np.require(values, requirements=("ALIGNED", "WRITEABLE")), raw[size:]


def _datatype(offer: Endpoint, signature: Signature, name: Any) -> np.dtype[Any]:
    accepted = [signature.datatype, *(STORED if _takes_stored(offer, signature) else ())]
    return TYPES[known(f"datatype of {signature.name!r}", name, accepted)]


def _takes_stored(offer: Endpoint, signature: Signature) -> bool:
    """Examples of a run whose stored numbers are integers may come as they are stored."""
    return signature.name == "x" and offer.served.schema.is_integer


def _shape(signature: Signature, lengths: Any, max_batch: int) -> tuple[int, ...]:
    lengths = as_list(lengths, f"the shape of {signature.name!r}")
    fits = len(lengths) == len(signature.shape) and all(
        type(length) is int and (expected in (BATCH, length))
        for length, expected in zip(lengths, signature.shape, strict=True)
    )
    if not fits:
        raise wrong(f"shape of {signature.name!r}", lengths, f"{list(signature.shape)}, -1 being any number")
    if signature.shape[0] == BATCH:
        check_num_examples(lengths[0], max_batch)
    return tuple(lengths)


def _read_outputs(offer: Endpoint, outputs: Any, options: Fields) -> tuple[Wanted, ...]:
    """The tensors that are wanted; all of them if none is named, draws only where one was asked for."""
    by_default = options.get("binary_data_output", False)
    entries = as_list(outputs, "outputs")
    if not entries:
        chosen = [signature for signature in offer.outputs if options.get("sample") or not signature.is_drawn]
        return tuple(Wanted(signature, by_default) for signature in chosen)
    signatures = {signature.name: signature for signature in offer.outputs}
    wanted: dict[str, Wanted] = {}
    for entry in entries:
        entry = given("field of an output", as_object(entry, "an output"), ("parameters",), required=("name",))
        name = known(f"output of {offer.name}", entry.get("name"), signatures)
        parameters = as_object(entry.get("parameters", {}), "an output's parameters")
        parameters = given(f"parameter of output {name!r}", parameters, ("binary_data",))
        wanted[name] = Wanted(signatures[name], truth("binary_data", parameters.get("binary_data", by_default)))
    return tuple(wanted.values())


def _question(
    offer: Endpoint, options: Fields, arrays: dict[str, np.ndarray], outputs: Sequence[Wanted], max_batch: int
) -> tuple[InferenceRequest, tuple[str, ...]]:
    """What is asked, and what was done to its examples."""
    fields = {name: value for name, value in options.items() if name in offer.operation.parameters}
    fields.setdefault("seed", chosen_seed())
    # Who wants a tensor that is drawn wants a draw.
    fields["sample"] = fields.get("sample", False) or any(wanted.signature.is_drawn for wanted in outputs)
    num, x = fields.pop("num", None), arrays.get(offer.operation.takes)
    if offer.operation.takes == "num":
        if num is not None and x is not None:
            raise RequestError(400, "the number of examples is given twice, as input 'num' and as parameter.")
        number = int(x[0]) if x is not None else num or 1
        check_num_examples(number, max_batch)
        return InferenceRequest(num_examples=number, **fields), ()
    if x is None:
        raise RequestError(400, f"input {offer.operation.takes!r} is missing.")
    if offer.operation.takes == "z":
        check_codes(x)
        return InferenceRequest(num_examples=len(x), x=x, **fields), ()
    try:
        sent = (stored_tensor if x.dtype.kind in "iu" else seen_tensor)(offer.served, "input 'x'", x)
    except DataError as error:
        raise RequestError(400, str(error)) from None
    return InferenceRequest(num_examples=len(x), x=sent.x, range=sent.range, **fields), sent.notes
