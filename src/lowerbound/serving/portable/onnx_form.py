"""Export to ONNX: standard operators only, any batch size, no random operators.

Each file has its origin in its metadata, and is checked by the ONNX checker and by comparison with PyTorch.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

import lowerbound
from lowerbound.models.vae import VAE
from lowerbound.networks.onnx_export import export_copy, import_onnx, translated
from lowerbound.networks.onnx_network import session_of
from lowerbound.serving.portable.parity import Computation
from lowerbound.serving.portable.parts import Part, decoder_part, encoder_part

if TYPE_CHECKING:
    import onnx


def encoder_bytes(model: VAE, about: Mapping[str, str] = {}) -> bytes:
    """The encoder as a checked ONNX model in memory; `about` becomes its metadata."""
    return onnx_bytes(encoder_part(export_copy(model)), about)


def decoder_bytes(model: VAE, about: Mapping[str, str] = {}) -> bytes:
    """The decoder as a checked ONNX model in memory; `about` becomes its metadata."""
    return onnx_bytes(decoder_part(export_copy(model)), about)


def build(part: Part, about: Mapping[str, str]) -> tuple[bytes, Computation]:
    """The content of an .onnx file, and its computation by ONNX Runtime."""
    content = onnx_bytes(part, about)
    session = session_of(content)

    def compute(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = session.run(None, {name: inputs[name].numpy() for name in part.inputs})
        names = [output.name for output in session.get_outputs()]
        return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}

    return content, compute


def onnx_bytes(part: Part, about: Mapping[str, str] = {}) -> bytes:
    """A part as a checked ONNX model in memory; UsageError if a required package is missing."""
    onnx = import_onnx()
    model = translated(part.module, part.inputs, list(part(part.inputs)))
    _describe(model, part, about)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _describe(model: "onnx.ModelProto", part: Part, about: Mapping[str, str]) -> None:
    """Describe the file, its inputs and its outputs."""
    model.producer_name, model.producer_version = "lowerbound", lowerbound.__version__
    model.graph.name, model.graph.doc_string = part.name, f"{part.name} of a variational autoencoder"
    for key, value in sorted(about.items()):
        model.metadata_props.add(key=key, value=value)
    descriptions = {port.name: port.about for port in part.ports()}
    for value_info in (*model.graph.input, *model.graph.output):
        value_info.doc_string = descriptions[value_info.name]
