"""Requests and responses of the Open Inference Protocol v2 over REST: parsed from bytes, and encoded to bytes.

A body is JSON; the values of a tensor are in it, flat or nested, or follow it as raw bytes in the order of the tensors
(the binary tensor extension: header Inference-Header-Content-Length, parameter binary_data_size). What does not conform
to the protocol, or to the model, is refused with the reason. Nothing here waits or computes.
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.foundation.errors import DataError
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import (
    JsonObject,
    as_json,
    check_known,
    not_accepted,
    parse_json,
    shown,
    validate,
)
from lowerbound.serving.service.limits import (
    JSON_BYTES_PER_NUMBER,
    Limits,
    check_json_length,
    check_num_examples,
    check_response_length,
)
from lowerbound.serving.service.models import Endpoint
from lowerbound.serving.service.operations import BATCH, InferenceRequest, Outputs, Signature
from lowerbound.serving.service.schemas import InferBody, InferInput, InferOutput, InferParameters
from lowerbound.serving.service.validation import (
    as_array,
    check_context,
    check_latents,
    model_scale_tensor,
    stored_tensor,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1"), "INT32": np.dtype("<i4")}
STORED = ("UINT8", "INT32")
"""Datatypes of examples in stored units; FP32 is the scale of the model."""
MAX_CHOSEN_SEED = 2**31  # short enough to be typed
COMMON_PARAMETERS = ("binary_data_output", "priority", "timeout")
"""Parameters that every operation accepts; the last two are hints, and ignored."""


@dataclass(frozen=True)
class RequestedOutput:
    """One tensor of the response, and how it is sent."""

    signature: Signature
    is_binary: bool


@dataclass(frozen=True)
class ParsedRequest:
    """A request to an endpoint, and the form of its response."""

    endpoint: Endpoint
    request: InferenceRequest
    outputs: tuple[RequestedOutput, ...]
    id: str
    notes: tuple[str, ...] = ()  # on how the examples were read


@dataclass(frozen=True)
class EncodedResponse:
    """A response as bytes."""

    body: bytes
    header_length: int | None  # of its JSON, if binary data follow


def parse_request(endpoint: Endpoint, body: memoryview, header_length: str | None, limits: Limits) -> ParsedRequest:
    """The request in a body; RequestError with 400 for an invalid one, with 413 for one with too many examples."""
    length = len(body) if header_length is None else json_length(header_length)
    if length > len(body):
        raise RequestError(400, f"{HEADER_LENGTH} is {length:,}, but the body has {len(body):,} bytes.")
    check_json_length(length, limits.max_batch * max(math.prod(signature.shape[1:]) for signature in endpoint.inputs))
    content = parse_json(bytes(body[:length]))
    _check_parameter_names(endpoint, content)
    sent = validate(InferBody, content)
    parameters = sent.parameters or InferParameters()
    arrays = _read_inputs(endpoint, sent.inputs, body[length:], limits.max_batch)
    outputs = _requested_outputs(endpoint, sent.outputs or (), parameters)
    request, notes = _inference_request(endpoint, parameters, arrays, outputs, limits.max_batch)
    _check_response(request.num_examples, outputs, limits.max_body)
    return ParsedRequest(endpoint, request, outputs, sent.id or "", notes)


def encode_response(parsed: ParsedRequest, computed: Outputs) -> EncodedResponse:
    """The response in the requested form: JSON, followed by the raw bytes of binary tensors."""
    endpoint, request = parsed.endpoint, parsed.request
    header: JsonObject = {"model_name": endpoint.name, "model_version": endpoint.served.version}
    if parsed.id:
        header["id"] = parsed.id
    seed: JsonObject = {"seed": request.seed} if endpoint.operation.always_draws or request.sample else {}
    notes: JsonObject = {"notes": "; ".join(parsed.notes)} if parsed.notes else {}
    if seed or notes:
        header["parameters"] = seed | notes
    values = [np.ascontiguousarray(computed[output.signature.name], "<f4") for output in parsed.outputs]
    header["outputs"] = [_described(output, value) for output, value in zip(parsed.outputs, values, strict=True)]
    encoded = as_json(header)
    raw = [_bytes(value) for output, value in zip(parsed.outputs, values, strict=True) if output.is_binary]
    return EncodedResponse(b"".join([encoded, *raw]), len(encoded) if raw else None)


def json_length(header: str) -> int:
    """The length of a body's JSON, from the header."""
    if not header.isascii() or not header.isdigit() or not 0 < int(header[:20]) < 2**63:
        raise RequestError(400, f"{HEADER_LENGTH} is {shown(header)}; accepted: the length of the body's JSON.")
    return int(header)


