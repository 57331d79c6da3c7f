"""What several tests share: double precision, and a model whose posterior and evidence are known exactly."""

import gc
import inspect
import os
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from jaxtyping import config as annotation_checks
from torch import Tensor

import checked_calls  # noqa: F401 first: it changes how the package is checked
from linear_models import exact_model
from lowerbound.data.synthetic import LinearGaussian, orthogonal_linear_gaussian
from lowerbound.evaluation import metrics
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.reporting import report, theme
from lowerbound.reporting.tiles import as_png

# Models here are tiny: one thread is as fast as two, and on a busy machine many times faster. So also for the processes
# that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

TESTS = Path(__file__).parent
RENDERED = {"reporting", "test_cli.py"}
"""Folders and files of tests that look at figures, or compare them with those of another process."""

DRAWN = {"end_to_end", "test_run.py"}
"""Those whose figures are drawn, but not rendered, which takes most of the time of a report."""

PIXEL = as_png(np.zeros((1, 1, 3), np.uint8))

# The same examples on every run, and no deadline: a busy machine is no failure.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


LONG = (
    "test_faults.py", "test_page.py", "test_offline.py", "test_onnx_form.py", "test_own_parts.py", "test_cli.py",
    "test_annealing.py", "test_scatter.py", "test_scatter_gestures.py", "test_resuming.py",
    "test_estimator.py", "test_extending.py", "test_kinds_of_data.py", "test_own_data.py", "test_health_metrics.py",
    "test_hostile_names.py", "test_terminal.py", "test_full_evaluation.py", "test_quadrature.py", "test_process.py",
)  # fmt: skip
"""Files that take more than about ten seconds: the first to be handed to workers, so that all end together."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Each worker collects under a clock of its own, as it has a hash seed of its own: they stop if names differ."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with pytest.MonkeyPatch.context() as patch:
        now = time.time
        patch.setattr(time, "time", lambda: now() + 100_000.5 * worker)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; everything else in its order."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: without them, collecting garbage takes a fraction of the time."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes give a test no name: gzip writes the time into them, and processes must agree on the names of tests."""
    return argname if isinstance(val, bytes) else None


# The module, not the function, is the scope: hypothesis runs many examples within one function.
@pytest.fixture(scope="module")
def float64() -> Iterator[None]:
    """Double precision wherever no other type is named."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module", autouse=True)
def cheaper_reports(request: pytest.FixtureRequest) -> Iterator[None]:
    """Reports have figures only where tests are about figures or about whole runs."""
    places = set(request.path.relative_to(TESTS).parts)
    with pytest.MonkeyPatch.context() as patch:
        if not places & RENDERED:
            patch.setattr(theme, "png", lambda figure: PIXEL)
            patch.setattr(theme, "svg", lambda figure: b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/>")
        if not places & (RENDERED | DRAWN):
            patch.setattr(report, "plots_for", lambda results: {})
        yield


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, for a test among others that look at them."""
    monkeypatch.setattr(report, "plots_for", lambda results: {})


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation integrates few examples unless a setting says otherwise: for programs that are run as they stand."""
    defaults = inspect.unwrap(EvaluationConfig.__init__).__kwdefaults__  # which the type checker wraps
    for key, value in (("num_exact", 4), ("num_draws", 2)):
        monkeypatch.setitem(defaults, key, value)


@pytest.fixture(autouse=True)
def failing_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that fails stops the evaluation, where it would be left out: no fault hides behind it."""
    monkeypatch.setattr(metrics, "CAUGHT", ())


@pytest.fixture
def unchecked() -> Iterator[None]:
    """As a user's program runs: annotations are not enforced, so that wrong types reach the code itself."""
    annotation_checks.update("jaxtyping_disable", True)
    yield
    annotation_checks.update("jaxtyping_disable", False)


@dataclass(frozen=True, eq=False)
class LinearGaussianModel:
    """A VAE without hidden layers that holds the exact posterior of `data`, and examples drawn from it."""

    data: LinearGaussian
    model: VAE
    x: Tensor
    log_evidence: Tensor  # log p(x), exact, in nats

    def with_posterior_moved(self, mean: float, log_variance: float) -> VAE:
        """The same model with every posterior moved by these amounts: a wrong encoder of known wrongness."""
        model = deepcopy(self.model)
        with torch.no_grad():
            means, log_variances = model.encoder.heads.bias.chunk(2)
            means += mean
            log_variances += log_variance
        return model


@pytest.fixture
def linear_gaussian() -> LinearGaussianModel:
    """Eight examples of shape 1×2×3, two latents, all in float64."""
    data = orthogonal_linear_gaussian(6, 2, sigma=0.5, generator=generator(0, "data"))
    model = exact_model(data, event_shape=(1, 2, 3))
    x = data.sample(8, generator(0, "examples"))
    return LinearGaussianModel(data, model, x.unflatten(-1, (1, 2, 3)), data.log_evidence(x))
