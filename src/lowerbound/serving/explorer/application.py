"""The explorer's routes.

Everything that computes does so in a lane; what arrives is bounded before it is read. An error is one line of JSON, and
names no place on this machine.
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
from lowerbound.serving.explorer.example_detail import (
    about_neighbours,
    about_point,
    about_upload,
    neighbours_of_upload,
)
from lowerbound.serving.explorer.info import info_of, info_of_training
from lowerbound.serving.explorer.latents import Latents
from lowerbound.serving.explorer.loaded_run import draw_codes
from lowerbound.serving.explorer.messages import without_paths
from lowerbound.serving.explorer.metrics_stream import follow
from lowerbound.serving.explorer.points import pictures_of
from lowerbound.serving.explorer.run_folder import RunEntry
from lowerbound.serving.explorer.session import Explorer, Opened
from lowerbound.serving.explorer.tensors import MEDIA_TYPE, as_bytes
from lowerbound.serving.explorer.uploads import MAX_BYTES, MAX_WAIT, NAME, Upload, read_upload, upload_options
from lowerbound.serving.explorer.validation import (
    MAX_DECODED,
    body_of,
    indices_of,
    json_of,
    latents_of,
    number_within,
    point_of,
    whole,
    whole_within,
)
from lowerbound.serving.http.access import ANYONE, Access, guarded
from lowerbound.serving.http.headers import enveloped
from lowerbound.serving.http.validation import HeadAsGet, allowed, check_query, no_such_endpoint, wrong_method

SAMPLE_FIELDS = ("num", "seed", "temperature")
MAX_SAMPLES = 256
MAX_TEMPERATURE = 5.0
MAX_SEED = 2**63 - 1
Endpoint = Callable[[Request], Awaitable[Response]]
# Inline: the page's import map.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
# A run may be a stranger's, and its report hold anything: nothing in it is carried out, or has this server's origin.
REPORT_POLICY = (
    "sandbox; default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE = Path(str(resources.files("lowerbound.serving.explorer"))) / "page"


def application(
    root: Path, *, access: Access = ANYONE, data: str = "", data_dir: str = "", device: str = "auto"
) -> Starlette:
    """The page and its routes, for one run or a folder of them; UsageError where there is none.

    A token of `access` is asked for all but the page itself. `data` is where the data of a single run lie now.
    """
    explorer = Explorer(root, data, data_dir, device)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        explorer.close()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[
            Middleware(HeadAsGet),
            Middleware(enveloped, stopped="the explorer was stopped."),
            Middleware(guarded, access=access, prefixes=("/api/",)),
        ],
        exception_handlers={
            HTTPException: _on_refusal,
            LowerboundError: _on_error,
            ClientDisconnect: _on_hanging_up,
            Exception: _on_defect,
        },
    )
    app.router.redirect_slashes = False  # as in the service: one address for each thing
    app.state.explorer = explorer
    return app


def _routes() -> list[Route | Mount]:
    one = "/api/runs/{id}"
    mimetypes.add_type("text/javascript", ".js")  # which some systems' tables call plain text
    return [
        # The page reads parameters of its own, in the browser.
        Route("/", _page),
        Mount("/assets", StaticFiles(directory=PAGE, check_dir=False)),
        _route("/api/runs", _runs),
        _route(one, _info),
        _route(f"{one}/codes", _codes),
        _route(f"{one}/progress", _progress),
        _route(f"{one}/decode", _decode, "POST"),
        _route(f"{one}/images", _images, query=("indices",)),
        _route(f"{one}/points/{{index}}", _point),
        _route(f"{one}/encode", _encode, "POST"),
        _route(f"{one}/sample", _sample, "POST"),
        _route(f"{one}/neighbours", _neighbours, "POST"),
        _route(f"{one}/metrics", _metrics, query=("after",)),
        _route(f"{one}/report", _report),
    ]


def _route(path: str, endpoint: Endpoint, method: str = "GET", query: tuple[str, ...] = ()) -> Route:
    """A route that accepts the parameters in `query`, each once, and no others."""

    async def checked(request: Request) -> Response:
        check_query(request.query_params, query)
        return await endpoint(request)

    return Route(path, checked, methods=[method])


async def _page(request: Request) -> Response:
    if not (PAGE / "index.html").is_file():
        raise HTTPException(404, "this installation has no page; install lowerbound again.")
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": PAGE_POLICY})


async def _runs(request: Request) -> Response:
    found = await run_in_threadpool(_explorer(request).folder.runs)
    return JSONResponse({"runs": [_listed(run) for run in found]})


async def _info(request: Request) -> Response:
    explorer, found = _explorer(request), await _found(request)
    if found.state == "training":
        return JSONResponse(await explorer.steady(partial(info_of_training, found, explorer.device)))
    opened = await _opened(request)
    points, problem = await opened.points_or_none(), await opened.why_no_points()
    return JSONResponse(await explorer.steady(partial(info_of, found, opened.space, points, problem)))


async def _codes(request: Request) -> Response:
    codes = await _codes_of(await _opened(request))
    # Tens of megabytes: not in the thread that answers all others.
    return Response(await run_in_threadpool(as_bytes, codes.arrays()), media_type=MEDIA_TYPE)


async def _progress(request: Request) -> Response:
    opened = await _opened(request)
    return JSONResponse({"stage": opened.stage, "done": opened.done, "total": opened.total})


async def _decode(request: Request) -> Response:
    opened = await _opened(request)
    latent_dim = opened.space.latent_dim
    z = latents_of(await body_of(request, MAX_DECODED * latent_dim * 4), latent_dim)
    return _tensors(await _explorer(request).decode(opened, z))


async def _images(request: Request) -> Response:
    opened, indices = await _opened(request), indices_of(request.query_params.get("indices", ""))
    try:
        points = await opened.points()
    except DataError as error:
        raise HTTPException(404, str(error)) from error
    _check_index(max(indices), len(points))
    return _tensors(await _explorer(request).steady(partial(pictures_of, points, indices)))


async def _point(request: Request) -> Response:
    explorer, opened = _explorer(request), await _opened(request)
    index = whole("a point's index", request.path_params["index"])
    points, codes = await opened.points_or_none(), await _codes_of(opened)
    _check_index(index, len(codes))
    return JSONResponse(await explorer.steady(partial(about_point, opened.space, points, codes, index)))


async def _encode(request: Request) -> Response:
    explorer, opened = _explorer(request), await _opened(request)
    space = opened.space
    if not space.schema.has_pictures:
        raise HTTPException(
            400, "this run's examples are not images of one or three channels; image files are not accepted."
        )
    content = await body_of(request, MAX_BYTES)
    try:
        raw = await explorer.decoders(NAME, content, upload_options(space), MAX_WAIT)
        upload = await run_in_threadpool(read_upload, space, raw)
    except TooLarge as error:
        raise HTTPException(413, str(error)) from error
    except DataError as error:
        raise HTTPException(415, str(error)) from error
    except TimeoutError:
        raise HTTPException(503, "other images are being decoded; try again soon.") from None
    answer = await explorer.steady(partial(about_upload, space, upload))
    return JSONResponse(answer | {"neighbours": await _neighbours_of(explorer, opened, upload, answer)})


async def _neighbours_of(explorer: Explorer, opened: Opened, upload: Upload, answer: dict[str, Any]) -> dict[str, Any]:
    try:
        points, codes = await opened.points_or_none(), await opened.codes()
    except DataError:
        return {"pixels": [], "codes": []}
    return await explorer.steady(partial(neighbours_of_upload, points, codes, upload, answer))


async def _sample(request: Request) -> Response:
    explorer, opened, asked = _explorer(request), await _opened(request), await json_of(request, SAMPLE_FIELDS)
    num = whole_within(asked, "num", 64, 1, MAX_SAMPLES)
    seed = whole_within(asked, "seed", 0, 0, MAX_SEED)
    temperature = number_within(asked, "temperature", 1.0, 0.0, MAX_TEMPERATURE)
    z = await explorer.steady(partial(draw_codes, opened.space, num, temperature, seed))
    return _tensors({"z": z, **await explorer.decode(opened, z)})


async def _neighbours(request: Request) -> Response:
    explorer, opened, asked = _explorer(request), await _opened(request), await json_of(request, ("z",))
    z = point_of(asked.get("z"), opened.space.latent_dim)
    near = await explorer.steady(partial(about_neighbours, await _codes_of(opened), z))
    return JSONResponse({"codes": near})


async def _metrics(request: Request) -> Response:
    found = await _found(request)
    after = whole("after", request.query_params.get("after", "0"))
    return JSONResponse(await run_in_threadpool(follow, found.path, after))


async def _report(request: Request) -> Response:
    found = await _found(request)
    report = found.path / "report.html"
    if not report.is_file():
        raise HTTPException(404, f"{found.title} has no report; `lowerbound report` draws one.")
    if not report.resolve().is_relative_to(found.path.resolve()):
        raise HTTPException(404, f"the report of {found.title} is a link to a file outside it, which is not followed.")
    return FileResponse(report, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


async def _found(request: Request) -> RunEntry:
    name = request.path_params["id"]
    found = await run_in_threadpool(_explorer(request).folder.find, name)
    if found is None:
        raise HTTPException(404, f"there is no run {name[:100]!r} here; GET /api/runs lists those that there are.")
    return found


async def _opened(request: Request) -> Opened:
    found = await _found(request)
    if found.state == "training":
        raise HTTPException(409, f"{found.title} has no model yet; it is being trained, or was stopped before its end.")
    if found.state == "broken":
        raise HTTPException(409, f"{found.title} is broken: {found.reason}")
    return await _explorer(request).open(found)


async def _codes_of(opened: Opened) -> Latents:
    try:
        return await opened.codes()
    except DataError as error:
        raise HTTPException(404, str(error)) from error


def _check_index(index: int, count: int) -> None:
    if index >= count:
        raise HTTPException(404, f"there is no point {index}; they are numbered from 0 to {count - 1}.")


def _explorer(request: Request) -> Explorer:
    explorer: Explorer = request.app.state.explorer
    return explorer


def _listed(run: RunEntry) -> dict[str, str]:
    listed = {"id": run.id, "title": run.title, "state": run.state}
    return listed | ({"reason": run.reason} if run.reason else {})


def _tensors(arrays: dict[str, Any]) -> Response:
    return Response(as_bytes(arrays), media_type=MEDIA_TYPE)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason, headers, path = error.detail, error.headers, request.scope["path"]
    if error.status_code == 405:
        headers = {"Allow": allowed(error.headers)}
        reason = wrong_method(request.method, path, headers["Allow"])
    elif reason == HTTPStatus(error.status_code).phrase:  # starlette's own words
        paths = [route.path for route in request.app.routes if isinstance(route, Route)]
        reason = no_such_endpoint(request.method, path, paths, "GET /api/runs lists the runs")
    return JSONResponse({"error": reason}, error.status_code, headers)


async def _on_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": without_paths(str(error))}, 409 if isinstance(error, RunError) else 400)


async def _on_hanging_up(request: Request, error: Exception) -> Response:
    # In the midst of a body: nobody is there to read an answer, and it is no defect.
    return Response(status_code=400)


async def _on_defect(request: Request, error: Exception) -> Response:
    # The terminal gets the whole of it: starlette raises it again.
    message = "something went wrong within the explorer; the terminal that it runs in says what."
    return JSONResponse({"error": message}, 500)
