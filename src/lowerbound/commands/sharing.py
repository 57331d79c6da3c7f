"""The commands of the panel "Explore, serve, export": explore, serve, export."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.commands import console
from lowerbound.commands.given import refuse_given
from lowerbound.commands.options import (
    SHARE,
    DataDirOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    OwnDataOption,
    RunArgument,
    TokenFileOption,
    app,
    print_json,
)
from lowerbound.foundation.errors import UnknownName, UsageError
from lowerbound.foundation.interrupts import ending_at_once

if TYPE_CHECKING:
    from lowerbound.serving.portable.export import Exported
    from lowerbound.serving.portable.parity import Parity
    from lowerbound.serving.portable.parts import Port

MIB = 2**20
HUGGING_FACE = "huggingface"


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound explore runs/conv --offline conv.html")
@ending_at_once()
def explore(
    run_path: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run directory, or a folder of runs.")],
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 0,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any except loopback requires a token.")
    ] = "127.0.0.1",
    token_file: TokenFileOption = None,
    offline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page as one file that needs no server, and exit.")
    ] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
) -> None:
    """Explore a latent space in the browser: codes, decoded points, your own images."""
    if offline is not None:
        refuse_given(
            "--offline writes a file and starts no server", "no_browser", "port", "host", "token_file", "engine"
        )
        from lowerbound.serving.explorer.offline import write_offline

        console.err.print("encoding, scoring and exporting; this takes about half a minute ...")
        console.print_written(write_offline(run_path, offline, data_dir, device, data))
        return
    from lowerbound.serving.explorer.hosted import host_explorer

    host_explorer(
        run_path,
        host=host,
        port=port,
        token_file=token_file,
        opens_browser=not no_browser,
        show=lambda address: console.out.print(address, markup=False),
        device=device,
        engine=engine,
        data=data,
        data_dir=data_dir,
    )


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound serve runs/conv digits=runs/demo/conv --port 8080")
@ending_at_once()
def serve(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run directories, as DIRECTORY or NAME=DIRECTORY.")
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any except loopback requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8000,
    token_file: TokenFileOption = None,
    max_batch: Annotated[int, typer.Option(min=1, max=65536, help="Examples per request and forward pass.")] = 256,
    max_wait: Annotated[float, typer.Option(min=0, max=1000, help="Milliseconds to wait for a full batch.")] = 2.0,
    max_body: Annotated[int, typer.Option(min=1, max=2048, help="Largest request body, in MiB.")] = 64,
    max_pixels: Annotated[float, typer.Option(min=0.001, max=80, help="Largest image, in megapixels.")] = 16.0,
    max_queue: Annotated[
        int | None,
        typer.Option(min=1, help="Examples in the queue; 503 beyond it. Default: 4096, or one batch if larger."),
    ] = None,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Concurrent requests; 503 beyond it.")] = 512,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds for a request body, and for a response.")
    ] = 30.0,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
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
            f"--max-queue is {max_queue:,}, less than --max-batch, {max_batch:,}, so the largest request could not be "
            "accepted; raise it, or lower --max-batch."
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
    served = load_runs(runs, device, engine)
    names = ", ".join(f"{run.name} ({run.version})" for run in served)

    def ready(url: str) -> None:
        if access.is_generated:
            console.err.print(f"access token: {access.token}", markup=False)
        if not is_loopback(host):
            console.err.print("traffic is not encrypted; put a TLS proxy in front of the server, or use a tunnel.")
        for run in served:
            for note in run.engine_notes:
                console.err.print(f"{run.name}: {note}", markup=False)
        console.out.print(f"{url} serves {names}; documentation: {url}/docs", markup=False)

    # Accepted requests are finished: each may take the timeout to arrive, and again to be answered.
    serve_at(build_application(served, limits, access), host=host, port=port, ready=ready, grace=2 * timeout)
    console.err.print("stopped; all accepted requests have been answered.")


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound export runs/conv --format onnx")
def export(
    run_path: RunArgument,
    form: Annotated[
        str, typer.Option("--format", metavar="onnx|torch|huggingface|diffusers", help="File format.")
    ] = "onnx",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Output directory; default: a folder in RUN.")] = None,
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
    as_json: JsonOption = False,
) -> None:
    """Export encoder, decoder and their composition for other programs, verified against the model.

    `huggingface` writes the model with a config.json and a model card, which `lowerbound.load` reads;
    `diffusers` the folder that AutoencoderKL of that library loads, for network `autoencoder-kl`.
    """
    from lowerbound.serving.portable.export import DIFFUSERS, FORMATS
    from lowerbound.serving.portable.export import export as export_run

    if form == HUGGING_FACE:
        _export_to_hugging_face(run_path, out or run_path / form, bool(data or data_dir), as_json)
        return
    if form not in (*FORMATS, DIFFUSERS):
        raise UnknownName("format", form, [*FORMATS, HUGGING_FACE, DIFFUSERS])
    exported = export_run(run_path, form, out, data_dir, data)
    for note in exported.notes:
        console.err.print(note, markup=False)
    if as_json:
        print_json(_as_json(exported))
        return
    rows = [
        ("" if index else file.path.name, port.direction, port.name, _shape(port), port.about)
        for file in exported.files
        for index, port in enumerate(file.ports)
    ]
    console.print_table(("file", "", "name", "float32", "description"), rows)
    console.out.print(f"largest deviation from the model, on {exported.compared}:", markup=False)
    for file in exported.files:
        console.out.print(f"  {file.path.name}: {_deviation(file.parity)}", markup=False)
    console.print_written(exported.files[0].path.parent)


def _export_to_hugging_face(run_path: Path, out: Path, has_data: bool, as_json: bool) -> None:
    from lowerbound.runs.pretrained import save_pretrained

    if has_data:
        raise UsageError(
            f"--format {HUGGING_FACE} copies the model and needs no data; leave out --data and --data-dir."
        )
    folder = save_pretrained(run_path, out)
    if as_json:
        print_json({"files": [{"path": str(path)} for path in sorted(folder.iterdir()) if path.is_file()]})
    else:
        console.print_written(folder)


def _shape(port: "Port") -> str:
    return " × ".join(["batch", *map(str, port.event_shape)])


def _deviation(parity: "Parity") -> str:
    rounding = f"; PyTorch's own rounding error is {parity.rounding:.1e}" if parity.deviation > 1e-5 else ""
    return f"{parity.deviation:.1e} in {parity.output}{rounding}"


def _as_json(exported: "Exported") -> dict[str, object]:
    return {
        "compared": exported.compared,
        "files": [
            {
                "path": str(file.path),
                **asdict(file.parity),
                "ports": [
                    {"direction": port.direction, "name": port.name, "shape": ["batch", *port.event_shape]}
                    for port in file.ports
                ],
            }
            for file in exported.files
        ],
    }
