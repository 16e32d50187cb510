"""A server process on one core that is asked for ten times what it can do: by itself, and behind the gateway."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.gateways import before
from tests.model_server.running import Server, running
from tests.overload import overload

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def work(times: int) -> bytes:
    """A request that takes a while: of less work than some milliseconds a machine cannot send ten times as much."""
    tensors = [
        {"name": "times", "datatype": "INT64", "shape": [1], "data": [times]},
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0]},
    ]
    return json.dumps({"inputs": tensors}).encode()


def sheds_the_rest(how: str, server: Server, url: str, body: bytes, tell: Callable[[str], None]) -> None:
    process = server.process.pid
    subprocess.run(["taskset", "--all-tasks", "--pid", "--cpu-list", "0", str(process)], check=True)
    found = overload(f"{url}/v2/models/counting/infer", body, process)
    tell(found.told(f"overload {how}"))
    assert not found.other, found.other
    assert found.load.failed
    assert found.asked > 9
    assert server.process.poll() is None
    assert found.most <= 2 * found.idle


@pytest.mark.usefixtures("both_ways")
def test_a_server_asked_for_ten_times_what_it_can_do_refuses_the_rest(
    models: Path, tell: Callable[[str], None]
) -> None:
    with running(models, MODELSTACK_THREADS="1") as server:
        sheds_the_rest("of one process", server, server.url, work(15_000), tell)


def test_a_server_of_a_slow_model_does_not_let_requests_wait_in_vain(models: Path, tell: Callable[[str], None]) -> None:
    with running(models, MODELSTACK_THREADS="1") as server:
        sheds_the_rest("of one process, slow model", server, server.url, work(100_000), tell)


@pytest.mark.e2e
def test_a_server_behind_the_gateway_asked_for_ten_times_what_it_can_do_refuses_the_rest(
    models: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    with running(models, MODELSTACK_THREADS="1") as server, before("counting", server, tmp_path) as gateway:
        sheds_the_rest("behind the gateway", server, gateway.url, work(15_000), tell)
