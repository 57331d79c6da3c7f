"""Frames per second of the explorer's scatter in a browser without a graphics processor, while panning and zooming.

    python benchmarks/scatter_frames.py                                               about three minutes
    python benchmarks/scatter_frames.py --peer benchmarks/.venvs/scatter/node_modules with regl-scatterplot, seven
    python benchmarks/scatter_frames.py --quick                                       a trial

Headless Chromium draws a canvas of 900 × 700 CSS pixels, at one and at two device pixels for one of CSS, with ten
classes of 10,000 and 70,000 points in all. In each frame a wheel event zooms in or out slightly, below a pointer that
moves in a circle, so all renderers get the same input and have to draw all points again. Frames that were drawn are
counted, not requested ones. Rounds alternate between the renderers.

"raster" and "webgl" are the scatter's two renderers; it takes the first by itself where WebGL is software. The first
never paints more than 1.5 million pixels: on this canvas, 1.54 device pixels for one of CSS in place of two. The peer,
`npm install --prefix benchmarks/.venvs/scatter regl-scatterplot@1.16.0`, is measured with its defaults, and in its
performance mode (squares without blending), with points of the same size. Also measured: how long the scatter takes
to index its points, to find the one nearest to a place, and to gather those inside a lasso.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from measuring import digits, markdown, source, spread, with_quartiles, write_figures
from playwright.sync_api import Browser, Page, Route, sync_playwright

MODULES = Path(__file__).parents[1] / "src" / "lowerbound" / "serving" / "explorer" / "page"
ADDRESS = "http://127.0.0.1:9/"  # no server: requests are answered from files
CHROMIUM = shutil.which("chromium") or "chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader"),
]
WIDTH, HEIGHT = 900, 700  # CSS pixels
COUNTS = (10_000, 70_000)
RATIOS = (1, 2)  # device pixels for one of CSS
POINT_SIZES = {10_000: 4, 70_000: 3}  # CSS pixels
SECONDS = 3.0

PAGE = f"""<!doctype html><link rel="icon" href="data:,"><style>body {{ margin: 0 }}
#frame {{ position: relative; width: {WIDTH}px; height: {HEIGHT}px }}
canvas {{ width: 100%; height: 100%; display: block }}
</style><script type="importmap">{{"imports": {{
  "explorer/": "{ADDRESS}ours/", "regl-scatterplot": "{ADDRESS}peer/regl-scatterplot/dist/regl-scatterplot.esm.js",
  "pub-sub-es": "{ADDRESS}peer/pub-sub-es/dist/index.js", "regl": "{ADDRESS}regl.js"}}}}</script>
