"""The HTTP side: routes and what they answer."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from model_server import VERSION
from model_server.answers import closing_while_draining, error_answer, json_answer, on_error, on_http_error
from model_server.bodies import BodyReader
from model_server.errors import RequestError
from model_server.logs import write
from model_server.metrics import CONTENT_TYPE_LATEST, UNKNOWN, Metrics
from model_server.protocol import infer_response, model_metadata, parse_infer
from model_server.scheduler import Scheduler
from model_server.state import Served, State

T = TypeVar("T")

# Below this many bytes, parsing costs less than handing the work to a thread.
INLINE_BYTES = 32 * 1024


class Endpoints:
    """The protocol's endpoints over the server's parts; `deadline` is in seconds."""

    def __init__(
        self, state: State, scheduler: Scheduler, metrics: Metrics, bodies: BodyReader, *, deadline: float
    ) -> None:
        self._state = state
        self._scheduler = scheduler
        self._metrics = metrics
        self._bodies = bodies
        self._deadline = deadline

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        model = "/v2/models/{model}"
        routes = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models", self.models),
            Route("/metrics", self.metrics),
        ]
        for path in (model, model + "/versions/{version}"):
            routes += [
                Route(path, self.model),
                Route(path + "/ready", self.model_ready),
                Route(path + "/infer", self.infer, methods=["POST"]),
            ]
        app = Starlette(
            routes=routes,
            exception_handlers={RequestError: on_error, HTTPException: on_http_error, Exception: on_error},
        )
        app.router.redirect_slashes = False
        return closing_while_draining(app, self._state)

    async def server(self, _: Request) -> Response:
        """Answer the server's metadata."""
        return json_answer(200, {"name": "modelstack", "version": VERSION, "extensions": []})

    async def live(self, _: Request) -> Response:
        """Answer the liveness probe."""
        return json_answer(200, {"live": True})

    async def ready(self, _: Request) -> Response:
        """Answer the readiness probe."""
        ready = self._state.ready
        return json_answer(200 if ready else 503, {"ready": ready})

    async def models(self, _: Request) -> Response:
        """Answer the names of the models served."""
        return json_answer(200, {"models": list(self._state.models)})

    async def model(self, request: Request) -> Response:
        """Answer a model's metadata."""
        return json_answer(200, model_metadata(self._find(request).contract))

    async def model_ready(self, request: Request) -> Response:
        """Answer whether a model takes requests."""
        served = self._find(request)
        ready = served.ready and not self._state.draining
        return json_answer(200 if ready else 503, {"name": served.contract.name, "ready": ready})

    async def metrics(self, _: Request) -> Response:
        """Answer the page that Prometheus scrapes."""
        return Response(self._metrics.page(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def infer(self, request: Request) -> Response:
        """Answer an inference request, and count it whatever the outcome."""
        begun = time.perf_counter()
        model = UNKNOWN
        try:
            served = self._find(request)
            model = served.contract.name
            response = await self._infer(request, served)
        except Exception as error:  # whatever it is, this request fails alone and is counted
            response = error_answer(error)
        seconds = time.perf_counter() - begun
        code = response.status_code
        self._metrics.observe(model, code, seconds)
        level = logging.DEBUG if code == 200 else logging.INFO if code < 500 else logging.WARNING
        write(level, "infer", model=model, code=code, seconds=round(seconds, 6))
        return response

    def _find(self, request: Request) -> Served:
        return self._state.find(request.path_params["model"], request.path_params.get("version"))

    async def _infer(self, request: Request, served: Served) -> Response:
        body = await self._bodies.read(request, self._deadline)
        with self._scheduler.slot():
            try:
                async with asyncio.timeout(self._deadline):
                    content = await self._answer(served, body)
            except TimeoutError as error:
                raise RequestError(
                    504, f"no answer within {self._deadline:g} s (MODELSTACK_DEADLINE_SECONDS); send fewer samples"
                ) from error
        return Response(content, media_type="application/json")

    async def _answer(self, served: Served, body: bytes) -> bytes:
        contract = served.contract
        if served.session is None:
            reason = served.fault or "it is being loaded"
            raise RequestError(503, f"model {contract.name!r} is not ready: {reason}", retry_after=1)
        parsed = await self._compute(len(body), partial(parse_infer, contract, body))
        arrays = await self._scheduler.infer(served.session, parsed.inputs, parsed.outputs)
        size = sum(array.nbytes for array in arrays)
        return await self._compute(size, partial(infer_response, contract, parsed, arrays))

    async def _compute(self, size: int, work: Callable[[], T]) -> T:
        return work() if size <= INLINE_BYTES else await self._scheduler.compute(work)
