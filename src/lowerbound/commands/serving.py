"""The command that serves models over HTTP."""

from typing import Annotated

import typer

from lowerbound.commands import console
from lowerbound.commands.options import SHARE, DeviceOption, TokenFileOption, app
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.interrupts import ending_at_once

MIB = 2**20


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound serve runs/conv digits=runs/demo/conv --port 8080")
@ending_at_once()
def serve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Directories of runs, or NAME=DIRECTORY.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Others than loopback require a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 8000,
    token_file: TokenFileOption = None,
    max_batch: Annotated[int, typer.Option(min=1, max=65536, help="Examples per request and forward pass.")] = 256,
    max_wait: Annotated[float, typer.Option(min=0, max=1000, help="Milliseconds to wait for a full batch.")] = 2.0,
    max_body: Annotated[int, typer.Option(min=1, max=2048, help="Largest request body, in MiB.")] = 64,
    max_pixels: Annotated[float, typer.Option(min=0.001, max=80, help="Largest image, in megapixels.")] = 16.0,
    max_queue: Annotated[
        int | None, typer.Option(min=1, help="Examples in the queue, 4096 or a batch by default; 503 beyond it.")
    ] = None,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Concurrent requests; 503 beyond it.")] = 512,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds for a request body, and for a response.")
    ] = 30.0,
    device: DeviceOption = "auto",
) -> None:
    """Serve models over HTTP: the Open Inference Protocol, REST endpoints, documentation and metrics."""
    from lowerbound.serving.http.access import access_for
    from lowerbound.serving.http.hosting import host as serve_at
    from lowerbound.serving.http.hosting import is_loopback
    from lowerbound.serving.service.application import build_application
    from lowerbound.serving.service.limits import Limits
    from lowerbound.serving.service.models import load_runs

    if max_queue is not None and max_queue < max_batch:
        raise UsageError(
            f"--max-queue is {max_queue:,}, less than --max-batch, {max_batch:,}: the largest request would never be "
            "taken; raise it, or lower --max-batch."
        )
    access = access_for(host, token_file)
    limits = Limits(
        max_batch=max_batch,
        max_wait=max_wait,
        max_body=max_body * MIB,
        max_pixels=round(max_pixels * 1e6),
        max_queue=max(4096, max_batch) if max_queue is None else max_queue,
        max_concurrency=max_concurrency,
        timeout=timeout,
    )
    served = load_runs(runs, device)
    names = ", ".join(f"{run.name} ({run.version})" for run in served)

    def ready(url: str) -> None:
        if access.is_generated:
            console.err.print(f"the token of this server: {access.token}", markup=False)
        if not is_loopback(host):
            console.err.print(
                "what goes over the network is not encrypted; put a proxy with TLS before it, or use a tunnel."
            )
        console.out.print(f"{url} serves {names}; every endpoint: {url}/docs", markup=False)

    # What was taken is finished, however long it may take to come and to be answered.
    serve_at(build_application(served, limits, access), host=host, port=port, ready=ready, grace=2 * timeout)
    console.err.print("stopped; what was accepted has been answered.")
