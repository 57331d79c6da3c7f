"""umap_plane: the codes of all examples in a plane by UMAP, if the package umap-learn is installed.

Source: McInnes, Healy and Melville, "UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction",
arXiv:1802.03426.
"""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Float32

from lowerbound.foundation.errors import UsageError

PACKAGE, INSTALL = "umap", "pip install umap-learn"
MIN_CODES = 16  # its default neighbourhoods have 15 examples
SEED = 0


def has_umap() -> bool:
    """Whether UMAP is installed."""
    return find_spec(PACKAGE) is not None


def umap_plane(codes: Float[np.ndarray, "n latent"]) -> Float32[np.ndarray, "n 2"]:
    """The codes in a plane, the same for each call; UsageError without the package, or for too few codes."""
    if not has_umap():
        raise UsageError(f"UMAP is not installed; `{INSTALL}` installs it.")
    if len(codes) < MIN_CODES:
        raise UsageError(f"UMAP needs at least {MIN_CODES} examples; this run has {len(codes)}.")
    # Seeded, and so on one thread, as the package would otherwise warn.
    method = import_module(PACKAGE).UMAP(n_components=2, random_state=SEED, n_jobs=1)
    plane: Float32[np.ndarray, "n 2"] = np.asarray(method.fit_transform(codes), np.float32)
    return plane
