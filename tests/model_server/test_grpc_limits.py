"""The gRPC port where it is full, late, told to stop, taken, or not to be had."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from model_server import server as serving
from model_server.config import from_environment
from model_server.errors import ConfigError
from model_server.messages import SERVICE
from tests.model_server.running import Server, running, start, write_counting, write_linear
from tests.model_server.test_drain import times_for_about
from tests.registry import free_port


def counting(times: int) -> "pb.ModelInferRequest":
    tensors = [
        {"name": "times", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [times]}},
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "contents": {"fp32_contents": [0]}},
    ]
    return pb.ModelInferRequest(model_name="counting", inputs=tensors)


@contextmanager
def slow(root: Path, **settings: str) -> Iterator[tuple[Server, GRPCInferenceServiceStub]]:
    write_counting(root)
    port = free_port()
    own = {"MODELSTACK_MAX_INFLIGHT": "1", "MODELSTACK_DEADLINE_SECONDS": "60"} | settings
    with (
        running(root, ready=True, given={"MODELSTACK_GRPC_PORT": str(port), **own}) as server,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield server, GRPCInferenceServiceStub(channel)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Server, GRPCInferenceServiceStub]]:
    with slow(tmp_path) as found:
        yield found


FOR_EVER = 10**12


def test_a_full_server_refuses_and_still_answers_probes(filled: tuple[Server, GRPCInferenceServiceStub]) -> None:
    server, stub = filled
    running_one = stub.ModelInfer.future(counting(FOR_EVER))
    _until_inflight(server, 1)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(counting(1))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    running_one.cancel()
    _until_inflight(server, 0)
    assert stub.ModelInfer(counting(2)).outputs[0].contents.fp32_contents[0] == 2


def test_a_run_over_the_deadline_is_ended(tmp_path: Path) -> None:
    with slow(tmp_path, MODELSTACK_DEADLINE_SECONDS="0.5") as (_, stub), pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(counting(FOR_EVER))
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "MODELSTACK_DEADLINE_SECONDS" in caught.value.details()


def test_a_message_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(60)
        yield b""

    write_linear(tmp_path)
    port = free_port()
    with running(tmp_path, MODELSTACK_GRPC_PORT=str(port), MODELSTACK_DEADLINE_SECONDS="0.5"):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(messages())
        never.set()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.details() == "the message did not arrive within 0.5 s; send it faster"


def test_a_call_under_way_is_answered_after_the_server_was_told_to_stop(
    filled: tuple[Server, GRPCInferenceServiceStub],
) -> None:
    server, stub = filled
    times = times_for_about(1.5, server)
    asked = stub.ModelInfer.future(counting(times))
    _until_inflight(server, 1)
    server.process.send_signal(signal.SIGTERM)
    assert list(asked.result().outputs[0].contents.fp32_contents) == [min(times, 2**24)]
    assert server.process.wait(60) == 0


def _until_inflight(server: Server, count: int) -> None:
    with server.client() as client:
        while f"modelstack_inflight {float(count)}" not in client.get("/metrics").text:
            assert server.process.poll() is None


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    write_linear(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = start(tmp_path, MODELSTACK_GRPC_PORT=port)
        assert server.process.wait(60) == 2
    assert f"MODELSTACK_GRPC_PORT: {port} on 127.0.0.1" in server.wait_for("cannot serve")["error"]


def test_an_image_without_grpc_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "model_server.rpc", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ConfigError, match=r"MODELSTACK_GRPC_PORT: 8081, but this image has no gRPC"):
        serving._rpc(from_environment({"MODELSTACK_GRPC_PORT": "8081"}), None)  # type: ignore[arg-type]
