"""Script injection: names of columns, levels, classes, files, runs and recipes that are scripts, on every page.

Pages are parsed as a browser parses them: no name may create an element or attribute. If Chromium is installed, it
opens the page, and no script in a name may run.
"""

import html.parser
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.faults.child import command
from benchmarks.faults.runs import Words, Workplace, training
from benchmarks.faults.servers import Server, serving
from benchmarks.faults.tally import Tally
from PIL import Image

GOOD = frozenset({"shown as text"})
RUN_IT = "document.documentElement.dataset.pwned=1"
MARK = "xssmark"
PAYLOADS = (
    f"<img src=x onerror={RUN_IT} class={MARK}>",
    f'"><script class={MARK}>{RUN_IT}</script>',
    f"</script><script class={MARK}>{RUN_IT}</script>",
    f"' onmouseover='{RUN_IT}' class='{MARK}",
    f'" autofocus onfocus="{RUN_IT}" class="{MARK}',
    f"<svg/onload={RUN_IT} class={MARK}>",
    f"--><iframe srcdoc='<script>parent.{RUN_IT}</script>' class={MARK}>",
    f"</title></style></textarea><b class={MARK}>",
    f"`${{{RUN_IT}}}` {{{{ 7*191 }}}} {{% raw %}} <b class={MARK}>",
    f"<!--<script><b class={MARK}>",
    f"]]><a href=javascript:{RUN_IT} class={MARK}>",
    "\u2028\u2029\\u003cb class=xssmark\\u003e &lt;b class=xssmark&gt; \x7f",
)
FILLED = re.compile(r"1337\s*(?:\{%|<b class)")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 6000  # milliseconds of the page's own time


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Check every page of a run for each payload; `names` are those of pages."""
    tally = Tally("scripts in names", GOOD)
    browser = next(filter(None, map(shutil.which, BROWSERS)), "")
    if not browser:
        tally.notes.append("no Chromium was found: pages were parsed, and not opened")
    for payload in bits.sample(PAYLOADS, max(1, round(share * len(PAYLOADS)))):
        for kind, make in KINDS.items():
            trial = place.fresh(None)
            for words in make(trial, payload):
                if words[0] == "explore" and names and "offline explorer" not in names:
                    continue
                outcome = command(words, cwd=trial, timeout=300)
                if outcome.status != 0:
                    break
            if outcome.status != 0:
                tally.add(kind, "refused" if not outcome.complaint else "failed", f"{payload!r}: {outcome.err[-300:]}")
                continue
            for page, content, address in pages(trial, names or frozenset(PAGES)):
                verdict, why = judged(content, address if share == 1 or page in OPENED else "", browser, place)
                tally.add(f"{page}, {kind}", verdict, f"{payload!r}: {why}")
    return tally


OPENED = frozenset({"offline explorer", "explorer"})
"""Pages that scripts build, which parsing alone says little of; the others are opened at the full number alone."""


def _of_a_table(trial: Path, payload: str) -> tuple[Words, ...]:
    cell = payload.replace('"', '""')
    levels = (f'"{cell}"', "b", "c")
    rows = [
        f'length,"{cell}","kind {cell}",label',
        *(f"{n / 7:.3f},{n % 5},{levels[n % 3]},{levels[n % 3]}" for n in range(45)),
    ]
    (trial / "things.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return (training("things.csv", "run", 0, "--labels", "label"), OFFLINE)


def _of_images(trial: Path, payload: str) -> tuple[Words, ...]:
    name = payload.replace("/", "∕")[:120]  # which a file's name cannot hold
    for index, place in enumerate((name, "other")):
        (trial / "photos" / place).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng(number + 100 * index).integers(0, 256, (6, 5), np.uint8)
            Image.fromarray(pixels).save(trial / "photos" / place / f"{name[:60]}{number}.png")
    return (training("photos", "run"), OFFLINE)


def _of_a_run(trial: Path, payload: str) -> tuple[Words, ...]:
    """Name the run's folder, source and recipe after the payload."""
    name = payload.replace("/", "∕").replace("'", "’")[:100]
    array = trial / f"{name}.npy"
    np.save(array, np.random.default_rng(0).integers(0, 256, (24, 6, 5), np.uint8))
    train = training(array.name, f"named {name}")
    return (train, ("explore", f"named {name}", "--offline", "page.html"))


OFFLINE = ("explore", "run", "--offline", "page.html")
KINDS = {"columns and levels": _of_a_table, "classes and files": _of_images, "runs and sources": _of_a_run}


PAGES = ("report", "offline explorer", "explorer", "service /", "service /docs")


def pages(trial: Path, names: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """The pages of a run in `names`: kind, source, and URL."""
    (folder,) = (path.parent for path in trial.glob("*/report.html"))
    for name, file in (("report", folder / "report.html"), ("offline explorer", trial / "page.html")):
        if name in names:
            yield name, file.read_text(encoding="utf-8"), file.resolve().as_uri()
    if "explorer" in names:
        with serving(trial, ("explore", str(folder), "--no-browser", "--port", "0")) as server:
            yield "explorer", *_served(server, "/")
    if paths := [path for path in ("/", "/docs") if f"service {path}" in names]:
        with serving(trial, ("serve", f"model={folder}", "--port", "0")) as server:
            for path in paths:
                yield f"service {path}", *_served(server, path)


def _served(server: Server, path: str) -> tuple[str, str]:
    return server.get(path).decode(), server.address if path == "/" else server.url + path


def judged(content: str, address: str, browser: str, place: Workplace) -> tuple[str, str]:
    """Whether a name was injected into a page."""
    if found := marks_in(content):
        return "became markup", found
    if not browser or not address:
        return "shown as text", ""
    built = opened(browser, address, place.root / "browser")
    if "data-pwned" in built.partition(">")[0] + built[:2000]:
        return "ran", address
    if found := marks_in(built):
        return "became markup in the browser", found
    return "shown as text", ""


def opened(browser: str, address: str, profile: Path) -> str:
    """The page after its scripts have run."""
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    words += [f"--user-data-dir={profile}", f"--virtual-time-budget={WAIT}", "--dump-dom", address]
    return subprocess.run(words, capture_output=True, timeout=120, check=False).stdout.decode(errors="replace")


def marks_in(content: str) -> str:
    """The first element created by a name; empty if there is none."""
    parser = _Marks()
    parser.feed(content)
    parser.close()
    return parser.found


class _Marks(html.parser.HTMLParser):
    """Finds the mark in attributes, event handlers that run the payload, and evaluated templates."""

    def __init__(self) -> None:
        super().__init__()
        self.found = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            is_handler = name.startswith("on") and RUN_IT in (value or "")
            is_link = (value or "").strip().lower().startswith("javascript:")
            if is_handler or is_link or (name == "class" and MARK in (value or "")):
                self.found = self.found or f"<{tag} {name}={value!r}>"

    def handle_data(self, data: str) -> None:
        if FILLED.search(data):
            self.found = self.found or f"a template was filled: {data[:100]!r}"
