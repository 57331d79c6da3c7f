"""Validation of the scikit-learn estimator's inputs: parameters, rows, codes, numbers of samples.

Every error is a ValueError of one line that names the input and what is accepted, and never shows the data.
"""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from lowerbound.data.reading import MAX_BYTES, format_bytes, format_shape
from lowerbound.foundation.errors import UnknownName
from lowerbound.foundation.text import one_line
from lowerbound.probability.likelihoods import LIKELIHOODS

AN_INTEGER = "an integer of at least 1"
SHORTER = {
    "contains NaN": "Input X contains NaN; only likelihood='table' accepts missing values.",
    "Expected 2D array": "X does not have two dimensions. Reshape your data: X.reshape(1, -1) for one row.",
    "Complex data not supported": "Complex data not supported; pass real numbers.",
    "Cannot cast": "X contains columns that are not numbers; pass numbers (encode categories first).",
    "could not convert string": "X contains text; pass numbers (encode categories first).",
}
"""Replacements for messages of scikit-learn that have several lines or contain data, by a part of them."""


def check_parameters(estimator: BaseEstimator) -> None:
    """ValueError for the first invalid parameter."""
    for name, (is_accepted, accepted) in PARAMETERS.items():
        value = getattr(estimator, name)
        if not is_accepted(value):
            raise ValueError(f"{name} is {_shown(value)}; it needs {accepted}.")
    likelihood = estimator.likelihood
    if likelihood != "auto" and likelihood not in LIKELIHOODS:
        raise ValueError(str(UnknownName("likelihood", likelihood, ["auto", *LIKELIHOODS])))


def checked_count(name: str, value: Any) -> int:
    """A count as an int; ValueError for anything but an integer of at least 1."""
    if not _is_integer(value):
        raise ValueError(f"{name} is {_shown(value)}; it needs {AN_INTEGER}.")
    return int(value)


def checked_rows(estimator: BaseEstimator, X: Any, reset: bool, has_missing: bool) -> Float[np.ndarray, "n feature"]:
    """X as scikit-learn validates it, as a dense array; NaN is accepted if `has_missing`."""
    _check_kind(X)
    finite = "allow-nan" if has_missing else True
    kinds = [np.float64, np.float32]
    try:
        rows: np.ndarray = validate_data(estimator, _dense(X), reset=reset, dtype=kinds, ensure_all_finite=finite)
    except ValueError as error:
        raise ValueError(_in_one_line(str(error))) from error
    if reset and np.isnan(rows).all():
        raise ValueError("X has no values: all its cells are NaN; pass rows with numbers.")
    return rows


def _check_kind(X: Any) -> None:
    """ValueError for masked arrays, dates and durations, which numpy would silently convert to numbers."""
    if np.ma.isMaskedArray(X):
        raise ValueError("X is a masked array; pass X.filled(np.nan), with likelihood='table'.")
    kinds = {getattr(kind, "kind", "") for kind in getattr(X, "dtypes", [getattr(X, "dtype", None)])}
    if kinds & {"M", "m"}:
        raise ValueError("X contains dates or durations; pass numbers.")


def checked_codes(Z: Any, latent_dim: int) -> Float64[np.ndarray, "n latent"]:
    """Codes as a float64 array; ValueError for a wrong width, and for values that are not finite."""
    expected = f"expected an array of n×{latent_dim} codes, as transform gives them"
    try:
        codes = np.array(Z, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Z does not contain numbers in rows of equal length; {expected}.") from error
    if codes.ndim != 2 or codes.shape[1] != latent_dim:
        raise ValueError(f"Z has the shape {format_shape(codes.shape)}; {expected}.")
    if not np.isfinite(codes).all():
        row, column = np.argwhere(~np.isfinite(codes))[0].tolist()
        raise ValueError(f"Z: row {row}, column {column} is {codes[row, column]}; {expected}, all finite.")
    return codes


def _dense(X: Any) -> Any:
    if not sparse.issparse(X):
        return X
    if (size := 8 * int(np.prod(X.shape, dtype=object))) > MAX_BYTES:
        raise ValueError(
            f"X is sparse and takes {format_bytes(size)} as a dense array, but the limit is {format_bytes(MAX_BYTES)}; "
            "reduce its features first, such as with TruncatedSVD."
        )
    return X.toarray()


def _in_one_line(message: str) -> str:
    return next((shorter for part, shorter in SHORTER.items() if part in message), one_line(message))


def _shown(value: Any) -> str:
    return one_line(repr(value), 60)


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _are_widths(value: Any) -> bool:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return (is_sequence or (isinstance(value, np.ndarray) and value.ndim == 1)) and all(map(_is_integer, value))


def _is_rate(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf


def _is_random_state(value: Any) -> bool:
    try:
        check_random_state(value)
    except ValueError:
        return False
    return True


PARAMETERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "latent_dim": (_is_integer, AN_INTEGER),
    "hidden": (_are_widths, f"a sequence of widths, each {AN_INTEGER}, such as (128,)"),
    "likelihood": (lambda value: isinstance(value, str), "a name, such as 'auto'"),
    "num_epochs": (_is_integer, AN_INTEGER),
    "batch_size": (_is_integer, AN_INTEGER),
    "learning_rate": (_is_rate, "a finite number above 0"),
    "random_state": (_is_random_state, "an integer from 0, a numpy RandomState or None"),
}
