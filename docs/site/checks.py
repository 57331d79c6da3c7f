"""Checks of the built site: internal links lead somewhere, nothing is loaded from elsewhere, pages are small."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGEST_PAGE = 2**20  # bytes
LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}
NOT_LOADED = {"canonical", "alternate", "prev", "next"}
"""Kinds of <link> that a browser does not load."""

STYLE_URL = re.compile(r"""url\(\s*["']?((?:https?:)?//[^"')]+)|@import\s+["']((?:https?:)?//[^"']+)""")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADING and found.get(LOADING[tag]) and found.get("rel") not in NOT_LOADED:
            self.loads.append(found[LOADING[tag]])


def problems_of(site: Path, apart: set[str]) -> list[str]:
    """What is wrong with the site, one line each; files named in `apart` may be large and are not parsed."""
    pages = {path: _parsed(path) for path in sorted(site.rglob("*.html")) if path.name not in apart}
    found = [line for path, page in pages.items() for line in _of_page(site, path, page, pages)]
    styles = (
        f"{path.relative_to(site)} loads {url}"
        for path in site.rglob("*.css")
        for match in STYLE_URL.finditer(path.read_text(encoding="utf-8"))
        for url in match.groups()
        if url
    )
    return found + list(styles)


def _parsed(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _of_page(site: Path, path: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    name = path.relative_to(site)
    if path.stat().st_size > LARGEST_PAGE:
        yield f"{name} has {path.stat().st_size / 2**20:.1f} MiB"
    for url in page.loads:
        if urlsplit(url).netloc:
            yield f"{name} loads {url}"
    for link in page.links + page.loads:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or name.name == "404.html":
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.exists():
            yield f"{name} links to {link}, which does not exist"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids | {"__top"}:
            yield f"{name} links to {link}, which has no such heading"
