"""Every door refuses the same value that a model has no meaning for, in one line that says where it is.

A door is whatever takes examples for a trained model. DOORS lists them all: a new one is added here.
"""

import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import lowerbound as lb
from data_files import written
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.foundation.errors import LowerboundError
from lowerbound.inference import anomaly, imputation, tasks
from lowerbound.runs.inputs import InputOptions, read_inputs
from untrained_models import untrained_run

FEW = EvaluationConfig(num_draws=2, importance_draws=4, num_bounded=2, num_gaps=2)
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(3, (40, 4))
BINARY = (RNG.random((40, 8, 8)) > 0.6).astype(np.uint8) * 255
REAL = RNG.normal(size=(40, 4))
TABLE = {
    "height": RNG.normal(170, 9, 60).round(1).tolist(),
    "visits": RNG.geometric(0.3, 60).tolist(),
    "city": RNG.choice(["Ulm", "Köln", "Lyon"], 60).tolist(),
}


def with_value(array, place, value):
    changed = array.astype(float)
    changed[place] = value
    return changed


def with_cell(column, value):
    return {name: [value, *cells[1:5]] if name == column else cells[:5] for name, cells in TABLE.items()}


CASES = {
    "counts": (
        COUNTS,
        {"negative": with_value(COUNTS[:5], (2, 1), -3), "fraction": with_value(COUNTS[:5], (2, 1), 2.5)},
    ),
    "binary": (
        BINARY,
        {"grey": with_value(BINARY[:5], (2, 1, 1), 77), "beyond": with_value(BINARY[:5], (2, 1, 1), 300)},
    ),
    "real": (REAL, {"NaN": with_value(REAL[:5], (2, 1), np.nan), "infinity": with_value(REAL[:5], (2, 1), np.inf)}),
    "table": (
        TABLE,
        {
            "level": with_cell("city", "Paris"),
            "text": with_cell("height", ">190"),
            "comma": with_cell("height", "170,5"),
            "count": with_cell("visits", -1),
            "fraction": with_cell("visits", 2.5),
        },
    ),
}
WRONG = [(kind, case) for kind, (_, wrong) in CASES.items() for case in wrong]


def file_of(folder: Path, values) -> Path:
    """The examples as the file that people would have them in."""
    if not isinstance(values, dict):
        np.save(folder / "new.npy", values)
        return folder / "new.npy"
    rows = [list(values), *map(list, zip(*values.values(), strict=True))]
    text = "".join(";".join(map(str, row)) + "\n" for row in rows)
    return written(folder / "new.csv", text.encode())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return {kind: untrained_run(tmp_path_factory.mktemp(kind), data) for kind, (data, _) in CASES.items()}


def service(at, endpoint):
    """The plain endpoints, with JSON as the body."""
    from lowerbound.serving.http.access import access_for
    from lowerbound.serving.service.application import build_application
    from lowerbound.serving.service.limits import Limits
    from lowerbound.serving.service.models import load_runs

    rows = at.values
    if isinstance(rows, dict):
        rows = [dict(zip(rows, cells, strict=True)) for cells in zip(*rows.values(), strict=True)]
    else:
        rows = np.asarray(rows).tolist()
    application = build_application(load_runs([str(at.run)]), Limits(), access_for("127.0.0.1"), log=lambda line: None)
    with TestClient(application, base_url="http://127.0.0.1") as client:
        answer = client.post(endpoint, content=json.dumps(rows), headers={"content-type": "application/json"})
    if answer.status_code != 200:
        assert answer.status_code in (400, 422)
        raise LowerboundError(answer.json()["error"])


