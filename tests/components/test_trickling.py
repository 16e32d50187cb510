"""A thousand connections whose requests arrive a byte a second, before a real gateway and a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.components import gateways
from tests.components.gateways import before
from tests.load import p99, steady_load
from tests.model_server.running import running, write_linear
from tests.processes import resident
from tests.trickle import trickling

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(300)]

CONNECTIONS = 1000
RATE = 50.0
# Longer than it takes to give one of them up, so that some are closed and made again all the time.
SECONDS = 20
TURNS = 2
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}).encode()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[gateways.Gateway]:
    """A gateway as a stack has it, before one server."""
    write_linear(tmp_path / "models")
    with running(tmp_path / "models") as server, before("linear", server, tmp_path) as found:
        yield found


def asked(url: str, seconds: list[float]) -> None:
    """Ask for a while, every time with success, and add how long each took."""
    with steady_load(url, BODY, RATE) as load:
        time.sleep(SECONDS)
    assert not load.failed, load.failed
    seconds += load.seconds


def test_clients_of_a_gateway_do_not_feel_a_thousand_connections_that_trickle(
    gateway: gateways.Gateway, tell: Callable[[str], None]
) -> None:
    url = f"{gateway.url}/v2/models/linear/infer"
    without: list[float] = []
    beside: list[float] = []
    # In turn, so that what else the machine does is felt by both.
    for _ in range(TURNS):
        asked(url, without)
        with trickling(url, CONNECTIONS):
            asked(url, beside)
    tell(
        f"{CONNECTIONS:,} connections that trickle: p99 {1000 * p99(beside):.1f} ms of {len(beside):,} requests beside "
        f"them, {1000 * p99(without):.1f} ms of {len(without):,} without them; "
        f"the gateway holds {resident(gateway.process.pid) >> 20} MiB"
    )
    assert p99(beside) < 2 * p99(without)
