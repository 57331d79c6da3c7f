"""What leaves as ONNX computes what the model computes, says what it is, and draws nothing."""

import json
import shutil
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F
from torch.testing import assert_close

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig
from lowerbound.data.sources import load as load_data
from lowerbound.foundation.errors import DataError, RunError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import read_toml
from lowerbound.networks.architectures import NETWORKS
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.runs.trained_model import load
from lowerbound.serving.portable import onnx_form, parity
from lowerbound.serving.portable.decoder_outputs import probability_names
from lowerbound.serving.portable.export import FORMATS, export
from lowerbound.serving.portable.metadata import model_metadata, run_metadata
from lowerbound.serving.portable.onnx_form import decoder_bytes, encoder_bytes, onnx_bytes
from lowerbound.serving.portable.operators import binary_cross_entropy, exp_minus_one, log_gamma, log_one_plus
from lowerbound.serving.portable.parity import (
    TOLERANCE,
    ComparisonInputs,
    check_parity,
    comparison_inputs_of,
    deviation,
)
from lowerbound.serving.portable.parts import PARTS, export_copy, parts_of, vae_part
from lowerbound.training.checkpoint import model_checksum
from portable_models import BATCHES, computed, inputs_of, small_model, written_run

OPTIONS = {"discretized-logistic": {"num_components": 2, "num_levels": 20}, "categorical": {"num_levels": 4}}


