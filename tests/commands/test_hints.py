"""Errors of the Python interface name no command-line options; the command line adds those that the remedy needs."""

import ast
import re
from pathlib import Path

import pytest

import lowerbound
from lowerbound.commands.hints import HINTS, with_hint
from lowerbound.foundation.errors import DataError, UnknownName, UsageError

ROOT = Path(lowerbound.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMAND = re.compile(r"`lowerbound (?!report)[a-z]+")
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if "commands" not in path.parts]


def raised(tree):
    """The calls in `raise` statements, and their constant texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            texts = [inner.value for inner in ast.walk(node.exc) if isinstance(inner, ast.Constant)]
            yield node, [text for text in texts if isinstance(text, str)]


@pytest.mark.parametrize("pattern", [OPTION, COMMAND])
def test_no_error_outside_the_commands_names_an_option_or_a_command(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {text}"
        for path in MODULES
        for node, texts in raised(ast.parse(path.read_text(encoding="utf-8")))
        for text in texts
        if pattern.search(text) and "curl" not in text
    ]
    assert found == []


def test_every_hint_that_an_error_carries_is_known_and_every_known_one_is_carried():
    carried = {
        keyword.value.value
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "hint" and isinstance(keyword.value, ast.Constant)
    }
    assert carried - {""} <= set(HINTS)
    assert set(HINTS) - carried <= {"settings"}


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (UsageError("nothing to add."), "nothing to add."),
        (
            UsageError("it is taken.", hint="occupied", path="a b"),
            "it is taken. Options: --out DIR, or --resume 'a b'",
        ),
        (DataError("raise the limit data.max_gib to 5."), "raise the limit data.max_gib to 5. Option: --max-gib GIB."),
        (
            DataError('leave the column out: set data.exclude=["x"].'),
            'leave the column out: set data.exclude=["x"]. Settings are given as --set SECTION.KEY=VALUE.',
        ),
        (UnknownName("key", "data.sizes", ["data.size"]), None),
    ],
)
def test_options_follow_the_remedy_that_needs_them(error, shown):
    assert with_hint(error) == (shown or f"{error} Option: --size WIDTHxHEIGHT.")
