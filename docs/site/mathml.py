"""Formulas in Markdown, $...$ and $$...$$, to MathML, which browsers typeset without scripts or a network."""

import re

from latex2mathml.converter import convert

CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?![\w$])")
TAG = re.compile(r"\\tag\{(.+?)\}")


def with_mathml(text: str) -> str:
    """The text with every formula outside of code as MathML."""
    parts = CODE.split(text)
    return "".join(part if index % 2 else _converted(part) for index, part in enumerate(parts))


def _converted(text: str) -> str:
    text = BLOCK.sub(lambda match: _block(match[1]), text)
    return INLINE.sub(lambda match: _mathml(match[1], "inline"), text)


def _block(tex: str) -> str:
    tag = TAG.search(tex)
    number = f'<span class="equation-number">({tag[1]})</span>' if tag else ""
    return f'<div class="equation">{_mathml(TAG.sub("", tex), "block")}{number}</div>'


def _mathml(tex: str, display: str) -> str:
    # A bar would end a table's cell, and a line break would end a quote.
    return convert(" ".join(tex.split()), display=display).replace("|", "&#124;").replace("\n", "")
