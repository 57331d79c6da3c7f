"""The command that opens the explorer."""

from pathlib import Path
from typing import Annotated

import typer

from lowerbound import console
from lowerbound.commands.options import SHARE, DataDirOption, DeviceOption, OwnDataOption, app

TEXT_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")
BROWSER = "browser"  # the thread's name
GRACE = 2.0  # seconds for what was asked before Ctrl-C; a page asks again


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound explore runs/conv --offline conv.html")
def explore(
    run_path: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of runs.")],
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 0,
    host: Annotated[str, typer.Option(help="Addresses other than loopback require a token.")] = "127.0.0.1",
    offline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page as one file that needs no server, and exit.")
    ] = None,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
) -> None:
    """Explore a latent space in the browser: codes, the decoder under the pointer, your own images."""
    if offline is not None:
        from lowerbound.serving.explorer.offline import write_offline

        console.err.print("encoding, scoring and exporting: half a minute or so ...")
        console.print_written(write_offline(run_path, offline, data_dir, device, data))
        return
    from lowerbound.serving import hosting
    from lowerbound.serving.access import access_to, guarded
    from lowerbound.serving.explorer.application import application

    access = access_to(host)
    page = guarded(application(run_path, data=data, data_dir=data_dir, device=device), access, prefixes=("/api/",))
    hosting.host(page, host=host, port=port, ready=lambda url: _show(url, access.token, no_browser), grace=GRACE)


def _show(url: str, token: str, no_browser: bool) -> None:
    """The address on standard output and, where there is a browser, the page."""
    from threading import Thread

    # A fragment stays in the browser: it is in no request, and so in no log.
    address = f"{url}/#token={token}" if token else f"{url}/"
    console.out.print(address, markup=False)
    if not no_browser:
        # Some browsers only return when they are closed.
        Thread(target=_open_browser, args=(address,), name=BROWSER, daemon=True).start()


def _open_browser(address: str) -> None:
    """Open the page; nothing, where there is no browser, or only one that would take this terminal."""
    import webbrowser
    from contextlib import suppress

    with suppress(webbrowser.Error, OSError):
        browser = webbrowser.get()
        if Path(getattr(browser, "name", "")).name not in TEXT_BROWSERS:
            browser.open(address)
