"""The command that serves models over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from lowerbound import console
from lowerbound.commands.options import SHARE, DeviceOption, app

MIB = 2**20


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound serve runs/conv digits=runs/demo/conv --port 8080")
def serve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Directories of runs, or NAME=DIRECTORY.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; others need a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The token to ask for; else LOWERBOUND_TOKEN in the environment."),
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=65536, help="Examples of a request, and of a pass.")] = 256,
    max_wait: Annotated[float, typer.Option(min=0, max=1000, help="Milliseconds to wait for others to join.")] = 2.0,
    max_body: Annotated[int, typer.Option(min=1, max=2048, help="MiB of a request's body.")] = 64,
    max_pixels: Annotated[float, typer.Option(min=0.001, max=80, help="Megapixels of an image.")] = 16.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Examples that may wait; beyond it 503.")] = 4096,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Requests at work; beyond it 503.")] = 512,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds for a body, and for an answer.")] = 30.0,
    device: DeviceOption = "auto",
) -> None:
    """Serve models over HTTP: the Open Inference Protocol, plain endpoints, documentation and metrics."""
    from lowerbound.serving.access import access_to
    from lowerbound.serving.hosting import host as serve_at
    from lowerbound.serving.hosting import is_loopback
    from lowerbound.serving.service.application import build_application
    from lowerbound.serving.service.limits import Limits
    from lowerbound.serving.service.models import load_runs

    access = access_to(host, token_file)
    limits = Limits(
        max_batch=max_batch,
        max_wait=max_wait,
        max_body=max_body * MIB,
        max_pixels=round(max_pixels * 1e6),
        max_queue=max(max_queue, max_batch),  # else the largest request would never be taken
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
