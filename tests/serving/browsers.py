"""Headless Chromium for the tests of pages, and a server of this process for it to open."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lowerbound.serving.http.hosting import bind, server_for, url_of

CHROMIUM = shutil.which("chromium") or ""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]
FROM_THE_SCREENSHOT = "ReadPixels"  # of whose cost the driver warns


@contextmanager
def chromium() -> Iterator[object]:
    """A browser; the tests that need it are skipped where there is none, with the reason."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if not CHROMIUM:
        pytest.skip("there is no chromium to open the page in")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(app) -> Iterator[str]:
    """The URL of an application that runs in a thread until the block ends."""
    bound = bind("127.0.0.1", 0)
    is_ready = threading.Event()
    server = server_for(app, bound, lambda url: is_ready.set(), grace=1.0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    assert is_ready.wait(20)
    try:
        yield url_of(bound)
    finally:
        server.should_exit = True
        thread.join(20)


def watched(page) -> list[str]:
    """What a page complains of from now on: console messages, errors, refused requests."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(f"{error}\n{error.stack}"))
    page.on("response", lambda answer: answer.status >= 400 and heard.append(f"{answer.status} {answer.url}"))
    return heard


class Traffic:
    """What a page has asked for and not yet got."""

    def __init__(self, page) -> None:
        self.page, self.in_flight = page, 0
        page.on("request", lambda request: self._count(1))
        page.on("requestfinished", lambda request: self._count(-1))
        page.on("requestfailed", lambda request: self._count(-1))

    def settle(self, quiet: int = 3, most: int = 150) -> None:
        """Wait until nothing has been under way for so many tenths of a second: however slow the machine is."""
        rest = 0
        for _ in range(most):
            self.page.wait_for_timeout(100)
            rest = 0 if self.in_flight else rest + 1
            if rest >= quiet:
                return
        raise AssertionError(f"after {most / 10:.0f} s the page still asks for something")

    def _count(self, change: int) -> None:
        self.in_flight += change


def complaints(heard: list[str]) -> list[str]:
    """Those that are about the page, and not about being photographed."""
    return [text for text in heard if FROM_THE_SCREENSHOT not in text]
