"""host_explorer: serves the explorer until Ctrl-C, and opens it in the browser."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

from lowerbound.foundation.run_identity import RunPath
from lowerbound.serving.explorer.application import application
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import access_for
from lowerbound.serving.http.browsers import find_browser, open_page
from lowerbound.serving.http.tokens import redirect_file

OPENING = 60.0  # seconds for a browser to start and read a file
GRACE = 2.0  # seconds to finish requests after Ctrl-C; the page repeats them


def host_explorer(
    run: RunPath,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token_file: Path | None = None,
    opens_browser: bool = True,
    show: Callable[[str], None] = print,
    device: str = "auto",
    engine: str = "auto",
    data: str = "",
    data_dir: str = "",
) -> None:
    """Serve the explorer of a run, or of a folder of runs, until Ctrl-C; `show` is called with its address."""
    access = access_for(host, token_file)
    page = application(run, access=access, data=data, data_dir=data_dir, device=device, engine=engine)

    with ExitStack() as opening:

        def ready(url: str) -> None:
            # A fragment stays in the browser: it appears in no request, and so in no log.
            address = f"{url}/#token={access.token}" if access.token else f"{url}/"
            show(address)
            if opens_browser:
                _open(address, bool(access.token), opening)

        hosting.host(page, host=host, port=port, ready=ready, grace=GRACE)


def _open(address: str, has_token: bool, opening: ExitStack) -> None:
    browser = find_browser()
    if browser is None:
        return
    if has_token:
        # Every user of the machine can read the browser's command line.
        address = opening.enter_context(redirect_file(address))
        later = Timer(OPENING, opening.close)
        later.daemon = True
        later.start()
    open_page(browser, address)
