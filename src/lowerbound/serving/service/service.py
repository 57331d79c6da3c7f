"""From a request to its answer, within the limits: what every endpoint does in the same way."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request

from lowerbound.data.examples import RawArray
from lowerbound.data.images import ImageOptions
from lowerbound.foundation.errors import UnknownName
from lowerbound.serving.image_decoding import Decoders
from lowerbound.serving.service.batching import Batcher
from lowerbound.serving.service.limits import Limits, MemoryBudget, RequestError
from lowerbound.serving.service.models import Catalogue, Endpoint, ServedModel
from lowerbound.serving.service.operations import Answer, InferenceRequest
from lowerbound.serving.service.telemetry import ASKED_OF, Telemetry

P = ParamSpec("P")
Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Service:
    """What is served, and what serves it."""

    catalogue: Catalogue
    limits: Limits
    telemetry: Telemetry
    batcher: Batcher
    hold: MemoryBudget
    decoders: Decoders
    reading_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reading"))

    def offer(self, name: str, version: str | None = None) -> Endpoint:
        """What the protocol calls a model; RequestError with 404 where there is none of that name, or version."""
        offers = self.catalogue.offers
        if name not in offers:
            raise RequestError(404, str(UnknownName("model", name[:60], offers)))
        if version not in (None, offers[name].served.version):
            raise RequestError(
                404, f"{name} has no version {version[:60]!r}; it is served as {offers[name].served.version}."
            )
        return offers[name]

    def operation(self, run: str, operation: str) -> Endpoint:
        """An operation of the run of that name; without a name of the only one."""
        served = self.run(run)
        name = f"{served.name}.{operation}"
        if name not in self.catalogue.offers:
            raise RequestError(400, f"{served.name} is a deterministic autoencoder, which has no prior and no ELBO.")
        return self.catalogue.offers[name]

    def run(self, name: str) -> ServedModel:
        """The run of that name; without one the only run there is."""
        runs = self.catalogue.runs
        if not name and len(runs) == 1:
            return next(iter(runs.values()))
        if not name:
            raise RequestError(400, f"several runs are served; say which by ?model=, one of {', '.join(runs)}.")
        if name not in runs:
            raise RequestError(404, str(UnknownName("run", name[:60], runs)))
        return runs[name]

    async def decoded(self, name: str, content: bytes, options: ImageOptions) -> RawArray:
        """An image file's pixels, from a process of its own; DataError for what cannot be decoded."""
        try:
            return await self.decoders(name, content, options, self.limits.timeout)
        except TimeoutError:
            raise self._too_late() from None

    async def apart(self, function: Callable[P, Found], *arguments: P.args, **options: P.kwargs) -> Found:
        """What `function` makes of numbers or pixels, in a thread of its own: meanwhile others are heard."""
        call = asyncio.get_running_loop().run_in_executor(self.reading_thread, partial(function, *arguments, **options))
        try:
            return await asyncio.wait_for(call, self.limits.timeout)
        except TimeoutError:
            raise self._too_late() from None

    async def answer(self, request: Request, offer: Endpoint, question: InferenceRequest) -> Answer:
        """The answer in time; RequestError with 504 else. Whoever hangs up gives the place free."""
        request.scope[ASKED_OF] = offer.name
        answer = asyncio.ensure_future(self.batcher.ask(offer, question))
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait((answer, gone), timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientDisconnect
            raise self._too_late()
        finally:
            answer.cancel()
            gone.cancel()

    def _too_late(self) -> RequestError:
        return RequestError(504, f"the answer took longer than {self.limits.timeout:g} s, which is the limit.")


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
