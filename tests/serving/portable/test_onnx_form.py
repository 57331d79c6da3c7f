"""What leaves as ONNX computes what the model computes, says what it is, and draws nothing."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import UsageError
from lowerbound.networks.architectures import NETWORKS
from lowerbound.networks.onnx_export import export_copy
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.serving.portable import onnx_form
from lowerbound.serving.portable.decoder_outputs import probability_names
from lowerbound.serving.portable.onnx_form import decoder_bytes, encoder_bytes, onnx_bytes
from lowerbound.serving.portable.parity import (
    TOLERANCE,
    ComparisonInputs,
    check_parity,
    deviation,
)
from lowerbound.serving.portable.parts import PARTS, parts_of, vae_part
from portable_models import BATCHES, computed, inputs_of, session_of, small_model

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper

OPTIONS = {"discretized-logistic": {"num_components": 2, "num_levels": 20}, "categorical": {"num_levels": 4}}


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


@pytest.mark.parametrize(("posterior", "prior"), [("diagonal-normal", "vamp"), ("iaf", "flow")])
def test_flows_and_a_prior_that_uses_the_encoder_leave_with_the_models_own_densities(posterior, prior):
    model = small_model("bernoulli", posterior=posterior, prior=prior)
    content, inputs = onnx_bytes(vae_part(export_copy(model))), inputs_of(model, 7)
    outputs, q = computed(session_of(content), inputs), model.encode(inputs["x"])
    assert_close(outputs["mean"], q.mean, atol=1e-4, rtol=1e-4)
    log_posterior, log_prior = q.log_prob(outputs["z"]), model.prior.log_prob(outputs["z"])
    assert_close(outputs["rate"], (log_posterior - log_prior).float(), atol=1e-3, rtol=1e-3)


def test_a_posterior_whose_draws_are_no_function_of_noise_is_refused_with_the_reason():
    class Logistic(DiagonalNormal):
        """A family of which the exporter knows nothing."""

    model = small_model("bernoulli")
    model.posterior.forward = lambda raw: Logistic(*raw.chunk(2, dim=-1))
    with pytest.raises(UsageError, match="draws of posterior 'diagonal-normal' cannot be exported: they are not a"):
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
