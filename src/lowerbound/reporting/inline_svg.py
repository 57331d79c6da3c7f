"""Figures as SVG elements of a page: small, with colours that follow the page's theme, and letters that they share.

matplotlib writes a document for other programs. Within a page its names would collide, and its size is mostly that of
numbers with six decimals, of letters that every figure defines again, and of dots with attributes of their own.
"""

import base64
import re
from collections.abc import Iterator
from io import BytesIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.reporting import palette, theme
from lowerbound.reporting.tiles import data_url, encoded

CSS_PIXELS = 96
"""CSS pixels per inch."""

HREF = "{http://www.w3.org/1999/xlink}href"
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d+")
GLYPH = re.compile(r'<path id="([A-Z]\w*(?:-[A-Za-z]+)*-[0-9a-f]+)"(?: d="[^"]*")? transform="[^"]*" ?/>')
"""A letter: matplotlib names it by font and glyph, so that the same name means the same outline in every figure."""

POINTS = re.compile(r"M(-?[\d.]+) (-?[\d.]+)h0")
WIDTH = re.compile(r"stroke-width:([\d.]+)")
STRIP = 60  # tenths of a unit, the width of the columns in which dots are ordered

DOTS = re.compile(r"M0 (-?[\d.]+)C")
"""The beginning of a circle around the origin, with its radius."""


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an <svg> element, with a description for those who cannot see it.

    `name` is unique in the page. Colours are variables that `theme_css` defines.
    """
    root = ElementTree.fromstring(theme.svg(figure))
    _plain_names(root)
    _without_unused(root)
    _with_small_images(root)
    _with_joined_paths(root)
    _with_own_ids(root, name)
    width, height = (round(CSS_PIXELS * inches) for inches in figure.get_size_inches())
    about = {"role": "img", "aria-label": description, "class": "drawn", "width": str(width), "height": str(height)}
    root.attrib = about | {"viewBox": root.attrib["viewBox"]}
    return ElementTree.tostring(root, encoding="unicode")


def with_shared_letters(page: str) -> str:
    """The page with each letter of its figures defined once, at its beginning."""
    letters: dict[str, str] = {}

    def taken(match: re.Match[str]) -> str:
        letters.setdefault(match[1], match[0])
        return ""

    page = GLYPH.sub(taken, page).replace("<defs></defs>", "")
    sheet = (
        f'<svg class="letters" aria-hidden="true" width="0" height="0"><defs>{"".join(letters.values())}</defs></svg>'
    )
    return page.replace("<body>", f"<body>\n{sheet}", 1) if letters else page


def theme_css() -> dict[str, str]:
    """For the light and the dark theme the definitions of the colours of all figures, as CSS."""
    light = {colour: colour for colour in palette.DARK}
    return {
        name: " ".join(f"--{colour[1:]}: {shown};" for colour, shown in colours.items())
        for name, colours in (("light", light), ("dark", palette.DARK))
    }


def _plain_names(root: Element) -> None:
    """Drop the namespaces, which elements of a page do not have; shorten numbers and name colours."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.tail = None
        if HREF in element.attrib:
            element.attrib["href"] = element.attrib.pop(HREF)
        for key, value in element.attrib.items():
            if key == "d":
                value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value)
            if key != "href":
                value = COLOUR.sub(_themed, NUMBER.sub(_shorter, value.strip()))
            element.attrib[key] = value.replace(": ", ":").replace("; ", ";")


def _themed(match: re.Match[str]) -> str:
    """A colour of the palette as its variable; one that somebody else's plot has chosen stays."""
    return f"var(--{match[0][1:]})" if match[0] in palette.DARK else match[0]


def _shorter(match: re.Match[str]) -> str:
    number = float(match[0])
    return f"{number:.2f}".rstrip("0").rstrip(".") if abs(number) >= 1 else f"{number:.4g}"


