"""Headless Chromium for the tests of pages, and a server of this process for it to open."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lowerbound.serving.hosting import bind, server_for, url_of

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


def complaints(heard: list[str]) -> list[str]:
    """Those that are about the page, and not about being photographed."""
    return [text for text in heard if FROM_THE_SCREENSHOT not in text]
