"""Export to torch.export programs, which PyTorch runs without this package, and compiles ahead of time.

This package never reads a program, because reading one executes its content.
"""

import io
import json
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from lowerbound.networks.onnx_export import program_of
from lowerbound.serving.portable.parity import Computation
from lowerbound.serving.portable.parts import Part

METADATA = "metadata.json"
"""The name of the metadata in `torch.export.load(..., extra_files={METADATA: ""})`."""


def build(part: Part, about: Mapping[str, str]) -> tuple[bytes, Computation]:
    """The content of a .pt2 file, and the program in it as a function."""
    program = program_of(part.module, part.inputs)
    _remove_source_locations(program)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(about), sort_keys=True)})
    module = program.module()

    def compute(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = module(**{name: inputs[name] for name in part.inputs})
        return outputs

    return buffer.getvalue(), compute


def _remove_source_locations(program: torch.export.ExportedProgram) -> None:
    """Remove the source lines of each operation."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
