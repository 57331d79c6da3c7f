"""Examples in the docstrings of public names and their methods, run as doctests.

They are run in a folder with two finished runs of the digits, runs/dense and runs/conv, with `lb` and `np` imported.
"""

import doctest
import inspect
from collections.abc import Iterator
from contextlib import chdir
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

import lowerbound as lb

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def documented() -> Iterator[tuple[str, Any]]:
    """The public names and what they stand for, except tables of names."""
    for name in lb.__all__:
        thing = inspect.unwrap(getattr(lb, name))
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing


def examples() -> list[doctest.DocTest]:
    """The examples of all public names, in their order."""
    finder = doctest.DocTestFinder()
    found = (finder.find(thing, name, module=False, globs={"lb": lb, "np": np}) for name, thing in documented())
    return [test for tests in found for test in tests if test.examples]


def failures_in(folder: Path) -> list[str]:
    """Run all examples in a folder; what failed, with what was expected."""
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    said = []
    with chdir(folder):
        for test in examples():
            printed = StringIO()
            if runner.run(test, out=printed.write).failed:
                said.append(f"example of lb.{test.name}: {printed.getvalue()}")
    return said