def random_seed() -> int:
    """A seed for a request without one; the response contains it."""
    return secrets.randbelow(MAX_CHOSEN_SEED)


def _check_parameter_names(endpoint: Endpoint, content: Any) -> None:
    """Refuse parameters that the operation does not have, suggesting among those that it has."""
    parameters = content.get("parameters") if isinstance(content, dict) else None
    for name in parameters if isinstance(parameters, dict) else ():
        check_known("parameter", name, (*endpoint.operation.parameters, *COMMON_PARAMETERS))


def _check_response(num_examples: int, outputs: Sequence[RequestedOutput], max_bytes: int) -> None:
    for is_binary, length in ((True, DTYPES["FP32"].itemsize), (False, JSON_BYTES_PER_NUMBER)):
        chosen = [output.signature for output in outputs if output.is_binary == is_binary]
        check_response_length(num_examples * sum(math.prod(each.shape[1:]) for each in chosen), length, max_bytes)


def _described(output: RequestedOutput, value: np.ndarray) -> JsonObject:
    described = {"name": output.signature.name, "datatype": output.signature.datatype, "shape": list(value.shape)}
    if output.is_binary:
        return {**described, "parameters": {"binary_data_size": value.nbytes}}
    return {**described, "data": value.ravel().tolist()}


def _bytes(value: np.ndarray) -> memoryview:
    return value.reshape(-1).view(np.uint8).data


def _read_inputs(
    endpoint: Endpoint, inputs: Sequence[InferInput], raw: memoryview, max_batch: int
) -> dict[str, np.ndarray]:
    """The input tensors by name."""
    signatures = {signature.name: signature for signature in endpoint.inputs}
    arrays: dict[str, np.ndarray] = {}
    for sent in inputs:
        name = check_known(f"input of {endpoint.name}", sent.name, signatures)
        if name in arrays:
            raise RequestError(400, f"input {name!r} is given twice.")
        dtype = _dtype(endpoint, signatures[name], sent.datatype)
        shape = _shape(signatures[name], sent.shape, max_batch)
        arrays[name], raw = _values(endpoint, sent, dtype, shape, raw)
    if raw:
        raise RequestError(
            400, f"{len(raw):,} bytes follow the body's JSON, but no input refers to them by binary_data_size."
        )
    return arrays


def _values(
    endpoint: Endpoint, sent: InferInput, dtype: np.dtype[Any], shape: tuple[int, ...], raw: memoryview
) -> tuple[np.ndarray, memoryview]:
    """The values of one input, and the remaining raw bytes."""
    name, size = sent.name, sent.parameters and sent.parameters.binary_data_size
    if size is None:
        if sent.data is None:
            raise RequestError(
                400, f"input {name!r} has no data; send a list of numbers, or raw bytes and binary_data_size."
            )
        return as_array(name, sent.data, dtype, shape, with_missing=endpoint.served.layout == "table"), raw
    num_bytes = math.prod(shape) * dtype.itemsize
    if size != num_bytes or sent.data is not None:
        accepted = f"{num_bytes} for its shape and datatype, without data in the JSON"
        raise not_accepted(f"binary_data_size of {name!r}", size, accepted)
    if size > len(raw):
        raise RequestError(
            400, f"input {name!r} declares {size:,} bytes, of which {len(raw):,} follow the body's JSON."
        )
    values = np.frombuffer(raw[:size], dtype).reshape(shape)
    return np.require(values, requirements=("ALIGNED", "WRITEABLE")), raw[size:]


