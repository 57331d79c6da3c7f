"""Latents of all points: encoded, or stored with the results of a run."""

import numpy as np
import torch

from explorer_runs import copied, encoded, trained
from lowerbound.data.batches import scaled
from lowerbound.data.sources import load
from lowerbound.serving.explorer.latents import (
    stored_latents,
    widest_axes,
)
from lowerbound.serving.explorer.loaded_run import load_run
from lowerbound.serving.explorer.points import (
    CHUNK,
    load_points,
)


def test_codes_are_the_models_own(loaded):
    splits, codes = load(loaded.experiment.data), encoded(loaded, load_points(loaded))
    with torch.inference_mode():
        posterior = loaded.model.encode(
            torch.cat([scaled(part) for part in (splits.train, splits.validation, splits.test)])
        )
    torch.testing.assert_close(torch.from_numpy(codes.mean), posterior.mean)
    torch.testing.assert_close(torch.from_numpy(codes.log_variance), posterior.log_variance)
    assert len(codes) > CHUNK  # several parts


def test_a_deterministic_code_has_no_variance(tmp_path_factory):
    plain = load_run(trained(tmp_path_factory, "plain"), "cpu")
    codes = encoded(plain, load_points(plain))
    assert codes.log_variance is None
    assert set(codes.arrays()) == {"mean", "labels", "split"}


def test_stored_codes_are_those_of_the_test_split(loaded):
    codes, stored = encoded(loaded, load_points(loaded)), stored_latents(loaded)
    np.testing.assert_allclose(stored.mean, codes.mean[-360:], atol=1e-5)
    np.testing.assert_array_equal(stored.labels, codes.labels[-360:])
    assert stored.log_variance is None


def test_without_results_there_are_no_stored_codes(loaded, tmp_path):
    path = copied(loaded.path, tmp_path / "a")
    (path / "results.safetensors").unlink()
    assert stored_latents(load_run(path, "cpu")) is None


def test_the_widest_axes_come_first():
    mean = np.random.default_rng(0).normal(size=(1000, 4)) * [1, 3, 0.1, 2]
    assert widest_axes(mean) == [1, 3]
    assert widest_axes(mean[:, :1]) == [0]
