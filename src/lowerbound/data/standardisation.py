"""Standardisation of features to zero mean and unit variance, and back, in float64.

float32 keeps seven digits: it cannot resolve the last minute of a time in seconds since 1970, and squares of 1e20
overflow. So the mean is subtracted and the scale divided out before converting to float32, and log-densities are
converted back to the data's unit: log p(x) = log p(standardised x) - Σ log scale, over the known cells.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Num


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Location and scale of each feature."""

    location: Float64[np.ndarray, " feature"]  # NaN if no row has a value: later values are missing as well
    scale: Float64[np.ndarray, " feature"]  # 1 if all values are equal

    def standardised(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row feature"]:
        """Rows in standard deviations around the mean."""
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            return (rows.astype(np.float64) - self.location) / self.scale

    def restored(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row feature"]:
        """Standardised rows in the data's own unit; NaN in features without values."""
        return rows.astype(np.float64) * self.scale + self.location

    def log_volume(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, " row"]:
        """Σ log scale over the known cells of each standardised row."""
        return np.where(np.isnan(rows), 0.0, np.log(self.scale)).sum(axis=1)


def unchanged(num_features: int) -> Standardisation:
    """The identity."""
    return Standardisation(np.zeros(num_features), np.ones(num_features))


def standardisation_of(rows: Num[np.ndarray, "row feature"]) -> Standardisation:
    """Mean and standard deviation of each feature, over the rows that have a value."""
    pairs = [_mean_and_deviation(column[~np.isnan(column)]) for column in rows.astype(np.float64).T]
    location, scale = np.array(pairs).T
    return Standardisation(location, scale)


def _mean_and_deviation(known: Float64[np.ndarray, " row"]) -> tuple[float, float]:
    if not known.size:
        return np.nan, 1.0
    if known.min() == known.max():
        return float(known[0]), 1.0
    # In units of the largest number: squares of 1e200 overflow, those of 1e-200 vanish.
    unit = np.abs(known).max()
    mean = (known / unit).mean() * unit
    mean += (known - mean).mean()  # corrects rounding
    centred = known - mean
    centred -= centred.mean()  # from 1e12 on, the float nearest to the mean is not the mean
    unit = np.abs(centred).max()
    return float(mean), float(np.sqrt(((centred / unit) ** 2).mean()) * unit)