def _without_unused(root: Element) -> None:
    """Remove metadata, and the style that would apply to the whole page; its rules are those of the root."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "metadata" or (child.tag == "defs" and child.find("style") is not None):
                parent.remove(child)
            elif child.tag == "g":
                child.attrib.pop("id", None)
    for parent in reversed(list(root.iter())):
        for child in list(parent):
            if child.tag == "g" and len(child) == 0:
                parent.remove(child)


def _with_small_images(root: Element) -> None:
    for element in root.iter("image"):
        element.attrib.pop("id", None)
        content = base64.b64decode(element.attrib["href"].partition(",")[2])
        with Image.open(BytesIO(content)) as opened:
            picture = np.asarray(opened.convert("RGBA"))
        element.attrib["href"] = data_url(*encoded(picture))


def _with_joined_paths(root: Element) -> None:
    """Draw neighbours of one style as one path: dots, above all."""
    circles = {
        f"#{path.attrib['id']}": match[1] for path in _defined(root) if (match := DOTS.match(path.attrib.get("d", "")))
    }
    for parent in root.iter("g"):
        joined: Element | None = None
        for child in list(parent):
            path = _as_path(child, circles)
            if path is None:
                joined = None
            elif joined is not None and _style(joined) == _style(path):
                joined.attrib["d"] += path.attrib.get("d", "")
                parent.remove(child)
            else:
                parent[list(parent).index(child)] = joined = path
        for path in parent.findall("path"):
            if points := POINTS.findall(path.attrib.get("d", "")):
                parent[list(parent).index(path)] = _dots(path, np.array(points, dtype=float))


def _dots(path: Element, points: Float[np.ndarray, "n 2"]) -> Element:
    """The dots of a path in tenths of a unit, each from the one before, in an order in which steps are short."""
    tenths = np.rint(10 * points).astype(int)
    tenths = tenths[np.lexsort((tenths[:, 1], tenths[:, 0] // STRIP))]
    steps = np.diff(tenths, axis=0, prepend=np.zeros((1, 2), dtype=int))
    path.attrib["d"] = "".join(f"m{x}{'' if y < 0 else ' '}{y}h0" for x, y in steps.tolist())
    # A clip of the path itself would be scaled with it.
    group = Element("g", {key: path.attrib.pop(key) for key in ("clip-path",) if key in path.attrib})
    path.attrib["transform"] = "scale(.1)"
    path.attrib["style"] = WIDTH.sub(lambda match: f"stroke-width:{10 * float(match[1]):.4g}", path.attrib["style"])
    group.append(path)
    return group


def _defined(root: Element) -> Iterator[Element]:
    for definitions in root.iter("defs"):
        yield from (path for path in definitions.iter("path") if "id" in path.attrib)


def _as_path(element: Element, circles: dict[str, str]) -> Element | None:
    """A path, or a circle as a path without length and with round ends; None for all else."""
    if element.tag == "path" and "id" not in element.attrib:
        return element
    used, clip = element, element.attrib.get("clip-path")
    if element.tag == "g" and set(element.attrib) == {"clip-path"} and len(element) == 1:
        used = element[0]
    radius = circles.get(used.attrib.get("href", ""))
    if used.tag != "use" or radius is None or "stroke:" in used.attrib.get("style", ""):
        return None
    style = used.attrib["style"].replace("fill", "stroke")
    path = Element("path", {"d": f"M{_coarse(used, 'x')} {_coarse(used, 'y')}h0"})
    path.attrib["style"] = f"fill:none;{style};stroke-width:{2 * float(radius):.4g};stroke-linecap:round"
    if clip:
        path.attrib["clip-path"] = clip
    return path


def _coarse(element: Element, key: str) -> str:
    return f"{float(element.attrib[key]):.1f}".removesuffix(".0")


def _style(path: Element) -> tuple[str | None, ...]:
    return path.attrib.get("style"), path.attrib.get("clip-path"), path.attrib.get("transform")


def _with_own_ids(root: Element, name: str) -> None:
    """Names of clips and markers that no other figure of the page has."""
    letters = {path.attrib["id"] for path in _defined(root) if path.attrib.get("transform", "").startswith("scale")}
    own = {element.attrib["id"] for element in root.iter() if "id" in element.attrib} - letters
    short = {old: f"{name}-{number}" for number, old in enumerate(sorted(own))}
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id" and value in short:
                element.attrib[key] = short[value]
            elif key == "href" and value[1:] in short:
                element.attrib[key] = f"#{short[value[1:]]}"
            elif key == "clip-path":
                element.attrib[key] = re.sub(r"#(\w+)", lambda match: f"#{short[match[1]]}", value)