def explorer(at):
    """An image that is dropped on the page: the third of the examples."""
    from lowerbound.data.images import read_image_bytes
    from lowerbound.serving.explorer.loaded_run import load_run
    from lowerbound.serving.explorer.uploads import NAME, read_upload, upload_options

    file = BytesIO()
    Image.fromarray(at.values[2].clip(0, 255).astype(np.uint8)).save(file, "PNG")
    if at.values.max() > 255:  # which no PNG of 8 bits can hold
        raise LowerboundError("element 2,1 is beyond a file's range")
    space = load_run(at.run)
    upload = read_upload(space, read_image_bytes(NAME, file.getvalue(), upload_options(space)))
    if upload.problem:  # the page shows its code, and this in place of a bound
        raise LowerboundError(upload.problem.replace("example 0", "example 2"))


def skipping(at):
    """With --skip-broken there is no refusal, but the example is named and has no score."""
    options = InputOptions(skip_broken=True)
    scored = anomaly.score(at.run, [str(at.path)], options=options)
    assert len(scored.skipped) == 1 and not scored.is_anomalous[~scored.judged.is_scored].any()
    raise LowerboundError(scored.skipped[0])


def estimator(at):
    """The estimator, which has no files: fitted to the same data, images as rows."""
    from lowerbound.estimator import VAE

    data = np.asarray(CASES[at.kind][0], float)
    full_scale = data.max() if at.kind == "binary" else 1.0
    model = VAE(hidden=(4,), likelihood=LIKELIHOODS[at.kind], num_epochs=1).fit(
        data.reshape(len(data), -1) / full_scale
    )
    try:
        model.score_samples(at.values.reshape(len(at.values), -1) / full_scale)
    except ValueError as error:
        raise LowerboundError(f"example 2: {error}") from error


LIKELIHOODS = {"counts": "negative-binomial", "binary": "auto", "real": "auto"}

DOORS = {
    "estimator": estimator,
    "encode": lambda at: tasks.encode(at.run, [str(at.path)], out=at.out),
    "score": lambda at: anomaly.score(at.run, [str(at.path)], out=at.out),
    "score --skip-broken": skipping,
    "reconstruct": lambda at: tasks.reconstruct(at.run, [str(at.path)], out=at.picture),
    "interpolate": lambda at: tasks.interpolate(at.run, str(at.path), str(at.path), out=at.picture),
    "impute": lambda at: imputation.impute(at.run, at.path, at.out),
    "read_inputs": lambda at: read_inputs(at.model, [str(at.path)]),
    "TrainedModel.encode": lambda at: at.model.encode(at.values),
    "TrainedModel.reconstruct": lambda at: at.model.reconstruct(at.values),
    "TrainedModel.score": lambda at: at.model.score(at.values),
    "lb.evaluate of a file": lambda at: lb.evaluate(at.model, at.path, FEW),
    "lb.evaluate of values": lambda at: lb.evaluate(at.model, at.values, FEW),
    "explorer": explorer,
    "service /encode": lambda at: service(at, "/encode"),
    "service /score": lambda at: service(at, "/score"),
    "service /reconstruct": lambda at: service(at, "/reconstruct"),
}
ONLY = {"impute": ("table",), "estimator": ("counts", "binary", "real"), "explorer": ("binary",)}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("kind", "case"), WRONG)
def test_every_door_refuses_a_value_without_a_meaning_and_writes_nothing(runs, tmp_path, door, kind, case):
    if kind not in ONLY.get(door, CASES):
        pytest.skip("not for such data")
    values = CASES[kind][1][case]
    suffix = "csv"
    at = SimpleNamespace(
        run=runs[kind].path,
        model=runs[kind],
        values=values,
        kind=kind,
        path=file_of(tmp_path, values),
        out=tmp_path / f"out.{suffix}",
        picture=tmp_path / ("out.png" if kind == "binary" else "out.csv"),
    )
    with pytest.raises(LowerboundError) as caught:
        DOORS[door](at)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    place = ("row 1", "height", "visits", "city") if kind == "table" else ("example 2", "2,1", "finite", "null")
    assert any(word in message for word in place), message
    assert [path.name for path in tmp_path.iterdir()] == [at.path.name]
