"""docs/openapi.yaml is what the server does: its routes, and its answers to requests that schemathesis makes up."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.checks import positive_data_acceptance
from starlette.routing import Route

from model_server.admission import Admission
from model_server.app import Endpoints
from model_server.bodies import BodyReader
from model_server.inference import Inference
from model_server.metrics import Metrics
from model_server.state import Catalog, State
from tests.model_server.running import ROOT, Server, running, write_linear, write_pair

DOCUMENT = ROOT / "docs" / "openapi.yaml"
METHODS = ("get", "post", "put", "delete", "patch")
MODELS = ("linear", "pair")
SCHEMA = schemathesis.openapi.from_path(DOCUMENT)
# A request that fits the schema may not fit the model: it knows nothing of the model's tensors.
MAY_BE_REFUSED = [positive_data_acceptance]


def routes() -> set[tuple[str, str]]:
    """Return what the server routes, without what Starlette adds to each (HEAD)."""
    state = State(Catalog({}, {}), 0)
    admission = Admission(1)
    with ThreadPoolExecutor(1) as pool:
        inference = Inference(state, admission, Metrics([], admission.inflight), pool, 1)
        app = Endpoints(inference, BodyReader(1)).routed()
    found = [one for one in app.routes if isinstance(one, Route)]
    return {(one.path, method) for one in found for method in (one.methods or ()) if method != "HEAD"}


def test_the_description_names_the_routes_of_the_server_and_no_other() -> None:
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    told = {(path, one.upper()) for path, item in document["paths"].items() for one in item if one in METHODS}
    assert told == routes()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    write_linear(root)
    write_pair(root)
    with running(root, MODELSTACK_MAX_BODY_BYTES="100000") as server:
        pid = server.process.pid
        yield server
        assert server.process.poll() is None
        assert server.process.pid == pid
        with server.client() as client:
            assert client.get("/v2/health/ready").status_code == 200


def _ask(case: "schemathesis.Case[Any]", server: Server) -> None:
    name = case.path_parameters.get("model")
    if isinstance(name, str) and len(name) % 4:  # most names would be of models that are not served
        case.path_parameters["model"] = MODELS[len(name) % len(MODELS)]
    case.call_and_validate(base_url=server.url, excluded_checks=MAY_BE_REFUSED)


@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_answers_as_described(case: "schemathesis.Case[Any]", described: Server) -> None:
    _ask(case, described)


@pytest.mark.soak
@SCHEMA.parametrize()
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_answers_as_described_for_long(case: "schemathesis.Case[Any]", described: Server) -> None:
    _ask(case, described)
