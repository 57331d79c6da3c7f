"""A model's parts as torch.export programs: what PyTorch runs without this package, and compiles ahead of time.

A program is for others: this package never reads one back, since reading runs what a file says.
"""

import io
import json
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from lowerbound.serving.portable.parity import Computation
from lowerbound.serving.portable.parts import Part, program_of

METADATA = "metadata.json"
"""The name under which `torch.export.load(..., extra_files={METADATA: ""})` gives what a file says of itself."""


def build(part: Part, about: Mapping[str, str]) -> tuple[bytes, Computation]:
    """The content of a .pt2 file, and the program in it as a function."""
    program = program_of(part)
    _without_traces(program)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(about), sort_keys=True)})
    module = program.module()

    def compute(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = module(**{name: inputs[name] for name in part.inputs})
        return outputs

    return buffer.getvalue(), compute


def _without_traces(program: torch.export.ExportedProgram) -> None:
    """Drop which lines of whose files each operation came from."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
