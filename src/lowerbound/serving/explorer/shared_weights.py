"""share_weights: several ONNX models of the same network, with one copy of its weights.

ONNX tensors can be stored outside their model's file. Tensors that models have in common, byte for byte, are written
once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lowerbound.networks.onnx_export import import_onnx

if TYPE_CHECKING:
    import onnx

WEIGHTS = "weights"
"""The name of the external file with the tensors."""

MIN_BYTES = 1024
"""Smaller tensors stay in the model: shapes, for example, must be known before another file is read."""

ALIGNMENT = 64  # bytes, so that numbers can be read in place


def share_weights(models: Mapping[str, bytes], outputs: Mapping[str, tuple[str, ...]]) -> dict[str, bytes]:
    """The models by name, each with only the given outputs, and their weights under the name "weights"."""
    onnx = import_onnx()
    weights, places = bytearray(), dict[bytes, int]()
    slim = {}
    for name, content in models.items():
        model = onnx.load_from_string(content)
        _keep_outputs(model, outputs[name])
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= MIN_BYTES:
                _move(tensor, _place(tensor.raw_data, weights, places))
        slim[name] = model.SerializeToString(deterministic=True)
    return {**slim, WEIGHTS: bytes(weights)}


def with_outputs(content: bytes, names: tuple[str, ...]) -> bytes:
    """A model with only the given outputs."""
    model = import_onnx().load_from_string(content)
    _keep_outputs(model, names)
    slim: bytes = model.SerializeToString(deterministic=True)
    return slim


def _keep_outputs(model: "onnx.ModelProto", names: tuple[str, ...]) -> None:
    """Drop all other outputs, so that they are never computed."""
    kept = [value for value in model.graph.output if value.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _place(content: bytes, weights: bytearray, places: dict[bytes, int]) -> int:
    """The offset of these bytes, which are appended if they are new."""
    if content not in places:
        weights.extend(bytes(-len(weights) % ALIGNMENT))
        places[content] = len(weights)
        weights.extend(content)
    return places[content]


def _move(tensor: "onnx.TensorProto", offset: int) -> None:
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in {"location": WEIGHTS, "offset": str(offset), "length": str(length)}.items():
        tensor.external_data.add(key=key, value=value)
