"""What is refused: with its status, in one line that says what came and what is accepted, and names no place."""

import struct

import numpy as np
import pytest

from explorer_runs import as_png
from lowerbound.serving.explorer import application as routes
from lowerbound.serving.explorer.uploads import MAX_BYTES

RUN = "/api/runs/digits"
FLOAT = struct.pack("<f", 0.5)


def refusal(answer, folder):
    """The reason that an answer gives, once it is seen to be of one line and to give no place away."""
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    reason = answer.json()["error"]
    assert "\n" not in reason
    assert str(folder) not in reason
    assert str(folder.parent) not in reason
    assert "Traceback" not in reason
    return reason


@pytest.mark.parametrize(
    ("address", "status", "reason"),
    [
        ("/nowhere", 404, "no such endpoint: GET '/nowhere'; GET /api/runs lists the runs."),
        ("/assets/none.js", 404, "no such endpoint"),
        ("/assets/../answers.py", 404, "no such endpoint"),
        ("/assets/%2e%2e/answers.py", 404, "no such endpoint"),
        ("/api/runs/none", 404, "no run 'none'; GET /api/runs"),
        ("/api/runs/..%2fdigits", 404, "no such endpoint"),
        ("/api/runs/broken", 409, "broken is broken: broken/config.toml is not valid TOML"),
        ("/api/runs/training/codes", 409, "no model yet"),
        ("/api/runs/training/umap", 409, "no model yet"),
        ("/api/runs/training/images?indices=1", 409, "no model yet"),
        (f"{RUN}/decode", 405, f"GET is not accepted by '{RUN}/decode'; accepted: POST."),
        (f"{RUN}/prio", 404, f"did you mean '{RUN}/prior'?"),
        ("/api/runs/", 404, "no such endpoint: GET '/api/runs/'; did you mean '/api/runs'?"),
        ("/api/a%0ab", 404, r"'/api/a\nb'"),
        (f"{RUN}?verbose=1", 400, "unknown query parameter 'verbose'; accepted: wait."),
        ("/api/runs?state=finished", 400, "this endpoint takes none"),
        (f"{RUN}/report?x", 400, "this endpoint takes none"),
        (f"{RUN}/images?indexes=1", 400, "did you mean 'indices'?"),
        (f"{RUN}/images?indices=1&indices=2", 400, "query parameter 'indices' is given 2 times; give it once."),
        (f"{RUN}/metrics?afetr=3", 400, "unknown query parameter 'afetr'; did you mean 'after'? accepted: after."),
        (f"{RUN}/metrics?=3", 400, "unknown query parameter ''"),
        (f"{RUN}/images", 400, "lists 0 examples; accepted: 1 to 256"),
        (f"{RUN}/images?indices=", 400, "lists 0 examples"),
        (f"{RUN}/images?indices={','.join(['1'] * 257)}", 400, "lists 257 examples"),
        (f"{RUN}/images?indices=1,two", 400, "an index is 'two'; accepted: an integer from 0"),
        (f"{RUN}/images?indices=-1", 400, "an integer from 0"),
        (f"{RUN}/images?indices=1797", 404, "no point 1797; the indices are 0 to 1796"),
        (f"{RUN}/images?indices=99999999999999999999", 400, "an integer from 0"),
        (f"{RUN}/points/1797", 404, "no point 1797"),
        (f"{RUN}/points/x", 400, "a point's index is 'x'"),
        (f"{RUN}/points/½", 400, "an integer from 0"),
        (f"{RUN}/metrics?after=-3", 400, "after is '-3'"),
        (f"{RUN}/report", 404, "digits has no report"),
        ("/api/runs/gone/images?indices=0", 404, "are unavailable"),
        ("/api/runs/lost/codes", 404, "are unavailable"),
        ("/api/runs/lost/points/0", 404, "are unavailable"),
    ],
)
def test_a_question_without_an_answer_is_refused(client, folder, address, status, reason):
    answer = client.get(address)
    assert answer.status_code == status
    assert reason in refusal(answer, folder)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "the body has 0 bytes; accepted: 1 to 4,096 points of 2 little-endian float32 numbers, 8 bytes"),
        (FLOAT, 400, "the body has 4 bytes"),
        (FLOAT * 2 + b"x", 400, "the body has 9 bytes"),
        (struct.pack("<ff", 0, float("nan")), 400, "NaN or infinite"),
        (struct.pack("<ff", 0, float("inf")), 400, "NaN or infinite"),
        (FLOAT * 2 * 4097, 413, "longer than 32,768 bytes"),
    ],
)
def test_latents_that_are_none_are_refused(client, folder, content, status, reason):
    answer = client.post(f"{RUN}/decode", content=content)
    assert answer.status_code == status
    assert reason in refusal(answer, folder)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"num": 0}, "num is 0; accepted: an integer from 1 to 256"),
        ({"num": 257}, "num is 257"),
        ({"num": 2.5}, "num is 2.5"),
        ({"num": True}, "num is true"),
        ({"num": "3"}, 'num is "3"'),
        ({"num": None}, "num is null"),
        ({"temperature": -0.1}, "temperature is -0.1; accepted: a number from 0 to 5"),
        ({"temperature": 5.1}, "temperature is 5.1"),
        ({"temperature": [1]}, "temperature is [1]"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        (
            {"tempreature": 0},
            "unknown field 'tempreature'; did you mean 'temperature'?",
        ),
        ([], "the body is []; accepted: an object"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(client, folder, asked, reason):
    answer = client.post(f"{RUN}/sample", json=asked)
    assert answer.status_code == 400
    assert reason in refusal(answer, folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"temperature": NaN}'])
@pytest.mark.parametrize("route", ["sample", "neighbours"])
def test_what_is_no_json_is_refused(client, folder, route, content):
    answer = client.post(f"{RUN}/{route}", content=content)
    assert answer.status_code == 400
    refusal(answer, folder)


@pytest.mark.parametrize(
    ("z", "reason"),
    [
        (None, "z is null; accepted: a list."),
        ([], "z has the length 0; accepted: a list of 2 numbers."),
        ([1], "z has the length 1; accepted: a list of 2 numbers."),
        ([1, 2, 3], "z has the length 3; accepted: a list of 2 numbers."),
        ([1, "2"], 'z[1] is "2"; accepted: a number from -1e+30 to 1e+30.'),
        ([1, True], "z[1] is true; accepted: a number from -1e+30 to 1e+30."),
        ([1, None], "z[1] is null; accepted: a number from -1e+30 to 1e+30."),
        ([1, 1e31], "z[1] is 1e+31; accepted: a number from -1e+30 to 1e+30."),
        ("12", 'z is "12"; accepted: a list.'),
        ({"0": 1}, 'z is {"0": 1}; accepted: a list.'),
    ],
)
def test_a_point_of_another_space_has_no_neighbours(client, folder, z, reason):
    answer = client.post(f"{RUN}/neighbours", json={"z": z})
    assert answer.status_code == 400
    assert refusal(answer, folder) == reason


def test_a_field_beside_the_point_is_refused(client, folder):
    answer = client.post(f"{RUN}/neighbours", json={"z": [0, 0], "k": 3})
    assert answer.status_code == 400
    assert refusal(answer, folder) == "unknown field 'k'; accepted: z."


@pytest.mark.parametrize("route", ["encode", "sample", "decode"])
def test_a_form_is_refused(client, folder, route):
    answer = client.post(f"{RUN}/{route}", files={"file": b"x"})
    assert answer.status_code == 415
    assert "curl --data-binary" in refusal(answer, folder)


@pytest.mark.parametrize(
    "address", ["/", "/assets/safetensors.js", "/api/runs", f"{RUN}/codes", f"{RUN}/images?indices=0", "/nowhere"]
)
def test_head_has_the_status_and_headers_of_get_and_no_body(client, address):
    head, get = client.head(address), client.get(address)
    assert head.content == b""
    assert head.status_code == get.status_code
    assert head.headers == get.headers
    assert int(head.headers["content-length"]) > 0


def test_the_page_keeps_its_own_parameters(client):
    assert client.get("/?run=digits&compare=plain").status_code == 200


def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(client, folder):
    def in_parts():
        yield b"x" * (MAX_BYTES // 2)
        yield b"x" * (MAX_BYTES // 2)
        yield b"x"

    for content in (b"x" * (MAX_BYTES + 1), in_parts()):
        answer = client.post(f"{RUN}/encode", content=content)
        assert answer.status_code == 413
        assert "longer than 20,971,520 bytes" in refusal(answer, folder)
    assert client.post(f"{RUN}/sample", content=b" " * (2**20 + 1)).status_code == 413


WHOLE = as_png(np.random.default_rng(0).integers(0, 256, (50, 50)).astype(np.uint8))


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", b"GIF89a" + b"\0" * 100, b"%PDF-1.7", b"<svg/>", WHOLE[:200], WHOLE[:-200], WHOLE[:8]],
    ids=["nothing", "text", "gif", "pdf", "svg", "beginning", "most", "signature"],
)
def test_what_is_no_whole_image_is_refused(client, folder, content):
    answer = client.post(f"{RUN}/encode", content=content)
    assert answer.status_code == 415
    reason = refusal(answer, folder)
    assert "a PNG, JPEG, WebP, TIFF, BMP or GIF image" in reason
    assert "BytesIO" not in reason
    assert "0x" not in reason


def test_an_image_that_claims_too_many_pixels_is_refused_before_they_are_there(client, folder):
    size = struct.pack(">II", 60_000, 60_000)
    answer = client.post(f"{RUN}/encode", content=WHOLE[:16] + size + WHOLE[24:])
    assert answer.status_code == 415
    refusal(answer, folder)


@pytest.mark.parametrize("run", ["table", "array"])
def test_no_image_is_encoded_by_a_model_of_something_else(client, folder, run):
    answer = client.post(f"/api/runs/{run}/encode", content=WHOLE)
    assert answer.status_code == 400
    assert "are not images" in refusal(answer, folder)


def test_a_model_that_is_damaged_inside_is_broken_from_then_on(client, folder, tmp_path):
    path = folder / "plain" / "model.safetensors"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-4] + b"\1\2\3\4")
        answer = client.get("/api/runs/plain")
        assert answer.status_code == 409
        assert "checksum" in refusal(answer, folder)
        (listed,) = [run for run in client.get("/api/runs").json()["runs"] if run["id"] == "plain"]
        assert listed["state"] == "broken"
        assert "checksum" in listed["reason"]
        assert str(folder) not in listed["reason"]
    finally:
        path.write_bytes(whole)


def test_a_defect_is_told_in_a_line_and_not_in_detail(client, folder, monkeypatch):
    def fail(*_):
        raise RuntimeError(f"secret of {folder}")

    monkeypatch.setattr(routes, "new_records", fail)
    answer = client.get(f"{RUN}/metrics")
    assert answer.status_code == 500
    assert "secret" not in refusal(answer, folder)


def test_every_answer_says_that_it_is_what_it_is(client):
    for address in ("/", "/assets/safetensors.js", "/api/runs", f"{RUN}/images?indices=0", "/nowhere"):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-cache"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_the_page_and_its_modules_are_served_as_a_browser_wants_them(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>" in page.text
    module = client.get("/assets/safetensors.js")
    assert module.headers["content-type"].startswith("text/javascript")
    assert client.get("/assets/safetensors.js", headers={"if-none-match": module.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("path", ["encode", "decode", "sample", "neighbours"])
def test_a_client_that_hangs_up_within_a_body_is_no_defect(folder, path):
    # Raised errors are passed on by this client, as a server prints them on the terminal.
    from starlette.testclient import TestClient

    async def ask(app):
        sent = []
        messages = iter([{"type": "http.request", "body": b"[0.5,", "more_body": True}, {"type": "http.disconnect"}])

        async def receive():
            return next(messages, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"{RUN}/{path}",
            "raw_path": f"{RUN}/{path}".encode(),
            "query_string": b"",
            "headers": [(b"host", b"testserver"), (b"content-length", b"500")],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("testserver", 80),
            "client": ("testclient", 50000),
            "root_path": "",
        }
        await app(scope, receive, send)
        return sent

    app = routes.application(folder, device="cpu")
    with TestClient(app) as client:
        sent = client.portal.call(ask, app)
    assert sent[0]["status"] == 400