def session_of(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def assert_computes(content, part, model):
    """For any number of examples, one file gives what the model gives, in the same order."""
    session = session_of(content)
    assert operators_of(onnx.load_from_string(content).graph).isdisjoint(RANDOM)
    for num_examples in BATCHES:
        inputs = inputs_of(model, num_examples)
        expected, outputs = part(inputs), computed(session, inputs)
        assert list(outputs) == list(expected)
        for name, tensor in expected.items():
            assert tensor.shape[0] == num_examples
            assert deviation(outputs[name], tensor) <= TOLERANCE, (name, num_examples)


RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


def operators_of(graph):
    """Of a graph and of all graphs within it."""
    inner = [
        found
        for node in graph.node
        for attribute in node.attribute
        for found in ([attribute.g] if attribute.HasField("g") else list(attribute.graphs))
    ]
    return {node.op_type for node in graph.node}.union(*map(operators_of, inner))


class Moved(nn.Module):
    """Another module's outputs, all moved by a number."""

    def __init__(self, module, by):
        super().__init__()
        self.module, self.by = module, by

    def forward(self, **inputs):
        return {name: output + self.by for name, output in self.module(**inputs).items()}


def names_of(content):
    return [value.name for value in onnx.load_from_string(content).graph.output]


# ---- every likelihood and every network


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_decoder_of_every_likelihood_computes_its_mean_and_its_parameters(likelihood):
    model = small_model(likelihood, **OPTIONS.get(likelihood, {}))
    content = decoder_bytes(model)
    assert names_of(content)[0] == "mean"
    assert len(names_of(content)) > 1
    assert_computes(content, PARTS["decoder"](model), model)


def test_what_a_decoder_yields_are_the_distributions_own_fields():
    model = small_model("discretized-logistic", num_components=2, num_levels=20)
    inputs = inputs_of(model, 4)
    outputs, p = PARTS["decoder"](model)(inputs), model.decode(inputs["z"])
    assert list(outputs) == ["mean", "log_weight", "location", "log_scale"]
    for name in ("log_weight", "location", "log_scale"):
        assert outputs[name].shape == (4, *model.event_shape, 2)
        assert_close(outputs[name], getattr(p, name))


def test_one_standard_deviation_for_all_is_written_out_for_each():
    outputs = PARTS["decoder"](small_model("gaussian"))(inputs_of(small_model("gaussian"), 3))
    assert_close(outputs["standard_deviation"], torch.ones(3, 1, 7, 5))


def test_an_encoder_of_a_table_reads_missing_cells():
    model = small_model("table")
    inputs = inputs_of(model, 8)
    inputs["x"][0, 1] = inputs["x"][3, 3] = inputs["x"][5] = torch.nan
    outputs = computed(session_of(encoder_bytes(model)), inputs)
    assert_close(outputs["mean"], model.encode(inputs["x"]).mean)
    assert outputs["mean"].isfinite().all()


def test_a_table_yields_one_value_for_each_cell_and_probabilities_for_each_category():
    model = small_model("table")
    outputs = PARTS["decoder"](model)(inputs_of(model, 5))
    assert list(outputs) == ["mean", "best_guess", "standard_deviation", "probabilities_home_city"]
    probabilities = outputs["probabilities_home_city"]
    assert_close(probabilities.sum(-1), torch.ones(5))
    assert_close(outputs["best_guess"][:, 3], probabilities.argmax(-1).float())


def test_columns_whose_names_would_be_alike_are_numbered():
    assert probability_names(["a b", "a-b", "größe"]) == [
        "probabilities_a_b_0",
        "probabilities_a_b_1",
        "probabilities_gr_e",
    ]


def test_a_residual_network_in_the_layout_of_training_leaves_in_the_plain_one():
    model = small_model("bernoulli", "resnet")
    assert_computes(decoder_bytes(model), PARTS["decoder"](model), model)


def test_a_plain_autoencoder_has_a_code_and_takes_no_noise():
    model = small_model("gaussian", posterior="point-mass")
    content = onnx_bytes(vae_part(export_copy(model)))
    assert names_of(content) == ["code", "reconstruction", "log_likelihood"]
    assert [value.name for value in session_of(content).get_inputs()] == ["x"]
    assert [port.name for port in PARTS["encoder"](model).ports()] == ["x", "code"]
    assert_computes(content, vae_part(model), model)


def test_a_full_covariance_and_a_mixture_prior_leave_with_the_models_own_densities():
    model = small_model("bernoulli", posterior="full-normal", prior="mixture-of-normals")
    content, inputs = onnx_bytes(vae_part(export_copy(model))), inputs_of(model, 7)
    outputs = computed(session_of(content), inputs)
    posterior = model.encode(inputs["x"])
    assert_close(outputs["scale_tril"] @ outputs["scale_tril"].mT, posterior.covariance, atol=1e-5, rtol=1e-5)
    z = posterior.mean + (posterior.scale_tril @ inputs["noise"].unsqueeze(-1)).squeeze(-1)
    assert_close(outputs["z"], z, atol=1e-5, rtol=1e-5)
    rate = posterior.log_prob(z) - model.prior.log_prob(z)
    assert_close(outputs["rate"], rate.float(), atol=1e-4, rtol=1e-4)
    log_likelihood = model.decode(z).log_prob(inputs["x"]).float()
    assert_close(outputs["elbo"], log_likelihood - rate.float(), atol=1e-3, rtol=1e-5)


def test_a_posterior_whose_draws_are_no_function_of_noise_is_refused_with_the_reason():
    class Logistic(DiagonalNormal):
        """A family of which the exporter knows nothing."""

    model = small_model("bernoulli")
    model.posterior.forward = lambda raw: Logistic(*raw.chunk(2, dim=-1))
    with pytest.raises(UsageError, match="posterior 'diagonal-normal' cannot be exported: its draws are not a known"):
        vae_part(model)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_all_parts_of_every_likelihood_and_network_compute_the_same(likelihood, network):
    if likelihood == "table" and network != "dense":
        pytest.skip("rows have no height and width")
    model = small_model(likelihood, network)
    versions = (export_copy(model), model, deepcopy(model).double())
    for plain, part, exact in zip(*map(parts_of, versions), strict=True):
        _, compute = onnx_form.build(plain, {})
        for num_examples in BATCHES:
            # Terms of a density may cancel in their sum: single precision itself is then beyond 1e-5.
            check_parity(compute, part, exact, ComparisonInputs(inputs_of(model, num_examples), ""))


def test_a_random_operator_would_be_found_in_a_graph_within_a_graph():
    drawn = helper.make_node("RandomNormal", [], ["y"], shape=[1])
    inner = helper.make_graph([drawn], "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    branch = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    outer = helper.make_graph([branch], "outer", [], [])
    assert operators_of(outer) == {"If", "RandomNormal"}


# ---- operators


def test_what_stands_in_for_torchs_operators_has_their_digits():
    x = torch.logspace(-6, 6, 2000, dtype=torch.float64)
    assert_close(log_gamma(x), torch.lgamma(x), rtol=1e-12, atol=1e-12)
    t = torch.linspace(-120, 120, 4001)
    target = torch.linspace(0, 1, 4001)
    expected = F.binary_cross_entropy_with_logits(t.double(), target.double(), reduction="none")
    assert_close(binary_cross_entropy(t, target).double(), expected, rtol=1e-6, atol=1e-5)
    near_zero = torch.logspace(-7, 0, 200)
    assert_close(exp_minus_one(-near_zero), torch.expm1(-near_zero), rtol=1e-6, atol=0)
    assert_close(log_one_plus(near_zero), torch.log1p(near_zero), rtol=1e-6, atol=0)


# ---- a run


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
        (["--format", "onyx"], "unknown format 'onyx'; did you mean 'onnx'? accepted: onnx, torch."),
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


# ---- parity


def test_a_deviation_is_relative_above_one_and_absolute_below():
    expected = torch.tensor([0.5, 100.0])
    assert deviation(expected + torch.tensor([1e-3, 0.0]), expected) == pytest.approx(1e-3, rel=1e-3)
    assert deviation(expected + torch.tensor([0.0, 1e-1]), expected) == pytest.approx(1e-3, rel=1e-3)
    assert deviation(torch.tensor([torch.nan]), torch.tensor([torch.nan])) == 0
    assert deviation(torch.tensor([torch.nan]), torch.tensor([1.0])) == torch.inf
    assert deviation(torch.zeros(2), torch.zeros(3)) == torch.inf


def test_what_deviates_is_refused_unless_pytorch_itself_rounds_as_much():
    model = small_model("bernoulli")
    part, exact = PARTS["decoder"](model), PARTS["decoder"](deepcopy(model).double())
    trial = ComparisonInputs(inputs_of(model, 5), "five examples")
    near, far = (replace(part, module=Moved(part.module, by)) for by in (2e-6, 1e-4))
    assert check_parity(near, part, exact, trial).deviation == pytest.approx(2e-6, rel=0.2)
    with pytest.raises(RunError, match="the exported decoder differs from the model"):
        check_parity(far, part, exact, trial)
    # Where single precision is 1e-4 from double, it is no fault to be where double is.
    moved = replace(exact, module=Moved(exact.module, 1e-4))
    assert check_parity(far, part, moved, trial).rounding == pytest.approx(1e-4, rel=0.1)


def test_where_the_data_cannot_be_read_the_model_draws_what_it_is_compared_on(run, monkeypatch):
    def absent(*_, **__):
        raise DataError("the digits are gone.")

    monkeypatch.setattr(parity, "own_splits", absent)
    trial = comparison_inputs_of(run, load(run).vae)
    assert trial.about == "64 examples drawn from the model"
    assert trial.note == "no test examples of the run: the digits are gone."
    assert trial.inputs["x"].unique().tolist() == [0, 1]
