"""UMAP where it is installed; a stand-in that only checks what it is given, where it is not."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lowerbound.foundation.errors import UsageError
from lowerbound.serving.explorer import projection
from lowerbound.serving.explorer.projection import umap_plane


def test_umap_gets_all_codes_and_a_seed(monkeypatch):
    given = {}

    class Method:
        def __init__(self, **settings):
            given.update(settings)

        def fit_transform(self, codes):
            return codes[:, :2].astype(np.float64)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Method, __spec__=None))
    monkeypatch.setattr(projection, "has_umap", lambda: True)
    codes = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    plane = umap_plane(codes)
    assert plane.dtype == np.float32
    np.testing.assert_array_equal(plane, codes[:, :2])
    assert given == {"n_components": 2, "random_state": 0, "n_jobs": 1}
    with pytest.raises(UsageError, match="at least 16 examples; this run has 15"):
        umap_plane(codes[:15])


@pytest.mark.slow  # numba compiles it
def test_umap_keeps_groups_apart():
    pytest.importorskip("umap", reason="umap-learn is an extra of the user's")
    groups = np.repeat([[0.0, 0, 0], [9, 9, 9]], 40, axis=0)
    plane = umap_plane(groups + np.random.default_rng(0).normal(size=groups.shape))
    centres = plane[:40].mean(0), plane[40:].mean(0)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * np.linalg.norm(plane[:40] - centres[0], axis=1).max()
