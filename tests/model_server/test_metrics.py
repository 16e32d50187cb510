"""The page that Prometheus scrapes."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.model_server.running import running, write_linear

pytestmark = pytest.mark.usefixtures("both_ways")

SAMPLE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
INPUTS = "ab" * 32


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    folder = write_linear(tmp_path)
    path = folder / "model.json"
    path.write_text(path.read_text().replace("{", f'{{"inputs_hash": "{INPUTS}", ', 1))
    with running(tmp_path) as server, server.client() as client:
        yield client


def series(client: httpx.Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def requests(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name.startswith("modelstack_requests_total")}


def of(code: str, model: str = "linear", version: str = "0123456789ab") -> str:
    return f'modelstack_requests_total{{code="{code}",model="{model}",version="{version}"}}'


def test_every_series_is_there_before_the_first_request(client: httpx.Client) -> None:
    found = series(client)
    labels = 'model="linear",version="0123456789ab"'
    assert requests(found) == {of("200"): 0, of("500"): 0}
    assert found[f"modelstack_request_seconds_count{{{labels}}}"] == 0
    assert found["modelstack_inflight"] == 0
    assert found[f"modelstack_model_ready{{{labels}}}"] == 1
    assert found[f'modelstack_model_info{{inputs="{INPUTS}",{labels}}}'] == 1
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["process_open_fds"] > 0


def test_requests_are_counted_by_their_code(client: httpx.Client) -> None:
    for _ in range(3):
        client.post("/v2/models/linear/infer", json=SAMPLE)
    client.post("/v2/models/linear/infer", json={})
    found = series(client)
    assert requests(found) == {of("200"): 3, of("400"): 1, of("500"): 0}
    assert found['modelstack_request_seconds_count{model="linear",version="0123456789ab"}'] == 4
    assert found['modelstack_request_seconds_sum{model="linear",version="0123456789ab"}'] > 0


def test_probes_and_scrapes_are_not_counted(client: httpx.Client) -> None:
    before = requests(series(client))
    client.get("/v2/health/ready")
    client.get("/v2/models/linear")
    assert requests(series(client)) == before


def test_no_client_can_add_series_without_bound(client: httpx.Client) -> None:
    for at in range(50):
        client.post(f"/v2/models/made-up-{at}/infer", json=SAMPLE)
        client.post(f"/v2/models/linear/versions/{at}/infer", json=SAMPLE)
    found = series(client)
    assert requests(found) == {of("200"): 0, of("500"): 0, of("404", "unknown", "unknown"): 100}
    assert not re.search(r"made-up", "".join(found))
