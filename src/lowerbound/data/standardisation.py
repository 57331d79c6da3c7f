"""Rows of numbers in standard deviations around their mean, feature by feature, and back; all in float64.

float32 keeps seven digits: of times in seconds since 1970 it keeps none of the last minute, and squares of 1e20 are
infinite. So the mean is taken off and the unit divided out before anything is cut to float32, and densities are
brought back to the data's own unit: log p(x) = log p(standardised x) - Σ log scale, over the cells that are there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Num


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Origin and unit of each feature."""

    location: Float64[np.ndarray, " feature"]  # NaN where no row has a value: whatever comes later is missing, too
    scale: Float64[np.ndarray, " feature"]  # 1 where all values are the same

    def standardised(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row feature"]:
        """Rows in standard deviations around the mean."""
        with np.errstate(over="ignore"):  # infinite where float64 ends, and refused as such
            return (rows.astype(np.float64) - self.location) / self.scale

    def restored(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, "row feature"]:
        """Standardised rows in the data's own unit; NaN in features that are not known."""
        return rows.astype(np.float64) * self.scale + self.location

    def log_volume(self, rows: Float[np.ndarray, "row feature"]) -> Float64[np.ndarray, " row"]:
        """Σ log scale over the cells of each standardised row that are there."""
        return np.where(np.isnan(rows), 0.0, np.log(self.scale)).sum(axis=1)


def unchanged(num_features: int) -> Standardisation:
    """Rows as they are."""
    return Standardisation(np.zeros(num_features), np.ones(num_features))


def standardisation_of(rows: Num[np.ndarray, "row feature"]) -> Standardisation:
    """Mean and standard deviation of each feature, over the rows that have it."""
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
    mean += (known - mean).mean()  # what rounding left
    centred = known - mean
    centred -= centred.mean()  # of 1e12 and more the nearest float to the mean is not the mean
    unit = np.abs(centred).max()
    return float(mean), float(np.sqrt(((centred / unit) ** 2).mean()) * unit)
