"""Which runs are served, and under which names."""

import numpy as np
import pooch
import pytest

from lowerbound.foundation.errors import UnknownName, UsageError
from lowerbound.serving.service.models import load_runs
from lowerbound.serving.service.operations import OPERATIONS, InferenceRequest, compute
from served_models import images_of, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first")


def test_runs_are_named_by_their_folders_or_as_one_likes(run, tmp_path):
    other = write_run(tmp_path / "first", latent_dim=3)
    with pytest.raises(UsageError, match=r"would both be served as 'first'; give one as NAME="):
        load_runs([str(run), str(other)], "cpu", "torch")
    first, second = load_runs([str(run), f"second={other}"], "cpu", "torch")
    assert (first.name, second.name) == ("first", "second")
    assert first.version != second.version
    assert second.schema == images_of((28, 28, 1))
    for name in ("a name", "a/b", "", "x" * 65):
        with pytest.raises(UsageError, match="cannot be served as"):
            load_runs([f"{name}={run}"], "cpu", "torch")


@pytest.mark.parametrize("operation", ["encode", "reconstruct", "score"])
def test_a_run_computed_by_onnx_runtime_answers_as_one_computed_by_torch(run, operation, monkeypatch, tmp_path):
    pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    (torch_run,), (onnx_run,) = (load_runs([str(run)], "cpu", engine) for engine in ("torch", "onnx"))
    assert (torch_run.engine_notes, onnx_run.engine_notes) == ((), ("engine: onnx",))
    x = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    requests = [InferenceRequest(num_examples=5, x=x, seed=3)]
    (expected,), (found,) = (compute(OPERATIONS[operation], each.model, requests) for each in (torch_run, onnx_run))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def test_an_engine_that_does_not_exist_is_refused(run):
    with pytest.raises(UnknownName, match="engine"):
        load_runs([str(run)], "cpu", "jax")
