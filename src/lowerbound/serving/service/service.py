"""Service: looks up endpoints, decodes images, and runs inference within the limits; used by every route."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request

from lowerbound.data.images import ImageOptions
from lowerbound.data.raw_array import RawArray
from lowerbound.foundation.errors import UnknownName
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.image_decoding import Decoders
from lowerbound.serving.service.batching import Batcher
from lowerbound.serving.service.limits import Limits, MemoryBudget
from lowerbound.serving.service.models import Catalogue, Endpoint, ServedModel
from lowerbound.serving.service.operations import InferenceRequest, Outputs
from lowerbound.serving.service.telemetry import ENDPOINT_KEY, Telemetry

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Service:
    """The served models, and everything that requests to them need."""

    catalogue: Catalogue
    limits: Limits
    telemetry: Telemetry
    batcher: Batcher
    budget: MemoryBudget
    decoders: Decoders
    reading_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reading"))

    def endpoint(self, name: str, version: str | None = None) -> Endpoint:
        """The endpoint with a name, RUN.operation; RequestError with 404 for an unknown name or version."""
        endpoints = self.catalogue.endpoints
        if name not in endpoints:
            raise RequestError(404, str(UnknownName("model", name[:60], endpoints)))
        if version not in (None, endpoints[name].served.version):
            served = endpoints[name].served.version
            raise RequestError(404, f"{name} has no version {version[:60]!r}; the served version is {served}.")
        return endpoints[name]

    def operation(self, run: str, operation: str) -> Endpoint:
        """An operation of a run, which needs no name if it is the only one."""
        served = self.run(run)
        name = f"{served.name}.{operation}"
        if name not in self.catalogue.endpoints:
            lacks = "no ELBO" if served.model.has_prior else "no prior and no ELBO"
            raise RequestError(400, f"{served.name} is a deterministic autoencoder, which has {lacks}.")
        return self.catalogue.endpoints[name]

    def run(self, name: str) -> ServedModel:
        """The run with a name, or the only run."""
        runs = self.catalogue.runs
        if not name and len(runs) == 1:
            return next(iter(runs.values()))
        if not name:
            raise RequestError(400, f"several runs are served; choose one with ?model=, one of {', '.join(runs)}.")
        if name not in runs:
            raise RequestError(404, str(UnknownName("run", name[:60], runs)))
        return runs[name]

    async def decode_image(self, name: str, content: bytes, options: ImageOptions) -> RawArray:
        """An image file's pixels, decoded in a separate process; DataError if it cannot be decoded."""
        try:
            return await self.decoders(name, content, options, self.limits.timeout)
        except TimeoutError:
            raise self._timed_out() from None

    async def in_thread(self, function: Callable[P, Result], *arguments: P.args, **options: P.kwargs) -> Result:
        """The result of `function`, run in a thread so that other requests are accepted meanwhile."""
        call = asyncio.get_running_loop().run_in_executor(self.reading_thread, partial(function, *arguments, **options))
        try:
            return await asyncio.wait_for(call, self.limits.timeout)
        except TimeoutError:
            raise self._timed_out() from None

    async def infer(self, request: Request, endpoint: Endpoint, inference: InferenceRequest) -> Outputs:
        """The outputs; RequestError with 504 after the timeout. If the client disconnects, the request is dropped."""
        request.scope[ENDPOINT_KEY] = endpoint.name
        outputs = asyncio.ensure_future(self.batcher.submit(endpoint, inference))
        disconnected = asyncio.ensure_future(_disconnect(request))
        try:
            waiting = (outputs, disconnected)
            await asyncio.wait(waiting, timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if outputs.done():
                return outputs.result()
            if disconnected.done():
                raise ClientDisconnect
            raise self._timed_out()
        finally:
            outputs.cancel()
            disconnected.cancel()

    def _timed_out(self) -> RequestError:
        return RequestError(504, f"the response took longer than {self.limits.timeout:g} s, which is the limit.")


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
