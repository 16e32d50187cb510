"""The protocol over gRPC, asked by Triton's client and its generated messages, against the real server process."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from model_server.messages import MESSAGES, SERVICE, Messages
from tests.model_server.conftest import SAMPLES
from tests.model_server.running import BIAS, WEIGHTS, Server, running
from tests.model_server.test_text import write_text
from tests.registry import free_port

ROWS: NDArray[np.float32] = np.array([[0.25, -1, 3.5, 2], [1, 2, 3, 4]], np.float32)
FIELDS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "BOOL": "bool_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
Listening = tuple[Server, str]


@pytest.fixture(scope="module")
def listening(models: Path) -> Iterator[Listening]:
    port = free_port()
    with running(models, MODELSTACK_MAX_BODY_BYTES="100000", MODELSTACK_GRPC_PORT=str(port)) as server:
        yield server, f"127.0.0.1:{port}"


@pytest.fixture
def client(listening: Listening) -> Iterator["triton.InferenceServerClient"]:
    with triton.InferenceServerClient(listening[1]) as client:
        yield client


@pytest.fixture
def stub(listening: Listening) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(listening[1]) as channel:
        yield GRPCInferenceServiceStub(channel)


def given(name: str, array: NDArray[Any], datatype: str) -> "triton.InferInput":
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def message(raw: list[bytes] | None = None, model: str = "linear", **changes: Any) -> "pb.ModelInferRequest":
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4]} | changes
    return pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=raw or [])


def test_messages_are_those_of_the_protocol() -> None:
    ours = Messages()
    for one in MESSAGES:
        theirs = pb.DESCRIPTOR.message_types_by_name[one.name]
        _agree(ours[one.name].DESCRIPTOR, theirs)


def _agree(ours: Any, theirs: Any) -> None:
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        assert (field.number, field.type) == (other.number, other.type), field.full_name
        assert field.is_repeated == other.is_repeated, field.full_name
    for within in ours.nested_types:
        _agree(within, theirs.nested_types_by_name[within.name])


def test_a_client_sees_that_server_and_model_live_and_are_ready(client: "triton.InferenceServerClient") -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    with pytest.raises(triton.InferenceServerException, match="'absent' is not served here"):
        client.is_model_ready("absent")


def test_a_client_reads_what_server_and_model_say_of_themselves(client: "triton.InferenceServerClient") -> None:
    assert client.get_server_metadata(as_json=True)["name"] == "modelstack"
    model = client.get_model_metadata("linear", as_json=True)
    assert (model["versions"], model["platform"]) == (["0123456789ab"], "onnxruntime_onnx")
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    listed = client.get_model_repository_index(as_json=True)["models"]
    assert {"name": "linear", "version": "0123456789ab", "state": "READY"} in listed


def test_bytes_go_in_and_come_out(client: "triton.InferenceServerClient") -> None:
    answer = client.infer("linear", [given("x", ROWS, "FP32")], "0123456789ab", request_id="order-7")
    np.testing.assert_allclose(answer.as_numpy("y"), ROWS @ WEIGHTS + BIAS, rtol=1e-5)
    response = answer.get_response()
    assert (response.id, response.model_name, response.model_version) == ("order-7", "linear", "0123456789ab")


def test_only_the_outputs_asked_for_come_in_the_order_asked(client: "triton.InferenceServerClient") -> None:
    inputs = [given(name, np.full((1, 2), 2, np.float32), "FP32") for name in ("b", "a")]
    outputs = [triton.InferRequestedOutput(name) for name in ("inverse", "sum")]
    answer = client.infer("pair", inputs, outputs=outputs)
    assert [one.name for one in answer.get_response().outputs] == ["inverse", "sum"]
    assert answer.as_numpy("inverse").tolist() == [[0.5, 0.5]]
    assert client.infer("pair", inputs, outputs=outputs[1:]).as_numpy("inverse") is None


@pytest.mark.parametrize("datatype", SAMPLES)
def test_every_datatype_comes_back_byte_by_byte(client: "triton.InferenceServerClient", datatype: str) -> None:
    answer = client.infer(f"identity-{datatype.lower()}", [given("x", SAMPLES[datatype], datatype)])
    assert answer.get_response().raw_output_contents == [SAMPLES[datatype].tobytes()]


@pytest.mark.parametrize("datatype", FIELDS)
def test_typed_contents_are_answered_in_typed_contents(stub: GRPCInferenceServiceStub, datatype: str) -> None:
    values = SAMPLES[datatype].ravel().tolist()
    model, contents = f"identity-{datatype.lower()}", {FIELDS[datatype]: values}
    response = stub.ModelInfer(message(model=model, datatype=datatype, shape=[1, 2], contents=contents))
    assert list(response.raw_output_contents) == []
    back = list(getattr(response.outputs[0].contents, FIELDS[datatype]))
    assert np.array(back, SAMPLES[datatype].dtype).tolist() == values


@pytest.mark.parametrize("as_bytes", [False, True])
def test_texts_come_typed_and_in_bytes(tmp_path: Path, as_bytes: bool) -> None:
    write_text(tmp_path)
    port = free_port()
    with running(tmp_path, MODELSTACK_GRPC_PORT=str(port)), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        texts = [b"one two", "grün".encode()]
        raw = [b"".join(len(one).to_bytes(4, "little") + one for one in texts)] if as_bytes else None
        contents = {} if as_bytes else {"contents": {"bytes_contents": texts}}
        sent = message(raw, "text", name="text", datatype="BYTES", shape=[2], **contents)
        response = GRPCInferenceServiceStub(channel).ModelInfer(sent)
        back = response.raw_output_contents
        found = np.frombuffer(back[0], "<f4") if as_bytes else response.outputs[0].contents.fp32_contents
        assert list(found) == [5, 2, 5, 1]


BAD = {
    "model": (message(model="absent"), "NOT_FOUND", "'absent' is not served here"),
    "shape": (message([b"\0" * 20], shape=[1, 5]), "INVALID_ARGUMENT", "[1, 5] does not fit"),
    "bytes": (message([b"\0" * 15]), "INVALID_ARGUMENT", "15 bytes, FP32 of shape [1, 4] has 16"),
    "contents": (message(contents={"fp32_contents": [1]}), "INVALID_ARGUMENT", "4 bytes, FP32 of shape [1, 4] has 16"),
    "nothing": (message(), "INVALID_ARGUMENT", "0 bytes, FP32 of shape [1, 4] has 16"),
    "both": (message([b"\0" * 16], contents={"fp32_contents": [1]}), "INVALID_ARGUMENT", "send one of the two"),
    "too many": (message([b"\0" * 16] * 2), "INVALID_ARGUMENT", "2 tensors, inputs: 1"),
    "datatype": (message(datatype="FP8"), "INVALID_ARGUMENT", "'FP8' is unknown"),
    "untyped": (message(datatype="FP16"), "INVALID_ARGUMENT", "has no typed contents"),
    "range": (
        message(model="identity-int8", datatype="INT8", shape=[1, 2], contents={"int_contents": [1, 300]}),
        "INVALID_ARGUMENT",
        "a value is outside INT8's range",
    ),
    "no input": (pb.ModelInferRequest(model_name="linear"), "INVALID_ARGUMENT", "not a list of at least one tensor"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_request_that_does_not_fit_is_refused(stub: GRPCInferenceServiceStub, wrong: str) -> None:
    sent, code, says = BAD[wrong]
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(sent)
    assert caught.value.code().name == code
    assert says in caught.value.details()


@pytest.mark.parametrize("call", ["ModelInfer", "ModelReady", "ServerLive"])
def test_a_message_that_cannot_be_read_is_the_clients_error(listening: Listening, call: str) -> None:
    assert _refused(listening[1], call, b"\xff" * 9) == "INVALID_ARGUMENT"


def test_a_message_over_the_limit_is_refused(listening: Listening) -> None:
    assert _refused(listening[1], "ModelInfer", bytes(100001)) == "RESOURCE_EXHAUSTED"


def test_a_call_that_is_not_served_is_told_so(listening: Listening) -> None:
    assert _refused(listening[1], "ModelStreamInfer", b"") == "UNIMPLEMENTED"


def _refused(address: str, call: str, raw: bytes, **options: Any) -> str:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/{call}")(raw, **options)
    return str(caught.value.code().name)


def test_a_compressed_message_is_refused_before_it_fills_the_memory(listening: Listening) -> None:
    server, address = listening
    packed = bytes(100 << 20)
    assert len(gzip.compress(packed, 1)) > 100_000  # so that no other limit refuses it
    before = _peak(server)
    assert _refused(address, "ModelInfer", packed, compression=grpc.Compression.Gzip) == "UNIMPLEMENTED"
    assert _peak(server) - before < 50 << 20


def _peak(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) << 10


def test_calls_are_counted_with_the_requests(listening: Listening, stub: GRPCInferenceServiceStub) -> None:
    server, _ = listening
    line = 'modelstack_requests_total{code="400",model="linear",version="0123456789ab"} '

    def counted() -> float:
        page = httpx.get(f"{server.url}/metrics", trust_env=False).text
        return float(next((one.removeprefix(line) for one in page.splitlines() if one.startswith(line)), "0"))

    before = counted()
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(message([b""]))
    assert counted() == before + 1


def test_a_call_without_a_message_is_refused(listening: Listening) -> None:
    with grpc.insecure_channel(listening[1]) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(f"/{SERVICE}/ModelInfer")(iter(()))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
