"""Several ONNX models of the same network, with one copy of its weights.

ONNX lets a tensor lie outside its model's file, at a place in another one. What two models have in common, byte for
byte, is then written once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lowerbound.serving.portable.onnx_form import import_onnx

if TYPE_CHECKING:
    import onnx

WEIGHTS = "weights"
"""The file that models look for their tensors in."""

LEAST_BYTES = 1024
"""Smaller tensors stay in the model: shapes and the like must be known before any other file is read."""

ALIGNMENT = 64  # bytes, so that numbers can be read where they lie


def share_weights(models: Mapping[str, bytes], outputs: Mapping[str, tuple[str, ...]]) -> dict[str, bytes]:
    """The models with the outputs that are asked for, by their names, and their weights under the name "weights"."""
    onnx = import_onnx()
    weights, places = bytearray(), dict[bytes, int]()
    parts = {}
    for name, content in models.items():
        model = onnx.load_from_string(content)
        _keep_outputs(model, outputs[name])
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= LEAST_BYTES:
                _move(tensor, _place(tensor.raw_data, weights, places))
        parts[name] = model.SerializeToString(deterministic=True)
    return {**parts, WEIGHTS: bytes(weights)}


def _keep_outputs(model: "onnx.ModelProto", wanted: tuple[str, ...]) -> None:
    """What leads to no output is then never computed."""
    kept = [value for value in model.graph.output if value.name in wanted]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _place(content: bytes, weights: bytearray, places: dict[bytes, int]) -> int:
    """Where the same bytes lie already, or their place at the end."""
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
