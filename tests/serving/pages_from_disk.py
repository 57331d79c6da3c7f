"""A page in one file, opened from disk in a browser that has no network."""

import re
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from lowerbound.runs.run import train

SHORT = {
    "model": {"hidden": [32]},
    "training": {"num_epochs": 2, "min_steps": 0},
    "evaluation": {"num_draws": 2, "num_exact": 2, "manifold_sizes": [2]},
}
OWN = """
window.own = async () => {
  const source = await (await import("explorer/source.js")).openSource();
  const [{ id }] = await source.runs();
  return { source, id, plain: ({ shape, data }) => ({ shape, data: [...data] }) };
};
"""


def trained(folder, source="digits", **model):
    """A run of a few steps."""
    settings = SHORT | {"model": SHORT["model"] | model}
    objective = {"objective": {"rate": "none"}} if model.get("posterior") == "point-mass" else {}
    return train(source, recipe="dense", out=folder, settings=settings | objective).path


class Opened:
    """A page from disk, and what it said and asked for on the way."""

    def __init__(self, context, path):
        self.page, self.complaints, self.requests = context.new_page(), [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.goto(path.as_uri())
        self.page.evaluate(OWN)

    def __call__(self, expression, argument=None):
        """The value of an expression of `source`, `id`, `plain` and `given`."""
        body = "async (given) => { const { source, id, plain } = await own(); return EXPRESSION; }"
        return self.page.evaluate(body.replace("EXPRESSION", expression), argument)


def blocks_in(path):
    """What a page carries, compressed, by name."""
    found = re.findall(r'id="carried-([a-z]+)">([^<]*)<', path.read_text())
    return {name: b64decode(content) for name, content in found}


def array(tensor):
    """A tensor as the page's `plain` gives it."""
    return np.array(tensor["data"]).reshape(tensor["shape"])


def png(image):
    """Pixels as a PNG, in base64."""
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


ENCODE = """await fetch("data:image/png;base64," + given).then((found) => found.blob())
  .then((blob) => source.encode(id, blob))"""
"""What the page makes of a PNG in base64."""
