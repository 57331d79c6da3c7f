"""Formulas in Markdown, $...$ and $$...$$, to MathML, which browsers typeset without scripts or a network."""

import re

from latex2mathml.converter import convert

CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?![\w$])")
TAG = re.compile(r"\\tag\{(.+?)\}")

# TeX sets a thin space between an operator and its argument, unless that is in brackets.
OPERATOR = re.compile(r"(\\(?:log|exp|max|min|det)(?:_\w)?) (?![(\[]|\\left)")
UPRIGHT = re.compile(r'(?:<mi mathvariant="normal">\w</mi>){2,}')
SIGN = re.compile(r"(<mo[^>]*>(?:&#x0003D;|&#x0002C;|&#x00028;|\[)</mo>)<mo>(?=&#x02212;)")  # a minus after = , ( [
CORRECTED = {
    "<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>",  # a tilde for "is distributed as"
    'width="thinmathspace"': 'width="0.1667em"',  # browsers do not know the name
    "<mo>&#x0002F;</mo>": '<mo lspace="0" rspace="0">&#x0002F;</mo>',
    "<mo>max</mo>": "<mi>max</mi>",
    "<mo>min</mo>": "<mi>min</mi>",
    "<mo>det</mo>": "<mi>det</mi>",
    "<mi>&#x02308;</mi>": '<mo stretchy="false">&#x02308;</mo>',
    "<mi>&#x02309;</mi>": '<mo stretchy="false">&#x02309;</mo>',
    "<mo>&#x0007C;</mo>": '<mo stretchy="false">&#x0007C;</mo>',  # as \lvert, which does not grow
    "<mo>&#x02016;</mo>": '<mo stretchy="false">&#x02016;</mo>',
}


def with_mathml(text: str) -> str:
    """The text with every formula outside of code as MathML."""
    parts = CODE.split(text)
    return "".join(part if index % 2 else _converted(part) for index, part in enumerate(parts))


def _converted(text: str) -> str:
    text = BLOCK.sub(lambda match: _block(match[1]), text)
    return INLINE.sub(lambda match: f'<span class="formula">{mathml(match[1], "inline")}</span>', text)


def _block(tex: str) -> str:
    tag = TAG.search(tex)
    number = f'<span class="equation-number">({tag[1]})</span>' if tag else ""
    return f'<div class="equation"><div class="formula">{mathml(TAG.sub("", tex), "block")}</div>{number}</div>'


def mathml(tex: str, display: str) -> str:
    """A formula on one line: a line break would end a quote, and a bar a table's cell."""
    spaced = OPERATOR.sub(r"\1\\, ", " ".join(tex.split()))
    if display == "block":
        spaced = spaced.replace(r"\sum_", r"\sum\limits_")  # also within brackets
    found = SIGN.sub(r'\1<mo form="prefix">', UPRIGHT.sub(_one_word, convert(spaced, display=display)))
    for wrong, right in CORRECTED.items():
        found = found.replace(wrong, right)
    if "\\" in found:
        raise ValueError(f"a command that latex2mathml does not know: {tex}")
    return found.replace("|", "&#124;").replace("\n", "")


def _one_word(match: re.Match[str]) -> str:
    return f"<mi>{re.sub('<[^>]+>', '', match[0])}</mi>"
