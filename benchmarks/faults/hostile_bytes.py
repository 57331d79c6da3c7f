"""Hostile HTTP requests: invalid heads, false lengths, wrong tensors; and valid requests to mutate."""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.faults.servers import HOST
from benchmarks.faults.valid_files import image


@dataclass(frozen=True)
class Hostile:
    """Bytes to send in pieces, with pauses between them; and whether to disconnect before the response."""

    name: str
    pieces: tuple[bytes, ...]
    pause: float = 0.0
    hangs_up: bool = False


def malformed(authorization: bytes) -> Iterator[Hostile]:
    """Heads that are invalid, too large, or too slow."""
    rest = HOST + authorization + b"\r\n"
    heads = (
        *(b"", b"\r\n" * 1000, b"\x00" * 100, b"GET", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n" + rest),
        *(
            b"G\x00T / HTTP/1.1\r\n" + rest,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:99999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + rest,
        b"GET /%ff%00%0d%0a..%2f..%2fetc/passwd HTTP/1.1\r\n" + rest,
        b"GET /assets/../../../../../../etc/passwd HTTP/1.1\r\n" + rest,
        b"GET /assets/%2e%2e/%2e%2e/%2e%2e/application.py HTTP/1.1\r\n" + rest,
        b"GET //evil.example/%0aX:y HTTP/1.1\r\n" + rest,
        b"GET http://evil.example/ HTTP/1.1\r\n" + rest,
        b"OPTIONS * HTTP/1.1\r\n" + rest,
        b"TRACE / HTTP/1.1\r\n" + rest,
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + rest,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + rest,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n" + rest,
        b"GET / HTTP/1.1\r\nAuthorization: Bearer \xff\xff\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Basic !!!!\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + rest,
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n" + rest,
        b"GET /?" + b"&".join(b"a=%d" % n for n in range(20_000)) + b" HTTP/1.1\r\n" + rest,
        b"GET /?%c0%af=%ff HTTP/1.1\r\n" + rest,
        b"GET / HTTP/1.1\r\nRange: bytes=0-0,1-1,5-" + b"9" * 30 + b"\r\n" + rest,
        b"GET / HTTP/1.1\r\nIf-Modified-Since: \xff\r\nAccept: \x01\r\n" + rest,
        b"GET / HTTP/1.1\r\nAccept-Encoding: gzip, " + b"br," * 500 + b"\r\n" + rest,
    )
    for head in heads:
        yield Hostile("head", (head,))
    for length in (b"-1", b"1e9", b"9" * 30, b"99999999999", b"0x10", b"", b"5, 5", b"+5", b"5\r\nContent-Length: 6"):
        for path in (b"/encode", b"/api/runs/run/decode", b"/v2/models/run.encode/infer"):
            raw = b"POST %s HTTP/1.1\r\n%sContent-Length: %s\r\n%shello" % (path, authorization, length, HOST + b"\r\n")
            yield Hostile("stated length", (raw,))
    for chunk in (
        b"5\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF\r\nx",
        b"zz\r\nx",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
    ):
        for path in (b"/encode", b"/api/runs/run/decode", b"/v2/models/run.encode/infer"):
            start = b"POST %s HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n" % (path, authorization)
            yield Hostile("chunks", (start + HOST + b"\r\n" + chunk,))
            yield Hostile("smuggled", (start + b"Content-Length: 3\r\n" + HOST + b"\r\n" + chunk,))
    get = b"GET /api/runs HTTP/1.1\r\n" + rest
    yield Hostile("pipelined", (get * 200,))
    yield Hostile("pipelined", (get * 20 + b"nonsense\r\n\r\n",))
    yield Hostile("slow head", tuple(bytes([byte]) for byte in get), pause=0.01)
    for cut in (1, 10, len(get) - 2, len(get)):
        yield Hostile("hung up", (get[:cut],), hangs_up=True)


def of_bodies(name: str, authorization: bytes) -> Iterator[Hostile]:
    """Bodies with wrong lengths, deep nesting, overflowing numbers, or another type than declared."""
    for label, body in (*JSON_BODIES, *BINARY_BODIES):
        for path in POSTS[name]:
            for kind in (b"application/json", b"application/octet-stream", b"image/png"):
                raw = post(path, body, kind, authorization)
                yield Hostile(label, (raw,))
            yield Hostile("hung up in a body", (raw[: len(raw) - len(body) // 2 - 1],), hangs_up=True)
    if name == "serve":
        for length in (b"0", b"-1", b"5", b"999999999999999999999", b"abc", b"\xff"):
            for text in (TENSOR, TENSOR.replace(b"256", b"4"), TENSOR.replace(b"256", b"1e400"), b"{}"):
                body = text + bytes(256)
                head = b"Inference-Header-Content-Length: %s\r\n" % length
                yield Hostile(
                    "binary tensor",
                    (post("/v2/models/run.encode/infer", body, b"application/octet-stream", authorization + head),),
                )
                fits = b"Inference-Header-Content-Length: %d\r\n" % len(text)
                yield Hostile(
                    "binary tensor",
                    (post("/v2/models/run.encode/infer", body, b"application/octet-stream", authorization + fits),),
                )
        for shape in (
            [-1, 1, 8, 8],
            [0],
            [2**40, 2**40],
            [1, 1, 8, 8.5],
            ["1"],
            [True, 1, 8, 8],
            [],
            [[1]],
            [10**30],
            None,
            1,
        ):
            for datatype in ("FP32", "BYTES", "INT64", "FP99", None, 7, ["FP32"]):
                tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": [0.5] * 64}
                body = json.dumps({"inputs": [tensor]}).encode()
                yield Hostile(
                    "tensor", (post("/v2/models/run.encode/infer", body, b"application/json", authorization),)
                )
        for query in (
            "num=1e9",
            "num=-1",
            "num=9999999999999999999999",
            "seed=-1",
            "seed=1.5",
            "temperature=nan",
            "temperature=1e999",
            "num=%00",
            "num=",
            "num=٣",
        ):
            for path in ("/generate", "/generate.png"):
                yield Hostile(
                    "query", (b"GET %s?%s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), query.encode(), authorization, HOST),)
                )
        for z in (
            "nan,0",
            "1e999,0",
            "0",
            "0,0,0",
            ",",
            "1e38,1e38",
            "a,b",
            "0x1,1",
            "1_0,1",
            "%00",
            "-0,inf",
            "3.5e38,0",
        ):
            yield Hostile("query", (b"GET /decode?z=%s HTTP/1.1\r\n%s%s\r\n" % (z.encode(), authorization, HOST),))
    else:
        decode = "/api/runs/run/decode"
        numbers = (float("nan"), float("inf"), 1e38, -1e38, 3e38, 1e-45, 0.0)
        for first in numbers:
            for second in numbers:
                point = struct.pack("<2f", first, second)
                yield Hostile("latents", (post(decode, point, b"application/octet-stream", authorization),))
                text = json.dumps({"z": [first, second]}).encode()
                yield Hostile("latents", (post("/api/runs/run/neighbours", text, b"application/json", authorization),))
        for index in ("-1", "1e3", "99999999999999999999", "%00", "1,2,,3", "1" + ",1" * 300, "٣", "0x1", ""):
            for path in (
                f"/api/runs/run/images?indices={index}",
                f"/api/runs/run/points/{index}",
                f"/api/runs/run/metrics?after={index}",
                f"/api/runs/{index}",
            ):
                yield Hostile("query", (b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), authorization, HOST),))
        for field in ("num", "seed", "temperature", "what"):
            for value in ("-1", "1e999", "NaN", "1.5", "true", '"1"', "[]", "{}", "9" * 400, "null", "2" + "0" * 18):
                raw = b'{"%s": %s}' % (field.encode(), value.encode())
                yield Hostile("field", (post("/api/runs/run/sample", raw, b"application/json", authorization),))


def post(path: str, body: bytes, kind: bytes, head: bytes = b"") -> bytes:
    """A whole POST request."""
    lines = b"POST %s HTTP/1.1\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
    return lines % (path.encode(), HOST, kind, len(body), head) + body


TENSOR = b'{"inputs":[{"name":"x","shape":[1,1,8,8],"datatype":"FP32","parameters":{"binary_data_size":256}}]}'
JSON_BODIES = (
    ("nested", b"[" * 100_000),
    ("nested", b"[" * 20_000 + b"]" * 20_000),
    ("nested", b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    ("huge number", b"[" + b"9" * 100_000 + b"]"),
    ("huge number", b"[[1e999]]"),
    ("huge number", b"[[" + b"1," * 63 + b"1" + b"0" * 400 + b"]]"),
    ("not finite", b"[[NaN, Infinity, -Infinity]]"),
    ("wrong type", b"null"),
    ("wrong type", b'"text"'),
    ("wrong type", b"[[[[[null]]]]]"),
    ("wrong type", b'[{"__proto__": {}, "length": {}}]'),
    ("wrong type", b'{"inputs": 7}'),
    ("wrong type", b'{"inputs": [null]}'),
    ("wrong type", b'{"inputs": [{"name": []}], "outputs": {}, "parameters": "x", "id": {}}'),
    ("ragged", b"[[1,2],[3],[]]"),
    ("many keys", json.dumps({f"key{n}": n for n in range(50_000)}).encode()),
    ("doubled keys", b'{"z":[0,0],"z":1,"num":1,"num":"a"}'),
    ("not UTF-8", b'["\xff\xfe\xed\xa0\x80"]'),
    ("surrogates", b'["\\ud800", {"\\udfff": 1}]'),
    ("BOM", b"\xef\xbb\xbf[]"),
    ("UTF-16", "[[0.5]]".encode("utf-16")),
    ("long", b"[" + b"0," * 2_000_000 + b"0]"),
)
BINARY_BODIES = (
    ("empty", b""),
    ("zeros", bytes(1000)),
    ("image bomb", image("PNG").replace(b"\x00\x00\x00\x06\x00\x00\x00\x07", b"\x00\x00\x7f\xff\x00\x00\x7f\xff")),
    ("image cut", image("PNG")[:60]),
    ("other image", b"P6 99999 99999 255\n"),
    ("other image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n"),
    ("other image", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
)
CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFF\r\nx",
    b"zz\r\nx",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
)
POSTS = {
    "serve": ("/v2/models/run.encode/infer", "/v2/models/run.generate/infer", "/encode", "/score", "/reconstruct"),
    "explore": tuple(f"/api/runs/run/{name}" for name in ("decode", "encode", "sample", "neighbours")),
}


def _valid_of_service(authorization: bytes) -> tuple[bytes, ...]:
    tensor = {"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}
    infer = json.dumps({"id": "1", "inputs": [tensor], "parameters": {"seed": 1}}).encode()
    fits = b"Inference-Header-Content-Length: %d\r\n" % len(TENSOR)
    return (
        post("/v2/models/run.encode/infer", infer, b"application/json", authorization),
        post("/v2/models/run.encode/infer", TENSOR + bytes(256), b"application/octet-stream", authorization + fits),
        post("/encode?sample=true&seed=1", image("PNG"), b"image/png", authorization),
        post("/score", json.dumps([[[[1.0]] * 8] * 8]).encode(), b"application/json", authorization),
        b"GET /decode.png?z=0,1&z=1,1 HTTP/1.1\r\n%s%s\r\n" % (HOST, authorization),
        b"GET /generate?num=2&seed=1&temperature=0.5 HTTP/1.1\r\n%s%s\r\n" % (HOST, authorization),
    )


def _valid_of_explorer(authorization: bytes) -> tuple[bytes, ...]:
    return (
        post("/api/runs/run/decode", struct.pack("<4f", 0, 1, 2, 3), b"application/octet-stream", authorization),
        post("/api/runs/run/encode", image("PNG"), b"image/png", authorization),
        post("/api/runs/run/sample", b'{"num": 3, "seed": 1, "temperature": 1.0}', b"application/json", authorization),
        post("/api/runs/run/neighbours", b'{"z": [0.5, 0.25]}', b"application/json", authorization),
        b"GET /api/runs/run/images?indices=1,2,3 HTTP/1.1\r\n%s%s\r\n" % (HOST, authorization),
        b"GET /api/runs/run/metrics?after=0 HTTP/1.1\r\n%s%s\r\n" % (HOST, authorization),
    )


VALID: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {"serve": _valid_of_service, "explore": _valid_of_explorer}
