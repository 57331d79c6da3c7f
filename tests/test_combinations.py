"""The table of what goes with what in docs/models.md is true: every kind of model at every door, or refused in a line.

python tests/test_combinations.py     # prints the table
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import lowerbound as lb
from lowerbound.evaluation.config import AnnealingConfig, EvaluationConfig
from lowerbound.evaluation.full_evaluation import FULL
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.errors import LowerboundError
from lowerbound.inference.engine import choose_engine
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.http.access import access_for
from lowerbound.serving.portable.export import export
from lowerbound.serving.service.application import build_application
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import load_runs

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
HEADING = "## What goes with what"
YES, NO = "yes", "–"

VECTORS = {"num_codes": 8, "code_dim": 2}

KINDS = {
    "`diagonal-normal`, for comparison": {},
    "`condition_on=label`": {"condition_on": ["label"]},
    "the same with prior `conditional-normal`": {"condition_on": ["label"], "prior": "conditional-normal"},
    "`classifier=true`, semi-supervised": {"condition_on": ["label"], "classifier": True},
    "levels, `bottom-up`": {"levels": [1, 1], "hierarchy": "bottom-up"},
    "levels, `ladder`": {"levels": [1, 1], "hierarchy": "ladder"},
    "levels, `residual`": {"levels": [1, 1], "hierarchy": "residual"},
    "`vq`": {"posterior": "vq", "latent_dim": 4, "posterior_options": VECTORS},
    "`residual-vq`": {"posterior": "residual-vq", "latent_dim": 4, "posterior_options": VECTORS},
    "`fsq`": {"posterior": "fsq", "latent_dim": 4, "posterior_options": {"levels": "4,4"}},
    "`gumbel-softmax`": {"posterior": "gumbel-softmax", "latent_dim": 20},
    "latents on a map, `conv-map`": {"network": "conv-map", "channels": [4, 4], "latent_dim": 8},
}
DATA = {"`classifier=true`, semi-supervised": {"num_labelled": 50}}

QUICK = ("`condition_on=label`", "levels, `ladder`", "`fsq`")
"""Kinds that the fast tests try; `make test-slow` tries all."""


@cache
def run_of(kind: str) -> lb.Run:
    folder = Path(tempfile.mkdtemp())
    settings = {
        "data": DATA.get(kind, {}),
        "model": {"hidden": [16], "likelihood": "discretized-logistic", **KINDS[kind]},
        "training": {"min_steps": 0},
        "evaluation": {"num_draws": 2, "after_training": False},
    }
    return lb.train("digits", recipe="dense", epochs=1, settings=settings, out=folder / "run")


def subject_of(run: lb.Run) -> Subject:
    annealing = AnnealingConfig(num_temperatures=4, num_chains=2, num_leapfrog=1)
    config = EvaluationConfig(
        num_draws=2, num_exact=2, num_bounded=4, importance_draws=20, num_annealed=2, annealing=annealing, num_coded=3
    )
    splits = run.splits()
    few = splits.test.first(20)
    return Subject(run.model.vae, replace(splits, train=few, validation=few, test=few), config, run.model.convention)


def metric(*names: str) -> Callable[[lb.Run, ExitStack], str]:
    """The reason why none of some metrics applies, or nothing once one was measured."""

    def door(run: lb.Run, stack: ExitStack) -> str:
        subject = subject_of(run)
        reasons = {name: FULL[name].applies(subject) for name in names}
        name = next((name for name, reason in reasons.items() if not reason), "")
        if not name:
            return reasons[names[0]]
        known = FULL["test scores"].measure(subject)
        FULL[name].measure(replace(subject, known=subject.known | known))
        return ""

    return door


def labels(run: lb.Run, num: int) -> dict[str, object]:
    return {"labels": ["3"] * num} if run.model.schema.conditions else {}


def given(run: lb.Run, num: int) -> dict[str, object]:
    return {"given": {"label": ["3"] * num}} if run.model.schema.conditions else {}


def scored(run: lb.Run, stack: ExitStack) -> str:
    subject = subject_of(run)
    scores = {score.name: score.value for score in FULL["test scores"].measure(subject).scores}
    assert scores["elbo"] == pytest.approx(-scores["distortion"] - scores["rate"])
    config = replace(subject.config, num_annealed=0)
    results = lb.evaluate(run.model, run.splits().test.values[:4], config=config, **labels(run, 4))
    assert np.isfinite(results.score("elbo").value)
    return ""


def sampled(run: lb.Run, stack: ExitStack) -> str:
    assert run.model.generate(3).shape == (3, 8, 8, 1)
    assert run.model.reconstruct(run.splits().test.values[:2], **given(run, 2)).shape == (2, 8, 8, 1)
    return ""


def compressed(run: lb.Run, stack: ExitStack) -> str:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    lb.compress(run, run.splits().test.values[:2], folder / "few.lb")
    return ""


def exported(run: lb.Run, stack: ExitStack) -> str:
    files = export(run.path, out=Path(stack.enter_context(tempfile.TemporaryDirectory())) / "onnx").files
    return "" if any(file.path.name == "vae.onnx" for file in files) else "the encoder and the decoder alone"


def explored(run: lb.Run, stack: ExitStack) -> str:
    client = stack.enter_context(TestClient(application(run.path, device="cpu")))
    ident = client.get("/api/runs").json()["runs"][0]["id"]
    assert client.get(f"/api/runs/{ident}/points/3").json()["elbo"] is not None
    answer = client.post(f"/api/runs/{ident}/sample", json={"num": 2})
    assert answer.status_code == 200, answer.text
    return ""


def offline(run: lb.Run, stack: ExitStack) -> str:
    write_offline(run.path, Path(stack.enter_context(tempfile.TemporaryDirectory())) / "page.html")
    return ""


def served(run: lb.Run, stack: ExitStack) -> str:
    app = build_application(load_runs([f"digits={run.path}"], "cpu"), Limits(), access_for("127.0.0.1"))
    client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1"))
    for operation in ("encode", "reconstruct", "score", "generate", "decode"):
        body = client.get(f"/example.json?model=digits.{operation}").json()
        answer = client.post(f"/v2/models/digits.{operation}/infer", json=body)
        assert answer.status_code == 200, answer.text
    return ""


def engine(run: lb.Run, stack: ExitStack) -> str:
    images = run.splits().test
    choose_engine("onnx", run.path, run.model.vae, {"encoder": 2, "decoder": 2}, lambda most: images.first(most))
    return ""


def fitted(run: lb.Run, stack: ExitStack) -> str:
    out = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fitted"
    lb.fit_prior(run, components=2, out=out)
    return ""


DOORS: dict[str, Callable[[lb.Run, ExitStack], str]] = {
    "scores": scored,
    "samples": sampled,
    "exact log p(x)": metric("log-evidence by quadrature", "log-evidence by enumeration"),
    "importance weighting": metric("importance-weighted bounds"),
    "annealing": metric("annealing test examples"),
    "compression": compressed,
    "ONNX, whole": exported,
    "explorer": explored,
    "offline page": offline,
    "service": served,
    "mixture by `fit-prior`": fitted,
}


def outcome(kind: str, door: str) -> str:
    """Nothing if a kind goes with a door, else the reason that was given."""
    with ExitStack() as stack:
        try:
            return DOORS[door](run_of(kind), stack)
        except LowerboundError as error:
            return str(error)


def table() -> dict[tuple[str, str], str]:
    """The cells of the table in the documents, by kind and door."""
    text = PAGE.read_text(encoding="utf-8").partition(f"{HEADING}\n")[2].partition("\n## ")[0]
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in row] for row in rows]
    return {(row[0], door): cell for row in body for door, cell in zip(header[1:], row[1:], strict=True)}


def test_the_table_has_every_kind_and_every_door():
    assert set(table()) == {(kind, door) for kind in KINDS for door in DOORS}


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_kind_of_model_goes_with_what_the_table_says_and_with_nothing_else(kind):
    cells = {door: cell for (row, door), cell in table().items() if row == kind}
    for door, cell in cells.items():
        reason = outcome(kind, door)
        assert (cell == YES) == (reason == ""), (door, reason)
        assert "\n" not in reason


def main() -> None:
    print(f"| | {' | '.join(DOORS)} |")
    print(f"|---|{'---|' * len(DOORS)}")
    for kind in KINDS:
        reasons = {door: outcome(kind, door) for door in DOORS}
        print(f"| {kind} | {' | '.join(NO if reasons[door] else YES for door in DOORS)} |", flush=True)
        for door, reason in reasons.items():
            if reason:
                print(f"    {door}: {reason}", flush=True)


if __name__ == "__main__":
    main()
