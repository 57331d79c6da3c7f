"""ONNX Runtime computes what PyTorch computes, where it is asked for or saves time, and is refused in one line."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pooch
import pytest
import torch
from pyarrow import parquet

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.foundation.errors import RunError, UnknownName, UsageError
from lowerbound.inference import engine as engines
from lowerbound.inference import tasks
from lowerbound.inference.anomaly import score, score_shards
from lowerbound.inference.engine import check_engine, choose_engine, deviation, on_examples, on_prior
from lowerbound.inference.example_terms import write_example_terms
from lowerbound.inference.network_cache import cached_file
from lowerbound.networks.onnx_network import OnnxNetwork
from lowerbound.runs.inputs import read_inputs
from lowerbound.runs.trained_model import load
from untrained_models import untrained_run

pytest.importorskip("onnx")

stream = np.random.default_rng(0)
TABLE = {"x": np.round(stream.normal(size=240), 3).tolist(), "kind": ["a", "b", "c"] * 80}
BOTH = {"encoder": 10, "decoder": 160}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, cache):
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache / name)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "run"
    untrained_run(path, "digits", network="conv", channels=[3, 4])
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    pd.DataFrame(TABLE).to_csv(folder / "rows.csv", index=False)
    untrained_run(folder / "run", str(folder / "rows.csv"))
    return folder / "run"


@pytest.fixture
def computed(monkeypatch):
    """The numbers of examples that ONNX Runtime was given."""
    found = []
    forward = OnnxNetwork.forward

    def counted(self, x):
        found.append(0 if torch.is_grad_enabled() else len(x))
        return forward(self, x)

    monkeypatch.setattr(OnnxNetwork, "forward", counted)
    return found


def chosen(run, engine="auto", passes=BOTH, model=None, device="cpu"):
    trained = load(run)
    examples = read_inputs(trained, []).examples
    trial = on_examples(lambda most: examples.subset(np.arange(min(most, len(examples)))))
    return choose_engine(engine, run, model or trained.vae, passes, trial, device)


def files_in(run):
    return {path: path.stat().st_mtime_ns for path in run.rglob("*")}


@pytest.mark.parametrize("data", ["images", "rows"])
def test_scores_and_verdicts_are_those_of_torch_and_nothing_is_written_into_the_run(data, request, computed):
    run = request.getfixturevalue(data)
    before = files_in(run)
    found, expected = score(run, engine="onnx"), score(run, engine="torch")
    assert (found.engine, found.notes[0], expected.engine, expected.notes) == ("onnx", "engine: onnx", "torch", ())
    assert sum(computed) > len(found) * 17 and 0 not in computed
    assert found.scores.keys() == expected.scores.keys()
    for name, scores in expected.scores.items():
        np.testing.assert_allclose(found.scores[name], scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.is_anomalous, expected.is_anomalous)
    assert files_in(run) == before


def test_draws_for_the_importance_weighted_score_are_computed_as_well(rows, tmp_path, computed):
    shutil.copytree(rows, tmp_path / "run")
    found, expected = (score(tmp_path / "run", importance=True, engine=engine) for engine in ("onnx", "torch"))
    assert sum(computed) > len(found) * 117 and 0 not in computed
    np.testing.assert_allclose(found.scores["importance"], expected.scores["importance"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("data", ["images", "rows"])
def test_codes_reconstructions_samples_and_terms_are_those_of_torch(data, request, tmp_path, computed):
    run = request.getfixturevalue(data)
    found = {}
    for engine in ("torch", "onnx"):
        tasks.encode(run, [], out=tmp_path / "codes.npz", engine=engine)
        codes = np.load(tmp_path / "codes.npz")
        suffix = "png" if data == "images" else "npz"
        picture = tmp_path / f"reconstructions.{suffix}"
        reconstructed = tasks.reconstruct(run, [], 4, out=picture, engine=engine)
        tasks.sample(run, 5, out=tmp_path / f"samples.{suffix}", engine=engine)
        shards = tmp_path / f"terms-{engine}"
        terms = write_example_terms(run, [], shards, num_draws=2, engine=engine)
        table = parquet.read_table(shards / "part-00000.parquet")
        found[engine] = (codes["mean"], table["elbo"].to_numpy(), reconstructed.scores[0].value)
        is_onnx = engine == "onnx"
        assert reconstructed.engine == engine and (terms.notes[:1] == ("engine: onnx",)) == is_onnx
        assert bool(computed) == is_onnx and 0 not in computed
    for one, other in zip(found["torch"], found["onnx"], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)


def test_shards_have_one_engine_where_one_was_named(rows, tmp_path):
    written = score_shards(rows, [], tmp_path / "scores", engine="onnx")
    assert (written.engine, written.notes[0]) == ("onnx", "engine: onnx")
    assert score_shards(rows, [], tmp_path / "scores", engine="onnx").num_rows == written.num_rows
    with pytest.raises(UsageError, match="not of this task"):
        score_shards(rows, [], tmp_path / "scores", engine="torch")
    assert tasks.encode(rows, [], shards=tmp_path / "codes", engine="onnx").engine == "onnx"


def test_a_network_is_exported_once_and_again_when_its_file_is_damaged_or_wrong(rows, monkeypatch):
    chosen(rows, "onnx")
    file = cached_file(rows, "decoder")
    exported = []
    export = engines.network_bytes
    monkeypatch.setattr(engines, "network_bytes", lambda *given: exported.append(given[1]) or export(*given))
    assert chosen(rows, "onnx").name == "onnx" and exported == []
    content = file.read_bytes()
    file.write_bytes(content[:-4] + b"gone")
    assert chosen(rows, "onnx").name == "onnx" and len(exported) == 1 and file.read_bytes() == content
    file.write_bytes(cached_file(rows, "encoder").read_bytes())
    assert chosen(rows, "onnx").name == "onnx" and len(exported) == 2 and file.read_bytes() == content


def test_auto_is_onnx_for_as_many_passes_as_make_up_for_the_export(rows, monkeypatch):
    flops = {name: engines._flops(getattr(load(rows).vae, name), shape) for name, shape in shapes(rows).items()}
    assert flops["decoder"] == 2 * 16 * (3 + load(rows).vae.likelihood.raw_shape[0])
    monkeypatch.setattr(engines, "is_faster", lambda network, x: True)
    monkeypatch.setattr(engines, "EXPORT_FLOPS", 1e6)
    monkeypatch.setattr(engines, "LOAD_FLOPS", 1e4)
    cached_file(rows, "decoder").unlink(missing_ok=True)
    exporting, loading = int(1e6 // flops["decoder"]), int(1e4 // flops["decoder"])
    assert chosen(rows, passes={"decoder": exporting}).name == "torch"
    assert not cached_file(rows, "decoder").exists()
    assert chosen(rows, passes={"decoder": exporting + 1}).name == "onnx"
    assert chosen(rows, passes={"decoder": loading + 1}).name == "onnx"
    assert chosen(rows, passes={"decoder": loading}).name == "torch"
    assert chosen(rows, "onnx", passes={"decoder": 1}).name == "onnx"


def shapes(run):
    model = load(run).vae
    return {"encoder": model.likelihood.feature_shape, "decoder": (model.latent_dim,)}


@pytest.fixture
def worthwhile(monkeypatch):
    monkeypatch.setattr(engines, "EXPORT_FLOPS", 0.0)
    monkeypatch.setattr(engines, "LOAD_FLOPS", 0.0)


@pytest.mark.usefixtures("worthwhile")
def test_auto_replaces_the_networks_that_are_faster_alone(rows, monkeypatch):
    monkeypatch.setattr(engines, "is_faster", lambda network, x: x.shape[1] == 3)  # latents
    found = chosen(rows)
    assert (found.name, found.notes) == ("onnx", ("engine: onnx, but torch for the encoder",))
    assert isinstance(found.model.decoder, OnnxNetwork) and not isinstance(found.model.encoder, OnnxNetwork)
    monkeypatch.setattr(engines, "is_faster", lambda network, x: False)
    assert (chosen(rows).name, chosen(rows).notes, chosen(rows, "onnx").name) == ("torch", (), "onnx")


@pytest.mark.usefixtures("worthwhile")
@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_a_package_auto_is_torch_and_onnx_is_refused(rows, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert (chosen(rows).name, chosen(rows).notes) == ("torch", ())
    with pytest.raises(UsageError, match=rf"needs the package '{package}'.*pip install 'lowerbound\[onnx\]'"):
        check_engine("onnx")


@pytest.mark.usefixtures("worthwhile")
def test_outputs_that_differ_leave_auto_with_torch_and_the_reason_and_are_refused_for_onnx(rows, monkeypatch):
    monkeypatch.setattr(engines, "TOLERANCE", -1.0)
    found = chosen(rows)
    reason = r"the encoder as ONNX Runtime computes it differs by .* at most -1e\+00 is accepted"
    assert found.name == "torch" and not isinstance(found.model.decoder, OnnxNetwork)
    (note,) = found.notes
    assert note.startswith("engine: torch, because the encoder as ONNX Runtime computes it differs by")
    with pytest.raises(RunError, match=reason):
        chosen(rows, "onnx")


@pytest.mark.usefixtures("worthwhile")
def test_what_cannot_be_exported_leaves_auto_with_torch_and_the_reason(rows, monkeypatch):
    def fails(network, shape):
        raise ValueError("no such operator")

    monkeypatch.setattr(engines, "read_network", lambda file: None)
    monkeypatch.setattr(engines, "network_bytes", fails)
    (note,) = chosen(rows).notes
    assert note.startswith("engine: torch, because the encoder cannot be exported: ValueError: no such operator")
    with pytest.raises(RunError, match="the encoder cannot be exported: ValueError: no such operator"):
        chosen(rows, "onnx")


@pytest.mark.usefixtures("worthwhile")
def test_models_that_onnx_runtime_cannot_compute_are_refused_with_the_reason(rows):
    precise = load(rows).vae.double()
    assert chosen(rows, model=precise).name == "torch"
    with pytest.raises(UsageError, match=r"it computes in float32, and the weights are torch\.float64; choose 'torch'"):
        chosen(rows, "onnx", model=precise)
    conditional = load(rows).vae
    conditional.encoder.takes_context = True
    with pytest.raises(UsageError, match="its networks take a context"):
        chosen(rows, "onnx", model=conditional)
    with pytest.raises(UsageError, match="it computes on the CPU, and the device is cuda"):
        chosen(rows, "onnx", device="cuda")
    assert chosen(rows, device="cuda").name == "torch"


def test_the_model_itself_keeps_its_networks(rows):
    model = load(rows).vae
    found = choose_engine("onnx", rows, model, {"decoder": 1}, on_prior)
    assert isinstance(found.model.decoder, OnnxNetwork) and found.model.encoder is model.encoder
    assert not isinstance(model.decoder, OnnxNetwork)
    assert found.model.decoder.network is model.decoder


def test_no_example_at_all_is_no_failure(rows):
    model = load(rows).vae
    nothing = read_inputs(load(rows), []).examples.subset(np.arange(0))
    assert choose_engine("onnx", rows, model, BOTH, on_examples(lambda most: nothing)).name == "onnx"


def test_the_deviation_is_relative_to_the_largest_output_and_nan_is_no_output():
    expected = torch.tensor([1e-3, 100.0])
    assert deviation(expected + torch.tensor([1e-3, 0.0]), expected) == pytest.approx(1e-5)
    assert deviation(torch.zeros(2), torch.zeros(2)) == 0
    assert deviation(torch.ones(2), torch.zeros(2)) == float("inf")
    assert deviation(torch.full((2,), torch.nan), expected) == float("inf")
    assert deviation(expected, expected[None]) == float("inf")


@pytest.mark.parametrize(
    "ask",
    [
        lambda run, out: tasks.encode(run, [], out=out, engine="onxx"),
        lambda run, out: tasks.reconstruct(run, [], out=out, engine="onxx"),
        lambda run, out: tasks.sample(run, 2, out=out, engine="onxx"),
        lambda run, out: lb.score(run, out=out, engine="onxx"),
        lambda run, out: score_shards(run, [], out, engine="onxx"),
        lambda run, out: write_example_terms(run, [], out, engine="onxx"),
    ],
)
def test_an_unknown_engine_is_refused_before_anything_is_written(rows, tmp_path, ask):
    with pytest.raises(UnknownName, match=r"unknown engine 'onxx'; did you mean 'onnx'\? accepted: auto, onnx, torch"):
        ask(rows, tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())


def test_commands_name_the_engine_and_refuse_an_unknown_one(rows, tmp_path, capsys):
    printed = in_process(capsys, "encode", rows, "--engine", "onnx", "--out", tmp_path / "codes.csv")
    assert printed.err.splitlines() == ["engine: onnx"]
    printed = in_process(capsys, "score", rows, "--engine", "onnx", "--json")
    assert json.loads(printed.out)["engine"] == "onnx"
    out = tmp_path / "rows.csv"
    printed = in_process(capsys, "reconstruct", rows, "--engine", "torch", "--json", "--out", out)
    assert json.loads(printed.out)["engine"] == "torch"
    for command in ("sample", "encode", "reconstruct", "score"):
        assert "unknown engine 'no'" in one_line(in_process(capsys, command, rows, "--engine", "no", expect=2).err)
    line = one_line(in_process(capsys, "evaluate", rows, "--engine", "onnx", expect=2).err)
    assert "give it with --shards" in line
