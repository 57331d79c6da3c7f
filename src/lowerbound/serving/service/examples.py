"""Examples for trying a run's endpoints: a test image if the run's results contain one, or else a decoded code.

They are bodies of requests that the run accepts: an image as a PNG, other examples as JSON, tensors of the protocol.
"""

import json
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.conditions import context_rows
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.foundation.schema import Schema
from lowerbound.models.vae import VAE
from lowerbound.serving.loaded_model import first_values
from lowerbound.serving.service.formats import examples_as_json, examples_as_png
from lowerbound.serving.service.models import Endpoint, ServedModel

NUM_EXAMPLES = 4  # of a request for a number of examples
IMAGE, ROWS = ("image.png", "image/png"), ("rows.json", "application/json")
"""Name and media type of an example's file."""


def file_of(served: ServedModel) -> tuple[str, str]:
    """The name and the media type of a run's example as a file."""
    return IMAGE if served.schema.has_pictures else ROWS


def example_body(served: ServedModel, x: Float[np.ndarray, "1 *event"]) -> bytes:
    """The example of a run, as the body of a request to the plain endpoints."""
    if served.schema.has_pictures:
        return examples_as_png(x, as_tiles=False)
    return json.dumps(examples_as_json(served, x)).encode() + b"\n"


def inference_body(
    endpoint: Endpoint, x: Float[np.ndarray, "1 *event"], z: Float[np.ndarray, "1 latent"]
) -> dict[str, Any]:
    """A request to a model of the protocol, as JSON, with the example or the code of its run."""
    takes = endpoint.operation.takes
    if takes == "num":
        inputs = [{"name": "num", "shape": [1], "datatype": "INT32", "data": [NUM_EXAMPLES]}]
    else:
        inputs = [_tensor(takes, x if takes == "x" else z)]
    if endpoint.served.schema.conditions:
        number = NUM_EXAMPLES if takes == "num" else 1
        context = context_rows(endpoint.served.schema, first_values(endpoint.served.model), number)
        inputs.append(_tensor("context", context))
    return {"inputs": inputs}


def _tensor(name: str, value: np.ndarray) -> dict[str, Any]:
    data = [None if np.isnan(number) else number for number in value.reshape(-1).tolist()]
    return {"name": name, "shape": list(value.shape), "datatype": "FP32", "data": data}


def point_of(z: Float[np.ndarray, "1 latent"]) -> str:
    """A code as the parameter `z`."""
    return ",".join(f"{number:g}" for number in z[0].tolist())


def example_of(served: ServedModel) -> Float[np.ndarray, "1 *event"]:
    """An example that the run's likelihood accepts, on the model's scale."""
    if served.test_example is not None:
        return served.test_example
    model = served.trained.given(first_values(served.model), 1)
    with torch.inference_mode():
        decoded = best_guess(model, model.decode(_code(model)))
    return _rounded(decoded, served.schema).float().cpu().numpy()


def code_of(served: ServedModel) -> Float[np.ndarray, "1 latent"]:
    """A code in the model's space: that of an example of zeros, in short numbers where the space allows."""
    model = served.trained.given(first_values(served.model), 1)
    code = _code(model).cpu().numpy()
    return code if model.why_not_real else code.round(2) + 0.0  # without negative zeros


@torch.inference_mode()
def _code(model: VAE) -> Float[Tensor, "1 latent"]:
    device = next(model.parameters()).device
    return model.encode(torch.zeros(1, *model.event_shape, device=device)).centre


def _rounded(x: Float[Tensor, "1 *event"], schema: Schema) -> Float[Tensor, "1 *event"]:
    """Values as the data have them: whole numbers for counts and levels, stored integers, zeros and ones."""
    support, (low, high) = schema.support, schema.range
    if schema.columns:
        whole = [bool(column.levels) or column.kind == "count" for column in schema.columns]
        return torch.where(torch.tensor(whole, device=x.device), x.round(), x)
    if support.is_binary or support.is_integer:
        return x.round()
    return (x * (high - low)).round() / (high - low) if schema.is_integer else x
