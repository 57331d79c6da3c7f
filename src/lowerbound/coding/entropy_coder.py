"""The entropy coder: asymmetric numeral systems by the library constriction, an extra.

It is a stack of bits: what was pushed last is popped first, and popping with any model, then pushing with the same one,
changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from lowerbound.foundation.errors import DataError, UsageError

Stack = Any
"""constriction's AnsCoder."""

Model = Any
"""One of constriction's distributions of whole numbers."""

PRECISION = 24  # bits of a probability, and so the longest code of one symbol


def stack(words: np.ndarray | None = None) -> Stack:
    """An empty stack, or one of words that another returned; UsageError without the library."""
    coder = _constriction().stream.stack.AnsCoder
    return coder() if words is None else coder(words)


def normal(low: int, high: int, mean: float, deviation: float) -> Model:
    """A normal on whole numbers from `low` to `high`, each of which has a probability of at least 2^-24."""
    return _constriction().stream.model.QuantizedGaussian(low, high, mean, deviation)


@cache
def decision() -> Model:
    """Yes or no, with a probability of yes given for each."""
    return _constriction().stream.model.Bernoulli(perfect=False)


@contextmanager
def refusing_nonsense() -> Iterator[None]:
    """DataError for what the library refuses, which it does by exceptions that no `except Exception` catches."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException" and not isinstance(error, ValueError):
            raise
        raise DataError("its words are not those of any examples") from None


def _constriction() -> Any:
    try:
        return import_module("constriction")
    except ImportError as error:
        raise UsageError(
            "lossless compression needs the package constriction: pip install 'lowerbound[codec]'"
        ) from error
