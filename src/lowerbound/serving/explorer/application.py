"""The explorer's ASGI application: the page, and its routes for runs, latents, decoding, encoding and samples.

All computation runs in a worker; bodies are limited before they are read. An error is one line of JSON without
the paths of this machine.
"""

import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lowerbound.foundation.errors import DataError, LowerboundError, RunError, TooLarge
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.serving.explorer.epochs import frame_arrays
from lowerbound.serving.explorer.example_detail import (
    latent_neighbours,
    point_detail,
    stored_detail,
    upload_detail,
    upload_neighbours,
)
from lowerbound.serving.explorer.info import run_info, training_run_info
from lowerbound.serving.explorer.latents import Latents, no_latents, stored_latents
from lowerbound.serving.explorer.loaded_run import LoadedRun, sample_prior
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.metrics_stream import new_records
from lowerbound.serving.explorer.palette_module import NAME as PALETTE
from lowerbound.serving.explorer.palette_module import palette_module
from lowerbound.serving.explorer.points import displayed_examples
from lowerbound.serving.explorer.prior_geometry import prior_contours
from lowerbound.serving.explorer.quantities import values_of
from lowerbound.serving.explorer.run_folder import RunEntry
from lowerbound.serving.explorer.session import Explorer, OpenRun
from lowerbound.serving.explorer.tensors import MEDIA_TYPE, as_bytes
from lowerbound.serving.explorer.uploads import MAX_BYTES, MAX_WAIT, NAME, Upload, read_upload, upload_options
from lowerbound.serving.explorer.validation import (
    MAX_DECODED,
    NeighboursRequest,
    SampleRequest,
    axes_of,
    check_space,
    indices_of,
    latents_of,
    point_of,
    read_body,
    read_json,
    whole_number,
)
from lowerbound.serving.http.access import UNRESTRICTED, Access, with_access_checks
from lowerbound.serving.http.errors import RequestError, error_response, on_request_error
from lowerbound.serving.http.headers import with_default_headers
from lowerbound.serving.http.json_bodies import values_given
from lowerbound.serving.http.validation import HeadAsGet, check_query, routing_error

