"""The command that opens the explorer."""

from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread, Timer
from typing import Annotated, Any

import typer

from lowerbound.commands import console
from lowerbound.commands.options import SHARE, DataDirOption, DeviceOption, OwnDataOption, TokenFileOption, app
from lowerbound.foundation.interrupts import ending_at_once

TEXT_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")
BROWSER = "browser"  # the thread's name
OPENING = 60.0  # seconds in which a browser starts and reads a file
GRACE = 2.0  # seconds for what was asked before Ctrl-C; a page asks again


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound explore runs/conv --offline conv.html")
@ending_at_once()
def explore(
    run_path: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of runs.")],
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 0,
    host: Annotated[str, typer.Option(help="Addresses other than loopback require a token.")] = "127.0.0.1",
    token_file: TokenFileOption = None,
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
    from lowerbound.serving.explorer.application import application
    from lowerbound.serving.http import hosting
    from lowerbound.serving.http.access import access_for

    access = access_for(host, token_file)
    page = application(run_path, access=access, data=data, data_dir=data_dir, device=device)
    with ExitStack() as opening:
        hosting.host(
            page, host=host, port=port, ready=lambda url: _show(url, access.token, no_browser, opening), grace=GRACE
        )


def _show(url: str, token: str, no_browser: bool, opening: ExitStack) -> None:
    """The address on standard output and, where there is a browser, the page."""
    # A fragment stays in the browser: it is in no request, and so in no log.
    address = f"{url}/#token={token}" if token else f"{url}/"
    console.out.print(address, markup=False)
    browser = None if no_browser else _browser()
    if browser is None:
        return
    if token:
        from lowerbound.serving.http.tokens import redirect_file

        # A browser's command line can be read by every user of the machine.
        address = opening.enter_context(redirect_file(address))
        later = Timer(OPENING, opening.close)
        later.daemon = True
        later.start()
    # Some browsers only return when they are closed.
    Thread(target=_open, args=(browser, address), name=BROWSER, daemon=True).start()


def _browser() -> Any:
    """The browser of `webbrowser`; None where there is none, or only one that would take this terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except (webbrowser.Error, OSError):
        return None
    return None if Path(getattr(browser, "name", "")).name in TEXT_BROWSERS else browser


def _open(browser: Any, address: str) -> None:
    import webbrowser

    with suppress(webbrowser.Error, OSError):
        browser.open(address)