<div id="frame"><canvas id="plane"></canvas></div>"""
# regl is only available as a classic script.
REGL = f"""await new Promise((done) => {{
  const script = Object.assign(document.createElement("script"), {{ src: "{ADDRESS}peer/regl/dist/regl.min.js" }});
  document.head.append(Object.assign(script, {{ onload: done }}));
}});
export default window.createREGL;"""

OURS = """async ({ x, y, category, colours, pointSize, renderer }) => {
  const { createScatter } = await import("explorer/scatter.js");
  const scatter = createScatter(document.getElementById("plane"), { renderer, pointSize });
  scatter.setPalette(colours);
  scatter.setPoints(Float32Array.from(x), Float32Array.from(y), Uint8Array.from(category));
  window.framesDrawn = () => scatter.framesDrawn;
}"""
PEER = f"""async ({{ x, y, category, colours, pointSize, performanceMode }}) => {{
  const {{ default: createScatterplot }} = await import("regl-scatterplot");
  const canvas = document.getElementById("plane");
  const size = {{ width: {WIDTH}, height: {HEIGHT} }};
  const look = {{ pointSize, performanceMode, colorBy: "valueA", pointColor: colours }};
  const plot = createScatterplot({{ canvas, ...size, ...look }});
  let frames = 0;
  plot.subscribe("drawing", () => frames++);
  window.framesDrawn = () => frames;
  const span = [...x, ...y].reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  await plot.draw({{ x: x.map((v) => v / span), y: y.map((v) => v / span), z: category }});
}}"""
MOVE = """(seconds) => new Promise((done) => {
  const canvas = document.getElementById("plane");
  const start = performance.now(), drawnBefore = framesDrawn();
  let last = start;
  const step = () => {
    const now = performance.now(), elapsed = (now - start) / 1000;
    if (elapsed > seconds) return done((framesDrawn() - drawnBefore) / elapsed);
    const clientX = canvas.clientWidth * (0.5 + 0.2 * Math.cos(3 * elapsed));
    const clientY = canvas.clientHeight * (0.5 + 0.2 * Math.sin(3 * elapsed));
    const deltaY = -0.5 * (now - last) * Math.sin(2 * Math.PI * elapsed);
    canvas.dispatchEvent(new WheelEvent("wheel", { clientX, clientY, deltaY, bubbles: true, cancelable: true }));
    last = now;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
SEARCH = """async ({ x, y, places, lasso }) => {
  const { createGrid, nearest, inside } = await import("explorer/scatter_grid.js");
  const timed = (action) => { const start = performance.now(); return [action(), performance.now() - start]; };
  const [grid, index] = timed(() => createGrid(Float32Array.from(x), Float32Array.from(y)));
  const [, hover] = timed(() => places.map(([px, py]) => nearest(grid, px, py, 8, [100, 100], () => true)));
  const [found, select] = timed(() => inside(grid, lasso, () => true));
  return { index, hover: hover / places.length, lasso: select, found: found.length };
}"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case: renderer, number of points and resolution."""

    name: str
    script: str
    options: dict[str, Any]
    num_points: int
    ratio: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trial run: one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, help="folder node_modules with regl-scatterplot")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with browser(arguments.peer) as (opened, new_page):
        frames = measure(cases(arguments.peer), new_page, 1 if arguments.quick else arguments.rounds)
        figures = {"chromium": opened.version, "frames": frames, "searches": searches(new_page)}
    path, written = write_figures("scatter_frames", figures, arguments.out)
    print(table(written), path, sep="\n\n")


def cases(peer: Path | None) -> list[Case]:
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("raster", OURS, {"renderer": "raster"}),
        ("webgl", OURS, {"renderer": "webgl"}),
    ]
    if peer:
        version = json.loads((peer / "regl-scatterplot" / "package.json").read_text())["version"]
        kinds += [
            (f"regl-scatterplot {version}", PEER, {"performanceMode": False}),
            (f"regl-scatterplot {version}, performance mode", PEER, {"performanceMode": True}),
        ]
    return [
        Case(name=name, script=script, options=options, num_points=count, ratio=ratio)
        for count, ratio, (name, script, options) in product(COUNTS, RATIOS, kinds)
    ]


@contextmanager
def browser(peer: Path | None) -> Iterator[tuple[Browser, Callable[[int], Page]]]:
    """Chromium, and a function that opens an empty page with a given device pixel ratio."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def new_page(ratio: int) -> Page:
            page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=ratio)
            page.route(f"{ADDRESS}**", lambda route: answer(route, peer))
            page.goto(ADDRESS)
            return page

        yield opened, new_page
        opened.close()


def answer(route: Route, peer: Path | None) -> None:
    """The page, one of our modules, or a file of the peer."""
    folder, _, name = route.request.url.removeprefix(ADDRESS).partition("/")
    if not folder:
        return route.fulfill(body=PAGE, content_type="text/html")
    if folder == "regl.js":
        return route.fulfill(body=REGL, content_type="text/javascript")
    root = MODULES if folder == "ours" or peer is None else peer
    return route.fulfill(body=(root / name).read_text(), content_type="text/javascript")


def measure(all_cases: list[Case], new_page: Callable[[int], Page], num_rounds: int) -> list[dict[str, Any]]:
    """Frames per second of each case."""
    rounds = [[frames_per_second(case, new_page) for case in all_cases] for _ in range(num_rounds)]
    return [
        {key: value for key, value in asdict(case).items() if key not in ("script", "options")}
        | {"frames_per_second": spread(values)}
        for case, values in zip(all_cases, zip(*rounds, strict=True), strict=True)
    ]


def frames_per_second(case: Case, new_page: Callable[[int], Page]) -> float:
    page = new_page(case.ratio)
    try:
        page.evaluate(case.script, points(case.num_points) | case.options)
        page.evaluate(MOVE, 0.5)  # warm-up of shaders and of the JavaScript compiler
        return page.evaluate(MOVE, SECONDS)
    finally:
        page.close()


def points(num_points: int) -> dict[str, Any]:
    """Ten classes in a ring, similar to a latent space of digits."""
    rng = np.random.default_rng(0)
    category = rng.integers(0, 10, num_points)
    angle = 2 * np.pi * category / 10
    x, y = 2 * np.stack((np.cos(angle), np.sin(angle))) + 0.5 * rng.normal(size=(2, num_points))
    colours = [[round(v, 2) for v in colour] for colour in rng.uniform(0.2, 0.9, (10, 3)).tolist()]
    columns = {"x": x.round(5).tolist(), "y": y.round(5).tolist(), "category": category.tolist()}
    return columns | {"colours": colours, "pointSize": POINT_SIZES[num_points]}


def searches(new_page: Callable[[int], Page]) -> list[dict[str, Any]]:
    """Milliseconds to index the points, to find the nearest one, and to gather those in a lasso of 500 vertices."""
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    lasso = (2 + 0.3 * np.sin(9 * angle))[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    places = np.random.default_rng(1).uniform(-3, 3, (10_000, 2))
    page = new_page(1)
    found = []
    for count in COUNTS:
        question = points(count) | {"lasso": lasso.tolist(), "places": places.tolist()}
        found.append({"num_points": count} | page.evaluate(SEARCH, question))
    page.close()
    return found


def table(figures: dict[str, Any]) -> str:
    """Frames per second, by renderer, number of points and resolution; and the searches."""
    measured = {
        (case["name"], case["num_points"], case["ratio"]): case["frames_per_second"] for case in figures["frames"]
    }
    columns = list(product(COUNTS, RATIOS))
    rows = [
        (name, *(with_quartiles(measured[name, *column]) for column in columns))
        for name in dict.fromkeys(name for name, *_ in measured)
    ]
    titles = ("frames/s (quartiles)", *(f"{count:,} points, {ratio}×" for count, ratio in columns))
    searched = [
        (f"{case['num_points']:,}", *(digits(case[key]) for key in ("index", "hover", "lasso")), f"{case['found']:,}")
        for case in figures["searches"]
    ]
    lasso = markdown(("points", "index, ms", "find the nearest, ms", "gather a lasso, ms", "points in it"), searched)
    return "\n\n".join((markdown(titles, rows), lasso, f"Chromium {figures['chromium']}. {source(figures)}"))


if __name__ == "__main__":
    main()
