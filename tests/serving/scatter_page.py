"""A page that holds nothing but a scatter, what a hand does to it, and where by definition things lie on it."""

import json
from base64 import b64encode
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import lowerbound.serving.explorer
from browsers import complaints, watched

MODULES = Path(lowerbound.serving.explorer.__file__).parent / "page"
WIDTH, HEIGHT = 500, 400
LEFT, TOP = 30, 20  # where the canvas lies in the page, so that nothing may take the two for one
PAGE = f"""<!doctype html><script type="importmap">IMPORTS</script>
<style>body {{ margin: 0; background: white; color: black }}
#frame {{ position: absolute; left: {LEFT}px; top: {TOP}px; width: {WIDTH}px; height: {HEIGHT}px }}
canvas {{ display: block; width: 100%; height: 100%; outline: none }}</style>
<div id="frame"><canvas id="plane"></canvas></div>
<script type="module">
import {{ createScatter }} from "explorer/scatter.js";
window.begin = (options) => {{
  window.listeningBefore = listening;
  window.scatter = createScatter(document.getElementById("plane"), options);
  window.heard = [];
  for (const name of ["hover", "move", "leave", "click", "select", "view"]) {{
    scatter.on(name, (...values) => heard.push([name, ...values.map((v) => (ArrayBuffer.isView(v) ? [...v] : v))]));
  }}
}};
window.points = (x, y, category) => {{
  const numbers = (values) => Float32Array.from(values, (v) => v ?? NaN);
  scatter.setPoints(numbers(x), numbers(y), Uint8Array.from(category));
}};
window.painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
</script>"""
COUNT_LISTENERS = """
window.listening = 0;
for (const [name, change] of [["addEventListener", 1], ["removeEventListener", -1]]) {
  const original = EventTarget.prototype[name];
  EventTarget.prototype[name] = function (...words) {
    if (this === window || this.id === "plane") window.listening += change;
    return original.apply(this, words);
  };
}"""
COLOURS = np.array([[0.9, 0.1, 0.1], [0.1, 0.6, 0.1], [0.1, 0.2, 0.9], [0.8, 0.6, 0.0]])


@contextmanager
def scatters(browser):
    """A function that opens a page with a scatter; at the end nothing may have been complained of."""
    opened = []

    def open_page(renderer="raster", options=None, **context_options):
        context = browser.new_context(viewport={"width": 600, "height": 500}, **context_options)
        page = context.new_page()
        opened.append((context, watched(page)))
        page.add_init_script(COUNT_LISTENERS)
        page.goto("about:blank")  # or the script above does not run
        page.set_content(html())
        page.wait_for_function("window.begin !== undefined")
        page.evaluate("options => begin(options)", {"renderer": renderer} | (options or {}))
        page.evaluate("colours => scatter.setPalette(colours)", COLOURS.tolist())
        return page

    yield open_page
    for context, heard_of in opened:
        context.close()
        assert complaints(heard_of) == []


@cache
def html():
    """The page with all modules in it: there is nothing to ask a server for."""
    modules = {f"explorer/{path.name}": data_url(path.read_bytes()) for path in MODULES.glob("scatter*.js")}
    return PAGE.replace("IMPORTS", json.dumps({"imports": modules}))


def data_url(script):
    return f"data:text/javascript;base64,{b64encode(script).decode()}"


def show(page, xy, category=None):
    category = np.zeros(len(xy), int) if category is None else category
    x, y = ([float(v) if np.isfinite(v) else None for v in column] for column in np.asarray(xy).T)
    page.evaluate("([x, y, category]) => points(x, y, category)", [x, y, category.tolist()])


def picture(page):
    """The canvas as it is seen, as numbers from 0 to 1."""
    page.evaluate("painted()")
    taken = page.screenshot(clip={"x": LEFT, "y": TOP, "width": WIDTH, "height": HEIGHT})
    return np.asarray(Image.open(BytesIO(taken)).convert("RGB")) / 255


def view_of(page):
    return page.evaluate("scatter.view")


def pixels(view, xy):
    """Where data points lie, by the definition of a view, with y upwards."""
    x, y = np.asarray(xy, float).T
    across = (x - view["x0"]) / (view["x1"] - view["x0"]) * WIDTH
    return np.stack((across, (view["y1"] - y) / (view["y1"] - view["y0"]) * HEIGHT), axis=-1)


def data(view, places):
    """The inverse of `pixels`."""
    px, py = np.asarray(places, float).T
    x = view["x0"] + px / WIDTH * (view["x1"] - view["x0"])
    return np.stack((x, view["y1"] - py / HEIGHT * (view["y1"] - view["y0"])), axis=-1)


def colour_at(image, place, away=(0, 0)):
    column, row = np.floor(np.add(place, away)).astype(int)
    return image[row, column]


def heard(page, name):
    """What each event of this name said, since this was last asked."""
    events = page.evaluate(
        "name => { const all = heard; window.heard = []; return all.filter((e) => e[0] === name) }", name
    )
    return [event[1:] for event in events]


def move(page, px, py):
    page.mouse.move(LEFT + px, TOP + py)


def drag(page, *places):
    move(page, *places[0])
    page.mouse.down()
    for place in places[1:]:
        move(page, *place)
    page.mouse.up()
