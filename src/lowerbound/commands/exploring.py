"""The command that opens the explorer."""

from pathlib import Path
from typing import Annotated

import typer

from lowerbound import console
from lowerbound.commands.options import SHARE, DataDirOption, DeviceOption, app


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound explore runs/conv --offline conv.html")
def explore(
    run_path: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder with runs in it.")],
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the URL alone.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen at; beyond this machine a token is asked for.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    offline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML file that needs no server, and stop.")
    ] = None,
    device: DeviceOption = "auto",
    data_dir: DataDirOption = "",
) -> None:
    """Open a run's latent space in the browser: its codes, the decoder under the pointer, images of your own."""
    if offline is not None:
        console.print_written(_written(run_path, offline, data_dir, device))
        return
    from lowerbound.serving.access import access_to, guarded
    from lowerbound.serving.explorer.application import application
    from lowerbound.serving.hosting import host as serve

    access = access_to(host)
    explorer = guarded(application(run_path, data_dir=data_dir, device=device), access, prefixes=("/api/",))
    serve(explorer, host=host, port=port, ready=lambda url: _show(url, access.token, no_browser), grace=2)


def _written(run: Path, out: Path, data_dir: str, device: str) -> Path:
    from lowerbound.run import read_experiment
    from lowerbound.serving.explorer.offline import write_offline

    read_experiment(run)
    return write_offline(run, out, data_dir, device)


def _show(url: str, token: str, no_browser: bool) -> None:
    """The address on standard output; in the browser, unless there is none."""
    import webbrowser
    from contextlib import suppress

    # A fragment stays in the browser: it is in no request, and so in no log.
    address = f"{url}/#token={token}" if token else f"{url}/"
    console.out.print(address, markup=False)
    if not no_browser:
        with suppress(webbrowser.Error):
            webbrowser.open(address)