Handler = Callable[[Request], Awaitable[Response]]
# Inline scripts, for the page's import map; WebAssembly, for the decoder in the page.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
# A run may come from someone else, and its report contain anything: it runs no script, and has an origin of its own.
REPORT_POLICY = (
    "sandbox; default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE = Path(str(resources.files("lowerbound.serving.explorer"))) / "page"
LISTING = "GET /api/runs lists the runs"


def application(
    root: RunPath,
    *,
    access: Access = UNRESTRICTED,
    data: str = "",
    data_dir: str = "",
    device: str = "auto",
    engine: str = "auto",
) -> Starlette:
    """The page and its routes, for a run or a folder of runs; UsageError if there is none.

    The token of `access` is required for everything but the page itself. `data` is where the data of a single run are
    now. With the engine "torch" the page never decodes itself.
    """
    explorer = Explorer(path_of(root), data, data_dir, device, engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        explorer.close()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[
            Middleware(HeadAsGet),
            Middleware(with_default_headers, stopped="the explorer was stopped."),
            Middleware(with_access_checks, access=access, prefixes=("/api/",)),
        ],
        exception_handlers={
            RequestError: on_request_error,
            HTTPException: _on_routing_error,
            LowerboundError: _on_lowerbound_error,
            ClientDisconnect: _on_disconnect,
            Exception: _on_internal_error,
        },
    )
    app.router.redirect_slashes = False  # as in the service: one URL for each resource
    app.state.explorer = explorer
    return app


def _routes() -> list[Route | Mount]:
    run = "/api/runs/{id}"
    mimetypes.add_type("text/javascript", ".js")  # some systems' tables have text/plain
    return [
        # The page's query parameters are read in the browser.
        Route("/", _page),
        Route(f"/assets/{PALETTE}", _palette),
        Mount("/assets", StaticFiles(directory=PAGE, check_dir=False)),
        _route("/api/runs", _runs),
        _route(run, _info, query=("wait",)),
        _route(f"{run}/codes", _latents, query=("after",)),
        _route(f"{run}/codes/stored", _stored),
        _route(f"{run}/values", _values, query=("name",)),
        _route(f"{run}/umap", _umap),
        _route(f"{run}/frames", _frames),
        _route(f"{run}/prior", _prior, query=("axes", "given")),
        _route(f"{run}/decode", _decode, "POST", query=("given", "level")),
        _route(f"{run}/decoder", _decoder),
        _route(f"{run}/images", _images, query=("indices",)),
        _route(f"{run}/points/{{index}}", _point),
        _route(f"{run}/encode", _encode, "POST", query=("given",)),
        _route(f"{run}/sample", _sample, "POST"),
        _route(f"{run}/neighbours", _neighbours, "POST"),
        _route(f"{run}/metrics", _metrics, query=("after",)),
        _route(f"{run}/report", _report),
    ]


def _route(path: str, handler: Handler, method: str = "GET", query: tuple[str, ...] = ()) -> Route:
    """A route that accepts the parameters in `query`, each once, and no others."""

    async def checked(request: Request) -> Response:
        check_query(request.query_params, query)
        return await handler(request)

    return Route(path, checked, methods=[method])


async def _page(request: Request) -> Response:
    if not (PAGE / "index.html").is_file():
        raise RequestError(404, "the page is missing from this installation; reinstall lowerbound.")
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": PAGE_POLICY})


async def _palette(request: Request) -> Response:
    return Response(palette_module(), media_type="text/javascript")


async def _runs(request: Request) -> Response:
    entries = await run_in_threadpool(_explorer(request).folder.runs)
    return JSONResponse({"runs": [_listed(entry) for entry in entries]})


async def _info(request: Request) -> Response:
    explorer, entry = _explorer(request), await _entry(request)
    if entry.state == "training":
        return JSONResponse(await explorer.batch_worker(partial(training_run_info, entry, explorer.device)))
    run = await _open_run(request)
    if request.query_params.get("wait") == "false" and run.start_loading():
        known = await explorer.batch_worker(partial(run_info, entry, run.loaded, None, ""))
        return JSONResponse(known | {"is_loading": True})
    points, problem = await run.points_or_none(), await run.reason_without_points()
    return JSONResponse(await explorer.batch_worker(partial(run_info, entry, run.loaded, points, problem)))


async def _latents(request: Request) -> Response:
    """All latents, or with `after` those that are available from that row on."""
    run, after = await _open_run(request), request.query_params.get("after")
    latents = await _latents_of(run, None if after is None else whole_number("after", after))
    # Tens of megabytes: not in the thread that answers requests.
    return Response(await run_in_threadpool(as_bytes, latents.arrays()), media_type=MEDIA_TYPE)


async def _stored(request: Request) -> Response:
    """The latents of the test examples in the results, which need no data; none if there are none."""
    loaded = (await _open_run(request)).loaded
    return _tensors((stored_latents(loaded) or no_latents(loaded)).arrays())


async def _values(request: Request) -> Response:
    explorer, run = _explorer(request), await _open_run(request)
    points, name = await run.points_or_none(), request.query_params.get("name", "")
    try:
        return _tensors({"values": await explorer.batch_worker(partial(values_of, run.loaded, points, name))})
    except DataError as error:
        raise RequestError(404, str(error)) from error


async def _umap(request: Request) -> Response:
    run = await _open_run(request)
    return _tensors({"plane": await run.umap()})


async def _prior(request: Request) -> Response:
    run = await _open_run(request)
    axes = axes_of(request.query_params.get("axes", ""), run.loaded.latent_dim)
    model = _given(request, run).model_for(1)
    return JSONResponse(await _explorer(request).batch_worker(partial(prior_contours, model, axes)))


async def _decode(request: Request) -> Response:
    run = await _open_run(request)
    latent_dim = run.loaded.latent_dim
    z = latents_of(await read_body(request, MAX_DECODED * latent_dim * 4), latent_dim)
    check_space(run.loaded.model, z)
    level = whole_number("level", request.query_params.get("level", "1"))
    return _tensors(await _explorer(request).decode(_given(request, run).at_level(level), z))


async def _decoder(request: Request) -> Response:
    """The decoder as ONNX, with which the page decodes; empty for one that cannot be exported."""
    run = await _open_run(request)
    return Response(await run.decoder(), media_type="application/octet-stream")


async def _images(request: Request) -> Response:
    run, indices = await _open_run(request), indices_of(request.query_params.get("indices", ""))
    try:
        points = await run.points()
    except DataError as error:
        raise RequestError(404, str(error)) from error
    _check_index(max(indices), len(points))
    return _tensors(await _explorer(request).batch_worker(partial(displayed_examples, points, indices)))


async def _point(request: Request) -> Response:
    explorer, run = _explorer(request), await _open_run(request)
    index = whole_number("a point's index", request.path_params["index"])
    if (points := await run.points_or_none()) is not None:
        _check_index(index, len(points))
        return JSONResponse(await explorer.batch_worker(partial(point_detail, run.loaded, points, index)))
    latents = await _latents_of(run)
    _check_index(index, len(latents))
    return JSONResponse(stored_detail(run.loaded, latents, index))


async def _encode(request: Request) -> Response:
    explorer, run = _explorer(request), await _open_run(request)
    loaded = _given(request, run)
    if not loaded.schema.has_pictures:
        raise RequestError(
            400, "this run's examples are not images of one or three channels; image files are not accepted."
        )
    content = await read_body(request, MAX_BYTES)
    try:
        raw = await explorer.decoders(NAME, content, upload_options(loaded), MAX_WAIT)
        upload = await run_in_threadpool(read_upload, loaded, raw)
    except TooLarge as error:
        raise RequestError(413, str(error)) from error
    except DataError as error:
        raise RequestError(415, str(error)) from error
    except TimeoutError:
        raise RequestError(503, "other images are being decoded; try again shortly.") from None
    detail = await explorer.batch_worker(partial(upload_detail, loaded, upload))
    return JSONResponse(detail | {"neighbours": await _neighbours_of(explorer, run, upload, detail)})


async def _neighbours_of(explorer: Explorer, run: OpenRun, upload: Upload, detail: dict[str, Any]) -> dict[str, Any]:
    try:
        points, latents = await run.points_or_none(), await run.latents()
    except DataError:
        return {"pixels": [], "codes": []}
    return await explorer.batch_worker(partial(upload_neighbours, points, latents, upload, detail))


async def _sample(request: Request) -> Response:
    explorer, run = _explorer(request), await _open_run(request)
    wanted = await read_json(request, SampleRequest)
    loaded = run.loaded.given(wanted.given)
    z = await explorer.batch_worker(partial(sample_prior, loaded, wanted.num, wanted.temperature, wanted.seed))
    return _tensors({"z": z, **await explorer.decode(loaded, z)})


async def _neighbours(request: Request) -> Response:
    explorer, run = _explorer(request), await _open_run(request)
    z = point_of(await read_json(request, NeighboursRequest), run.loaded.latent_dim)
    check_space(run.loaded.model, z[None])
    nearest = await explorer.batch_worker(partial(latent_neighbours, await _latents_of(run), z))
    return JSONResponse({"codes": nearest})


async def _metrics(request: Request) -> Response:
    entry = await _entry(request)
    after = whole_number("after", request.query_params.get("after", "0"))
    return JSONResponse(await run_in_threadpool(new_records, entry.path, after))


async def _frames(request: Request) -> Response:
    entry = await _entry(request)
    return _tensors(await run_in_threadpool(frame_arrays, entry.path))


async def _report(request: Request) -> Response:
    entry = await _entry(request)
    report = entry.path / "report.html"
    if not report.is_file():
        raise RequestError(404, f"{entry.title} has no report; `lowerbound report` writes one.")
    if not report.resolve().is_relative_to(entry.path.resolve()):
        raise RequestError(404, f"the report of {entry.title} is a link to a file outside the run; links are refused.")
    return FileResponse(report, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


async def _entry(request: Request) -> RunEntry:
    name = request.path_params["id"]
    entry = await run_in_threadpool(_explorer(request).folder.find, name)
    if entry is None:
        raise RequestError(404, f"no run {name[:100]!r}; {LISTING}.")
    return entry


async def _open_run(request: Request) -> OpenRun:
    entry = await _entry(request)
    if entry.state == "training":
        raise RequestError(409, f"{entry.title} has no model yet; it is still training, or was stopped.")
    if entry.state == "broken":
        raise RequestError(409, f"{entry.title} is broken: {entry.reason}")
    return await _explorer(request).open(entry)


async def _latents_of(run: OpenRun, after: int | None = None) -> Latents:
    try:
        return await (run.latents() if after is None else run.latents_from(after))
    except DataError as error:
        raise RequestError(404, str(error)) from error


def _given(request: Request, run: OpenRun) -> LoadedRun:
    """The run with the values of conditions in the query, a JSON object with a value or a list of values by name."""
    text = request.query_params.get("given", "")
    return run.loaded.given(values_given(text)) if text else run.loaded


def _check_index(index: int, count: int) -> None:
    if index >= count:
        raise RequestError(404, f"no point {index}; the indices are 0 to {count - 1}.")


def _explorer(request: Request) -> Explorer:
    explorer: Explorer = request.app.state.explorer
    return explorer


def _listed(entry: RunEntry) -> dict[str, str]:
    listed = {"id": entry.id, "title": entry.title, "state": entry.state, "monitored": entry.monitored}
    return listed | ({"reason": entry.reason} if entry.reason else {})


def _tensors(arrays: dict[str, Any]) -> Response:
    return Response(as_bytes(arrays), media_type=MEDIA_TYPE)


async def _on_routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    paths = [route.path for route in request.app.routes if isinstance(route, Route)]
    return routing_error(request, error, paths, LISTING)


async def _on_lowerbound_error(request: Request, error: Exception) -> Response:
    status = HTTPStatus.CONFLICT if isinstance(error, RunError) else HTTPStatus.BAD_REQUEST
    return error_response(status, without_paths(str(error)))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    # The client aborted while sending the body: there is no one to read a response, and it is not a defect.
    return Response(status_code=400)


async def _on_internal_error(request: Request, error: Exception) -> Response:
    # The terminal shows the traceback: starlette raises the error again.
    return error_response(500, "internal error; the terminal in which the explorer runs has the details.")
