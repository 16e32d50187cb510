"""The provider as the engine runs it: its own process, spoken to over gRPC, with an engine that keeps messages."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from local import build
from tests.conftest import Platform
from tests.provider.clusters import Kubectl, know

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "provider" / "pulumi-resource-modelstack"


class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps what a provider logs."""

    def __init__(self) -> None:
        self.messages: list[engine_pb2.LogRequest] = []

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002 (the name gRPC calls)
        self.messages.append(request)
        return empty_pb2.Empty()

    def said(self) -> str:
        return "\n".join(one.message for one in self.messages)


@dataclass
class Provider:
    """A running provider and the engine it speaks to."""

    stub: provider_pb2_grpc.ResourceProviderStub
    engine: Engine
    urn: str = "urn:pulumi:dev::digits-project::modelstack:index:ModelImage::digits"

    def of(self, kind: str) -> Provider:
        """Return it as one that is asked of a resource of this kind."""
        self.urn = f"urn:pulumi:dev::tiny::modelstack:index:{kind}::it"
        return self

    def check(self, news: dict[str, Any], olds: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
        answer = self.stub.Check(provider_pb2.CheckRequest(urn=self.urn, olds=struct(olds or {}), news=struct(news)))
        return plain(answer.inputs), {one.property: one.reason for one in answer.failures}

    def diff(self, olds: dict[str, Any], news: dict[str, Any]) -> Any:
        request = provider_pb2.DiffRequest(id="x", urn=self.urn, olds=struct(olds), news=struct(news))
        return self.stub.Diff(request)

    def create(self, inputs: dict[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=self.urn, properties=struct(inputs), preview=preview)
        answer = self.stub.Create(request)
        return answer.id, plain(answer.properties)

    def update(self, identifier: str, olds: dict[str, Any], news: dict[str, Any], *, preview: bool = False) -> Any:
        request = provider_pb2.UpdateRequest(
            id=identifier, urn=self.urn, olds=struct(olds), news=struct(news), preview=preview
        )
        return plain(self.stub.Update(request).properties)

    def read(self, identifier: str, inputs: dict[str, Any], state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.ReadRequest(id=identifier, urn=self.urn, inputs=struct(inputs), properties=struct(state))
        answer = self.stub.Read(request)
        return answer.id, plain(answer.properties)

    def delete(self, identifier: str, state: dict[str, Any]) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=identifier, urn=self.urn, properties=struct(state)))


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(values, struct_pb2.Struct())


def plain(values: struct_pb2.Struct) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(values)
    return found


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the provider runs in."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def project(place: Path) -> Path:
    """Return the project's folder, empty."""
    for one in place.iterdir():
        shutil.rmtree(one)
    return place


BASE = "127.0.0.1:1/modelstack/base@sha256:" + "a" * 64
RECIPE = """
version: 1
name: tiny
model: model.py:build
data: data.py:load
seed: 7
sources:
  - {client: installed, package: scikit-learn}
steps:
  - train: {epochs: 3, batch_size: 64, learning_rate: 0.003, patience: 5}
  - export: {opset: 20}
  - quantize: {method: static-int8, per_channel: true, calibration_samples: 200}
gates:
  min_accuracy: 0.5
  max_drop: 0.2
  max_size_ratio: 0.9
  max_latency_ms: 50
  parity: {atol: 1.0e-4, batches: [1, 2, 7]}
runtime: {name: onnxruntime}
platforms: [linux/amd64]
"""


@pytest.fixture
def inputs(project: Path) -> dict[str, Any]:
    """Return the inputs of a small model; nothing listens at its registry."""
    folder = project / "tiny"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "model.py").write_text("def build(): ...\n")
    (folder / "data.py").write_text("def load(): ...\n")
    return {"recipe": "tiny/recipe.yaml", "push": "127.0.0.1:1", "repository": "modelstack/tiny", "base": BASE}


@pytest.fixture(scope="session")
def engine() -> Iterator[tuple[Engine, str]]:
    servicer = Engine()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.fixture(scope="session")
def running(
    place: Path, tmp_path_factory: pytest.TempPathFactory, engine: tuple[Engine, str]
) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    process = subprocess.Popen(
        [str(LAUNCHER), engine[1]],
        cwd=place,
        stdout=subprocess.PIPE,
        env={**os.environ, "MODELSTACK_CACHE": str(tmp_path_factory.mktemp("cache"))},
        process_group=0,
    )
    assert process.stdout is not None
    with process, grpc.insecure_channel(f"127.0.0.1:{port_of(process)}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture
def provider(running: provider_pb2_grpc.ResourceProviderStub, engine: tuple[Engine, str], project: Path) -> Provider:
    """Return the running provider; what it logged before is forgotten."""
    engine[0].messages.clear()
    return Provider(running, engine[0])


@pytest.fixture(scope="session")
def administrator(platform: Platform) -> Kubectl:
    """Return kubectl for what belongs to the whole cluster."""
    cache = Path(platform.environment["MODELSTACK_CACHE"])
    program = str(build.binaries(build.KUBERNETES, cache, build.go_version()) / "kube")
    return Kubectl(program, platform.connection.kubeconfig, "default")


@pytest.fixture
def kubectl(administrator: Kubectl) -> Iterator[Kubectl]:
    found = replace(administrator, namespace=f"provider-{secrets.token_hex(4)}")
    found.run("create", "namespace", found.namespace)
    yield found
    found.run("delete", "namespace", found.namespace, "--wait=false")


@pytest.fixture(scope="session")
def inference_services(administrator: Kubectl) -> None:
    """Have the API server know KServe's InferenceService, by the whole definition that its project publishes."""
    folder = build.source(build.KSERVE) / "config" / "crd" / "full"
    know(administrator, folder / "serving.kserve.io_inferenceservices.yaml")


def port_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "the provider printed no port"
    return int(process.stdout.readline())
