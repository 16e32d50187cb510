"""The HTTP side: routes and what they answer."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from model_server import VERSION
from model_server.answers import Answer, closing_while_draining, json_answer, on_error, on_http_error
from model_server.bodies import BodyReader, header_length
from model_server.errors import RequestError
from model_server.inference import Inference
from model_server.metrics import CONTENT_TYPE_LATEST
from model_server.protocol import EXTENSIONS, index_request, model_metadata
from model_server.state import Served


class Endpoints:
    """The protocol's endpoints over the server's parts."""

    def __init__(self, inference: Inference, bodies: BodyReader) -> None:
        self._inference = inference
        self._state = inference.state
        self._bodies = bodies

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        return closing_while_draining(self.routed(), self._state)

    def routed(self) -> Starlette:
        """Return the routes and what answers their errors."""
        model = "/v2/models/{model}"
        routes = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models", self.models),
            Route("/v2/repository/index", self.index, methods=["POST"]),
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
        return app

    async def server(self, _: Request) -> Response:
        """Answer the server's metadata."""
        return json_answer(200, {"name": "modelstack", "version": VERSION, "extensions": list(EXTENSIONS)})

    async def live(self, _: Request) -> Response:
        """Answer the liveness probe."""
        return json_answer(200, {"live": True})

    async def ready(self, _: Request) -> Response:
        """Answer the readiness probe."""
        ready = self._state.ready
        return json_answer(200 if ready else 503, {"ready": ready})

    async def models(self, _: Request) -> Response:
        """Answer the names of the models served."""
        return json_answer(200, {"models": list(self._state.catalog.versions)})

    async def index(self, request: Request) -> Response:
        """Answer every version of every model and whether it is ready (the model repository extension's index)."""
        asked = index_request(await self._bodies.read(request, self._inference.deadline))
        return json_answer(200, [listed(one) for one in self._state.catalog.all() if one.ready or not asked])

    async def model(self, request: Request) -> Response:
        """Answer a model's metadata."""
        contract = self._find(request).contract
        return json_answer(200, model_metadata(contract, list(self._state.catalog.versions[contract.name])))

    async def model_ready(self, request: Request) -> Response:
        """Answer whether a model takes requests."""
        served = self._find(request)
        ready = served.ready and not self._state.draining
        return json_answer(200 if ready else 503, {"name": served.contract.name, "ready": ready})

    async def metrics(self, _: Request) -> Response:
        """Answer the page that Prometheus scrapes."""
        return Response(self._inference.metrics.page(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def infer(self, request: Request) -> Response:
        """Answer an inference request, and count it whatever the outcome."""

        async def answer(served: Served) -> Answer:
            body = await self._bodies.read(request, self._inference.deadline)
            return await self._inference.ask(served, body, header_length(request, body))

        return (await self._inference.counting(lambda: self._find(request), answer)).response()

    def _find(self, request: Request) -> Served:
        return self._state.catalog.find(request.path_params["model"], request.path_params.get("version"))


def listed(served: Served) -> dict[str, str]:
    """Return a version as the index of the repository lists it."""
    contract = served.contract
    state = "READY" if served.ready else "UNAVAILABLE" if served.fault else "LOADING"
    return {"name": contract.name, "version": contract.version, "state": state, "reason": served.fault}
