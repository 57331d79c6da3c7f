"""Models of one network have one copy of its weights, and compute what they did."""

import numpy as np
import pytest

from lowerbound.serving.explorer.shared_weights import ALIGNMENT, MIN_BYTES, WEIGHTS, share_weights

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(0)
LARGE = RNG.normal(size=(20, 31)).astype(np.float32)
OTHER = RNG.normal(size=(31, 20)).astype(np.float32)
SMALL = np.float32([0.5])
X = RNG.normal(size=(3, 20)).astype(np.float32)


def model_of(**weights):
    """Multiplies by each weight in turn, and has every product as an output."""
    nodes, value = [], "x"
    for name in weights:
        nodes.append(helper.make_node("MatMul" if weights[name].ndim == 2 else "Mul", [value, name], [f"by_{name}"]))
        value = f"by_{name}"
    outputs = [helper.make_tensor_value_info(f"by_{name}", TensorProto.FLOAT, None) for name in weights]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    graph = helper.make_graph(nodes, "a model", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


@pytest.fixture
def shared(tmp_path):
    models = {"one": model_of(a=LARGE, b=SMALL, c=OTHER), "two": model_of(d=LARGE)}
    found = share_weights(models, {"one": ("by_c",), "two": ("by_d", "not there")})
    for name, content in found.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path, found


def test_models_compute_what_they_did_from_the_file_beside_them(shared):
    folder, found = shared
    assert found.keys() == {"one", "two", WEIGHTS}
    for name, expected in (("one", X @ LARGE * SMALL @ OTHER), ("two", X @ LARGE)):
        (result,) = ReferenceEvaluator(str(folder / name)).run(None, {"x": X})
        np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_equal_tensors_are_written_once_at_places_where_numbers_can_be_read(shared):
    _, found = shared
    assert LARGE.nbytes >= MIN_BYTES and OTHER.nbytes >= MIN_BYTES
    assert found[WEIGHTS].count(LARGE.tobytes()) == found[WEIGHTS].count(OTHER.tobytes()) == 1
    assert found[WEIGHTS].index(OTHER.tobytes()) % ALIGNMENT == 0
    assert LARGE.nbytes + OTHER.nbytes <= len(found[WEIGHTS]) < LARGE.nbytes + OTHER.nbytes + ALIGNMENT
    assert all(len(found[name]) < 1000 for name in ("one", "two"))


def test_outputs_that_nobody_reads_are_dropped_and_small_tensors_stay(shared):
    _, found = shared
    graph = onnx.load_from_string(found["one"]).graph
    assert [output.name for output in graph.output] == ["by_c"]
    assert [tensor.name for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL] == ["a", "c"]
