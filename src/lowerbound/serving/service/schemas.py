"""The service's JSON as pydantic models: bodies of the Open Inference Protocol v2 and of the plain endpoints.

Requests are validated by these models. Responses are written directly as JSON, which is faster for large arrays; their
models describe them in the OpenAPI document. In a request, null counts as absent wherever a field is optional.
"""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, RootModel, WithJsonSchema

from lowerbound.serving.http.json_bodies import StrictModel

MAX_SEED = 2**63 - 1
NUM_DRAWS = (2, 64)  # minimum and maximum
MAX_TEMPERATURE = 100.0
DATATYPES = ("FP32", "UINT8", "INT32")

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
NonNegative = Annotated[int, Field(ge=0)]
# Large arrays are checked by numpy, not element by element.
Numbers = Annotated[Any, WithJsonSchema({"type": "array", "items": {}})]
Datatype = Annotated[str, WithJsonSchema({"enum": list(DATATYPES)})]
Cell = Annotated[Any, WithJsonSchema({"type": ["number", "string", "boolean", "null"]})]
Nullable = list[float | None]


class InferParameters(StrictModel):
    """Parameters of an inference request; which ones a model accepts is in its metadata."""

    seed: Seed | None = None
    sample: bool | None = None
    num: Annotated[int, Field(ge=1, le=MAX_SEED)] | None = None
    num_draws: Annotated[int, Field(ge=NUM_DRAWS[0], le=NUM_DRAWS[1])] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=MAX_TEMPERATURE)] | None = None
    binary_data_output: bool | None = None
    priority: Annotated[Any, Field(description="Ignored.")] = None
    timeout: Annotated[Any, Field(description="Ignored.")] = None


class BinaryInput(StrictModel):
    """The size in bytes of an input sent as binary data after the JSON."""

    binary_data_size: NonNegative | None = None


class InferInput(StrictModel):
    """An input tensor, with its values as `data` or as binary data."""

    name: str
    shape: Annotated[list[int], Field(min_length=1)]
    datatype: Datatype
    parameters: BinaryInput | None = None
    data: Numbers | None = None


class BinaryOutput(StrictModel):
    """Whether an output is sent as binary data."""

    binary_data: bool | None = None


class InferOutput(StrictModel):
    """A requested output tensor."""

    name: str
    parameters: BinaryOutput | None = None


class InferBody(StrictModel):
    """An inference request."""

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: list[InferInput] = Field(default_factory=list)
    outputs: list[InferOutput] | None = None


class Rows(RootModel[list[dict[str, Cell]]]):
    """Rows of a table, as cells by the names of their columns."""


class ExamplesBody(RootModel[Annotated[list[dict[str, Cell] | list[Any]], Field(min_length=1)]]):
    """A list of rows of a table, or of nested lists of numbers."""


class ErrorBody(BaseModel):
    """Why a request was refused, in one line."""

    error: str


class ServerMetadata(BaseModel):
    """Server metadata."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the server is running."""

    live: bool


class Ready(BaseModel):
    """Whether requests can be answered."""

    ready: bool


class IndexEntry(BaseModel):
    """One model in the list of models."""

    name: str
    version: str
    state: str
    reason: str


class TensorMetadata(BaseModel):
    """An input or output tensor; -1 in a shape is the number of examples."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Metadata of a model, which is one operation of one run."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str]


class OutputSize(BaseModel):
    """The size in bytes of an output sent as binary data."""

    binary_data_size: NonNegative


class OutputTensor(BaseModel):
    """An output tensor, with its values as `data` or as binary data."""

    name: str
    datatype: str
    shape: list[NonNegative]
    parameters: OutputSize | None = None
    data: Nullable | None = None


class ResponseParameters(BaseModel):
    """The seed of what was drawn, and notes on how the examples were read."""

    seed: Seed | None = None
    notes: str | None = None


class InferResponse(BaseModel):
    """The response to an inference request."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: ResponseParameters | None = None
    outputs: list[OutputTensor]


Example = TypeVar("Example", bound=BaseModel)
ExampleValue = Annotated[Any, Field(description="A list of numbers, or a row of cells by column name.")]


class RunResponse(BaseModel, Generic[Example]):
    """The response of a plain endpoint: the run, and one entry per example."""

    model: str
    version: str
    examples: list[Example]
    seed: Seed | None = None
    notes: list[str] | None = None


class EncodedExample(BaseModel):
    """The posterior of an example: a covariance unless it is diagonal; only a mean for a deterministic autoencoder.

    On a sphere it is a mean direction with its concentration, on a simplex a centre with the location and log-variance
    of its normal numbers, for one-hot codes the most probable code with the probabilities.
    """

    mean: Nullable | None = None
    log_variance: Nullable | None = None
    covariance: list[Nullable] | None = None
    mean_direction: Nullable | None = None
    concentration: float | None = None
    centre: Nullable | None = None
    location: Nullable | None = None
    code: Nullable | None = None
    probabilities: Nullable | None = None
    z: Nullable | None = None


class ReconstructedExample(BaseModel):
    """The reconstruction of an example."""

    reconstruction: ExampleValue


class ScoredExample(BaseModel):
    """The ELBO of an example in nats, with its standard error over draws."""

    elbo: float | None
    rate: float | None
    distortion: float | None
    standard_error: float | None


class GeneratedExample(BaseModel):
    """A generated example, and the latents it was decoded from."""

    mean: ExampleValue
    z: Nullable


class DecodedExample(BaseModel):
    """A decoded point in latent space."""

    mean: ExampleValue


class ScoreResponse(RunResponse[ScoredExample]):
    """ELBOs with their unit, the convention of log p(x|z), and the number of draws."""

    unit: str
    convention: str
    num_draws: int
