"""Opening a page in the user's browser, if there is one that does not occupy the terminal."""

from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

TEXT_BROWSERS = ("www-browser", "links", "elinks", "lynx", "w3m")
BROWSER = "browser"  # the thread's name


def find_browser() -> Any:
    """The default browser; None if there is none, or only one that would occupy this terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except (webbrowser.Error, OSError):
        return None
    return None if Path(getattr(browser, "name", "")).name in TEXT_BROWSERS else browser


def open_page(browser: Any, address: str) -> Thread:
    """Open an address in a browser, from a thread: some browsers return only when they are closed."""
    thread = Thread(target=_open, args=(browser, address), name=BROWSER, daemon=True)
    thread.start()
    return thread


def _open(browser: Any, address: str) -> None:
    import webbrowser

    with suppress(webbrowser.Error, OSError):
        browser.open(address)
