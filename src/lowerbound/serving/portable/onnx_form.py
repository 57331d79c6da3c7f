"""Export to ONNX: standard operators only, any batch size, no random operators.

Each file has its origin in its metadata, and is checked by the ONNX checker and by comparison with PyTorch.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import lowerbound
from lowerbound.foundation.errors import UsageError
from lowerbound.models.vae import VAE
from lowerbound.serving.portable.operators import DECOMPOSITIONS
from lowerbound.serving.portable.parity import Computation
from lowerbound.serving.portable.parts import Part, decoder_part, encoder_part, export_copy, program_of

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Version of ONNX's operators: the one that torch's exporter writes, supported by all current runtimes."""

NOISY = ("torch.onnx", "onnxscript", "onnx_ir")
"""Loggers that report every step of an export."""


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


def session_of(content: bytes) -> Any:
    """An inference session of ONNX Runtime on the CPU."""
    import_onnx()
    import onnxruntime

    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def onnx_bytes(part: Part, about: Mapping[str, str] = {}) -> bytes:
    """A part as a checked ONNX model in memory; UsageError if a required package is missing."""
    onnx = import_onnx()
    model = _translated(part)
    _remove_source_locations(model)
    _name_batch(model)
    _describe(model, part, about)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def import_onnx() -> Any:
    """The package `onnx`; UsageError if it or another package for the export is missing."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"ONNX needs the package {error.name!r}, which is not installed: pip install 'lowerbound[onnx]'"
        ) from error
    return onnx


def _translated(part: Part) -> "onnx.ModelProto":
    with _silenced():
        program = program_of(part)
        if any(node.target in DECOMPOSITIONS for node in program.graph.nodes):
            program = program.run_decompositions(DECOMPOSITIONS)
        exported = torch.onnx.export(
            program,
            input_names=list(part.inputs),
            output_names=list(part(part.inputs)),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert exported is not None
    return exported.model_proto


def _remove_source_locations(model: "onnx.ModelProto") -> None:
    """Remove the exporter's notes on the source lines of each node."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _describe(model: "onnx.ModelProto", part: Part, about: Mapping[str, str]) -> None:
    """Describe the file, its inputs and its outputs."""
    model.producer_name, model.producer_version = "lowerbound", lowerbound.__version__
    model.graph.name, model.graph.doc_string = part.name, f"{part.name} of a variational autoencoder"
    for key, value in sorted(about.items()):
        model.metadata_props.add(key=key, value=value)
    descriptions = {port.name: port.about for port in part.ports()}
    for value_info in (*model.graph.input, *model.graph.output):
        value_info.doc_string = descriptions[value_info.name]


def _name_batch(model: "onnx.ModelProto") -> None:
    """Name the free axis "batch", instead of torch's symbol."""
    for value in (*model.graph.input, *model.graph.output):
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param and not any(axis.dim_param for axis in others), value.name
        first.dim_param = "batch"


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the exporter's log and warnings."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
