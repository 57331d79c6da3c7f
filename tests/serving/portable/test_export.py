"""An exported run agrees with its model on its own data, says what it is, and is refused in one line."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.testing import assert_close

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig
from lowerbound.data.sources import load as load_data
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text_files import read_toml
from lowerbound.runs.trained_model import load
from lowerbound.serving.portable.export import FORMATS, export
from lowerbound.serving.portable.metadata import model_metadata, run_metadata
from lowerbound.serving.portable.onnx_form import decoder_bytes
from lowerbound.serving.portable.parts import PARTS
from lowerbound.training.checkpoint import model_checksum
from portable_models import BATCHES, Moved, computed, session_of, small_model, written_run

pytest.importorskip("onnx")
import onnx


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_run(tmp_path_factory.mktemp("portable") / "run")


@pytest.fixture(scope="module")
def exported(run):
    return export(run)


@pytest.fixture(scope="module")
def sessions(exported):
    return {file.path.stem: session_of(str(file.path)) for file in exported.files}


@pytest.fixture(scope="module")
def digits():
    return scaled(load_data(DataConfig(source="digits")).test)


def test_a_runs_encoder_and_decoder_agree_with_the_model_on_real_images(run, exported, sessions, digits):
    model = load(run).vae
    with torch.no_grad():
        posterior = model.encode(digits)
        likelihood = model.decode(posterior.mean)
    encoded = computed(sessions["encoder"], {"x": digits})
    decoded = computed(sessions["decoder"], {"z": posterior.mean})
    assert_close(encoded["mean"], posterior.mean, rtol=0, atol=1e-5)
    assert_close(encoded["log_variance"], posterior.log_variance, rtol=0, atol=1e-5)
    assert_close(decoded["mean"], likelihood.mean, rtol=0, atol=1e-5)
    assert_close(decoded["logits"], likelihood.logits, rtol=1e-5, atol=1e-5)
    assert exported.compared == "64 test examples"
    assert all(file.parity.deviation <= 1e-5 for file in exported.files)


def test_the_composition_scores_the_draw_that_the_caller_has_made(sessions, digits):
    noise = torch.randn(len(digits), 2, generator=generator(0, "noise"))
    outputs = computed(sessions["vae"], {"x": digits, "noise": noise})
    q = Normal(outputs["mean"], (outputs["log_variance"] / 2).exp())
    assert_close(outputs["z"], q.loc + q.scale * noise)
    rate = kl_divergence(q, Normal(0.0, 1.0)).sum(-1)
    decoded = computed(sessions["decoder"], {"z": outputs["z"]})
    log_likelihood = Bernoulli(logits=decoded["logits"], validate_args=False).log_prob(digits).sum((1, 2, 3))
    assert_close(outputs["reconstruction"], decoded["mean"])
    assert_close(outputs["log_likelihood"], log_likelihood, rtol=1e-5, atol=0)
    assert_close(outputs["elbo"], log_likelihood - rate, rtol=1e-5, atol=0)


def test_without_noise_a_draw_is_the_posteriors_mean(sessions, digits):
    outputs = computed(sessions["vae"], {"x": digits, "noise": torch.zeros(len(digits), 2)})
    assert torch.equal(outputs["z"], outputs["mean"])


def test_one_file_takes_any_number_of_examples(sessions, digits):
    for name, session in sessions.items():
        assert {value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())} == {"batch"}, name
    whole = computed(sessions["encoder"], {"x": digits[:256]})["mean"]
    for num_examples in BATCHES:
        part = computed(sessions["encoder"], {"x": digits[:num_examples]})["mean"]
        assert_close(part, whole[:num_examples], rtol=1e-5, atol=1e-6)


def test_a_file_says_where_it_comes_from_and_how_it_is_read(run, exported):
    about = {prop.key: prop.value for prop in onnx.load(exported.files[1].path).metadata_props}
    stored = read_toml(run / "config.toml")
    assert about["checksum"] == model_checksum(run)
    assert about["data_checksum"] == stored["run"]["data_checksum"]
    assert (about["recipe"], about["data"], about["convention"]) == ("conv", "digits", "grey")
    assert (about["likelihood"], about["posterior"], about["prior"]) == (
        "bernoulli",
        "diagonal-normal",
        "standard-normal",
    )
    assert (json.loads(about["event_shape"]), about["latent_dim"], about["units"]) == ([1, 8, 8], "2", "nats")
    assert about["layout"] == "batch × channel × height × width; float32, values in [0, 1], x = stored / 16"
    schema = json.loads(about["schema"])
    assert (schema["layout"], schema["shape"], schema["dtype"]) == ("image", [8, 8, 1], "uint8")
    assert (schema["range"], schema["offset"], schema["columns"]) == ([0, 16], [], [])
    assert about["lowerbound"] == lb.__version__
    graph = onnx.load(exported.files[1].path).graph
    assert [value.doc_string for value in graph.output] == ["mean of p(x|z)", "logits of p(x|z)"]


def test_a_table_says_what_its_columns_are():
    model = small_model("table")
    columns = json.loads(model_metadata(model)["columns"])
    assert [column["name"] for column in columns] == ["height", "visits", "is new", "home city"]
    assert columns[3]["levels"] == ["Bonn", "Lyon", "Oslo"]


def test_nothing_of_the_machine_leaves_with_a_file(exported):
    for file in exported.files:
        content = file.path.read_bytes()
        assert b".py" not in content
        assert str(Path.cwd()).encode() not in content


def test_a_second_export_gives_the_same_bytes(run, exported):
    trained = load(run)
    assert decoder_bytes(trained.vae, run_metadata(run, trained)) == exported.files[1].path.read_bytes()


def test_the_command_prints_every_tensor_and_goes_over_its_own_earlier_files(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], build=lambda part, _: (part.name.encode(), part)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vae.onnx").write_bytes(b"an earlier one")
    printed = in_process(capsys, "export", run, "--out", tmp_path / "out")
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert any("encoder.onnx" in line and "batch × 1 × 8 × 8" in line for line in lines)
    assert any("output   log_variance" in line and "batch × 2" in line for line in lines)
    assert "largest deviation from the model, on 64 test examples:" in printed.out
    assert lines[-1] == str(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        f"{name}.onnx": name.encode() for name in PARTS
    }


# ---- what is refused


def test_requests_that_cannot_be_met_are_refused_in_one_line(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    for words, expected in (
        (
            ["--format", "onyx"],
            "unknown format 'onyx'; did you mean 'onnx'? accepted: diffusers, huggingface, onnx, torch.",
        ),
        (["--out", tmp_path / "file"], "is a file; choose a folder. Option: --out."),
        (["--out", tmp_path / "full"], "contains files that are not from an earlier export (thesis.tex)"),
    ):
        assert expected in one_line(in_process(capsys, "export", run, *words, expect=2).err)
    assert "is not a run directory" in one_line(in_process(capsys, "export", tmp_path, expect=2).err)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_model_with_a_damaged_file_is_not_exported(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("onnx"))
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(content))
    assert "is damaged" in one_line(in_process(capsys, "export", copy, expect=1).err)
    assert not (copy / "onnx").exists()


def test_a_package_that_is_missing_is_named_with_what_installs_it(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    line = one_line(in_process(capsys, "export", run, "--out", tmp_path / "out", expect=2).err)
    assert "'onnxscript'" in line
    assert "pip install 'lowerbound[onnx]'" in line


def test_nothing_is_written_when_a_later_part_does_not_compute_the_same(run, tmp_path, capsys, monkeypatch):
    def build(part, about):
        by = 1e-4 if part.name == "vae" else 0.0
        return b"", replace(part, module=Moved(part.module, by))

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], build=build))
    line = one_line(in_process(capsys, "export", run, "--out", tmp_path / "out", expect=1).err)
    assert "the exported vae differs from the model" in line
    assert not list(tmp_path.iterdir())
