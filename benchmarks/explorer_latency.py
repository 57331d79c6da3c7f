"""Latency of the image under the pointer in the explorer, and frames per second during movement.

    python benchmarks/explorer_latency.py runs/best-2d runs/reference/conv    half a minute for each run
    python benchmarks/explorer_latency.py runs/conv --quick                   a trial

`lowerbound explore RUN` runs in its own process; headless Chromium without a GPU shows all examples of the run on the
plane. The pointer moves in a circle, sixty moves per second. Latency is the time from a move until its image is
drawn, from the page's performance entries, including moves that waited for an earlier one; moves replaced by a later
one are never drawn, and not counted. Frames are animation callbacks. Then the same with the
server decoding (`--engine torch`), and with the offline page, opened from disk.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, pi, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import digits, markdown, source, write_figures
from playwright.sync_api import Browser, Page, sync_playwright
from scatter_frames import CHROMIUM, FLAGS

from lowerbound.serving.explorer.offline import write_offline

SECONDS = 8.0
INTERVAL = 1 / 60  # seconds between moves
LATENCIES = "performance.getEntriesByName('pointer-to-image').map((entry) => entry.duration)"
DECODED_HERE = "performance.getEntriesByName('decoder-in-page').length > 0"
COUNT_FRAMES = """(milliseconds) => {
  window.frames_counted = 0;
  const end = performance.now() + milliseconds;
  const step = () => { window.frames_counted += 1; if (performance.now() < end) requestAnimationFrame(step); };
  requestAnimationFrame(step);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    seconds = 2.0 if arguments.quick else SECONDS
    rows = []
    with sync_playwright() as driver, TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for run in arguments.runs:
            for engine in ("auto", "torch"):
                with _explored(run, engine) as url:
                    rows.append({"run": run.name, "page": "served"} | _measured(browser, url, seconds))
            file = write_offline(run, Path(folder) / f"{run.name}.html")
            rows.append({"run": run.name, "page": "offline"} | _measured(browser, file.as_uri(), seconds))
        browser.close()
    with TemporaryDirectory() as folder:
        # A trial run saves no results.
        out = Path(folder) / "figures.json" if arguments.quick else None
        _, figures = write_figures("explorer_latency", {"seconds": seconds, "rows": rows}, out)
    print(f"{source(figures)}\n\n{_table(rows)}")


@contextmanager
def _explored(run: Path, engine: str) -> Iterator[str]:
    """The address of `lowerbound explore`."""
    command = [
        str(Path(sys.executable).with_name("lowerbound")),
        "explore",
        str(run),
        "--no-browser",
        "--engine",
        engine,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def _measured(browser: Browser, address: str, seconds: float) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(address)
    page.wait_for_selector(".legend button", timeout=300_000)
    while not page.evaluate("window.explorer.views[0].isReady"):  # until all examples are encoded
        page.wait_for_timeout(500)
    page.wait_for_timeout(8000)  # for samples, traversals and curves to be drawn, and the decoder to be exported
    _go_round(page, 1.0)
    page.evaluate("performance.clearMeasures('pointer-to-image')")
    page.evaluate(COUNT_FRAMES, seconds * 1000)
    num_moves = _go_round(page, seconds)
    page.wait_for_timeout(300)
    latencies, frames = page.evaluate(LATENCIES), page.evaluate("window.frames_counted")
    num_codes = page.evaluate("window.explorer.views[0].codes.count")
    page_decodes = address.startswith("file:") or page.evaluate(DECODED_HERE)
    page.close()
    return {
        "num_codes": num_codes,
        "decoded_by": "page" if page_decodes else "server",
        "num_moves": num_moves,
        "num_drawn": len(latencies),
        "median_ms": float(np.median(latencies)),
        "p95_ms": float(np.quantile(latencies, 0.95)),
        "most_ms": float(max(latencies)),
        "frames_per_second": frames / seconds,
    }


def _go_round(page: Page, seconds: float) -> int:
    """Move the pointer in a circle on the plane; returns the number of moves."""
    box = page.locator("canvas.plane").bounding_box()
    assert box is not None
    start, number = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        number += 1
        angle, radius = 2 * pi * now / 3, 0.3 + 0.1 * sin(5 * now)
        x = box["x"] + box["width"] * (0.5 + radius * cos(angle))
        page.mouse.move(x, box["y"] + box["height"] * (0.5 + radius * sin(angle)))
        time.sleep(max(0.0, start + number * INTERVAL - time.perf_counter()))
    return number


def _table(rows: list[dict[str, Any]]) -> str:
    head = ["run", "page", "decoded by", "codes", "moves, drawn", "median", "p95", "maximum", "frames/s"]
    body = [
        [
            row["run"],
            row["page"],
            row["decoded_by"],
            f"{row['num_codes']:,}",
            f"{row['num_moves']}, {row['num_drawn']}",
            *(f"{digits(row[key])} ms" for key in ("median_ms", "p95_ms", "most_ms")),
            f"{row['frames_per_second']:.0f}",
        ]
        for row in rows
    ]
    return markdown(head, body)


if __name__ == "__main__":
    main()
