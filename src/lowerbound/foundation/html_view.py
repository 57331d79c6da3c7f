"""HTML views of results in notebooks: small fragments of tables and pictures, in the colours of the page around them.

A view loads nothing and has no scripts. It inherits colours and fonts, so it is legible on light and dark themes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

STYLE = """<style>
.lowerbound-view { color: inherit; line-height: 1.4; max-width: 60rem; overflow-x: auto; }
.lowerbound-view p { margin: 0.2em 0; }
.lowerbound-view .note { opacity: 0.75; }
.lowerbound-view .key { font-size: 1.4em; }
.lowerbound-view .row { display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end; margin: 0.6em 0; }
.lowerbound-view figure { margin: 0; }
.lowerbound-view figcaption { opacity: 0.75; font-size: 0.85em; }
.lowerbound-view img { display: block; max-width: 100%; height: auto; margin: 0; }
.lowerbound-view table { border-collapse: collapse; margin: 0.4em 0; color: inherit; font-size: inherit; }
.lowerbound-view th, .lowerbound-view td { text-align: left; padding: 0.15em 0.8em 0.15em 0; color: inherit;
  border: none; border-bottom: 1px solid rgba(128, 128, 128, 0.35); vertical-align: top; }
.lowerbound-view td.number, .lowerbound-view th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.lowerbound-view summary { cursor: pointer; }
</style>"""


class Html(str):
    """Text that is HTML already; all other text is escaped."""


def view(title: str, *parts: str) -> str:
    """A view with a title; `parts` are its paragraphs, tables and pictures, of which empty ones are left out."""
    content = "\n".join(_html(part) for part in parts if part)
    return f'{STYLE}\n<div class="lowerbound-view">\n<p><strong>{escape(title)}</strong></p>\n{content}\n</div>'


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph; `kind` is "key" for the most important number, "note" for an aside."""
    return Html(f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>") if text else Html()


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> Html:
    """A table; the columns whose positions are in `right` are aligned as numbers."""
    lines = [_row("th", header, right), "</thead><tbody>", *(_row("td", row, right) for row in rows)]
    return Html(f"<table><thead>{''.join(lines)}</tbody></table>")


def facts(rows: Mapping[str, str]) -> Html:
    """A table of names and values, without those whose value is empty."""
    lines = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items() if value]
    return Html(f"<table><tbody>{''.join(lines)}</tbody></table>")


def folded(summary: str, *parts: str) -> Html:
    """Parts that are shown on a click."""
    content = "".join(_html(part) for part in parts if part)
    return Html(f"<details><summary>{escape(summary)}</summary>{content}</details>")


def figure(content: Html, caption: str) -> Html:
    """A picture, such as an <img> or <svg>, with its caption."""
    return Html(f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>")


def image(source: str, alternative: str, width: int) -> Html:
    """An image from a data URL, `width` CSS pixels wide, with the text for those who cannot see it."""
    assert source.startswith("data:")  # a view loads nothing
    return Html(f'<img src="{escape(source)}" alt="{escape(alternative)}" width="{width}">')


def in_row(*parts: Html) -> Html:
    """Parts beside one another where the page is wide enough."""
    return Html(f'<div class="row">{"".join(parts)}</div>') if any(parts) else Html()


def _row(cell: str, texts: Sequence[str], right: Collection[int]) -> str:
    number = ' class="number"'
    cells = (f"<{cell}{number if index in right else ''}>{escape(text)}</{cell}>" for index, text in enumerate(texts))
    return f"<tr>{''.join(cells)}</tr>"


def _html(part: str) -> str:
    return part if isinstance(part, Html) else escape(part)