def _dtype(endpoint: Endpoint, signature: Signature, datatype: str) -> np.dtype[Any]:
    accepted = [signature.datatype, *(STORED if _takes_stored(endpoint, signature) else ())]
    return DTYPES[check_known(f"datatype of {signature.name!r}", datatype, accepted)]


def _takes_stored(endpoint: Endpoint, signature: Signature) -> bool:
    """Whether an input may be in stored units: the examples of a run whose stored numbers are integers."""
    return signature.name == "x" and endpoint.served.schema.is_integer


def _shape(signature: Signature, lengths: Sequence[int], max_batch: int) -> tuple[int, ...]:
    fits = len(lengths) == len(signature.shape) and all(
        expected in (BATCH, length) for length, expected in zip(lengths, signature.shape, strict=True)
    )
    if not fits:
        accepted = f"{list(signature.shape)}, in which -1 is any number"
        raise not_accepted(f"shape of {signature.name!r}", list(lengths), accepted)
    if signature.shape[0] == BATCH:
        check_num_examples(lengths[0], max_batch)
    return tuple(lengths)


def _requested_outputs(
    endpoint: Endpoint, outputs: Sequence[InferOutput], parameters: InferParameters
) -> tuple[RequestedOutput, ...]:
    """The requested tensors; if none is named, all of them, with draws only if `sample` is true."""
    by_default = parameters.binary_data_output or False
    if not outputs:
        chosen = [signature for signature in endpoint.outputs if parameters.sample or not signature.is_drawn]
        return tuple(RequestedOutput(signature, by_default) for signature in chosen)
    signatures = {signature.name: signature for signature in endpoint.outputs}
    requested: dict[str, RequestedOutput] = {}
    for output in outputs:
        name = check_known(f"output of {endpoint.name}", output.name, signatures)
        is_binary = output.parameters.binary_data if output.parameters else None
        requested[name] = RequestedOutput(signatures[name], by_default if is_binary is None else is_binary)
    return tuple(requested.values())


def _inference_request(
    endpoint: Endpoint,
    parameters: InferParameters,
    arrays: Mapping[str, np.ndarray],
    outputs: Sequence[RequestedOutput],
    max_batch: int,
) -> tuple[InferenceRequest, tuple[str, ...]]:
    """The operation's request, and notes on how its examples were read."""
    operation, options = endpoint.operation, _options(endpoint, parameters, outputs)
    num, x = options.pop("num", None), arrays.get(operation.takes)
    options["context"] = arrays.get("context")
    if operation.takes == "num":
        if num is not None and x is not None:
            raise RequestError(400, "the number of examples is given twice, as input 'num' and as parameter.")
        number = int(x[0]) if x is not None else num or 1
        check_num_examples(number, max_batch)
        check_context(endpoint.served, options["context"], number)
        return InferenceRequest(num_examples=number, **options), ()
    if x is None:
        raise RequestError(400, f"input {operation.takes!r} is missing.")
    check_context(endpoint.served, options["context"], len(x))
    if operation.takes == "z":
        check_latents(endpoint.served.model, x)
        return InferenceRequest(num_examples=len(x), x=x, **options), ()
    try:
        examples = (stored_tensor if x.dtype.kind in "iu" else model_scale_tensor)(endpoint.served, "input 'x'", x)
    except DataError as error:
        raise RequestError(400, str(error)) from None
    return InferenceRequest(num_examples=len(x), x=examples.x, range=examples.range, **options), examples.notes


def _options(endpoint: Endpoint, parameters: InferParameters, outputs: Sequence[RequestedOutput]) -> JsonObject:
    """The options of an InferenceRequest; a requested output that is drawn implies `sample`."""
    given = parameters.model_dump(include=set(endpoint.operation.parameters), exclude_none=True)
    is_drawn = any(output.signature.is_drawn for output in outputs)
    return {"seed": random_seed(), **given, "sample": given.get("sample", False) or is_drawn}
