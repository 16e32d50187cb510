"""A real TorchServe starts on the model store that a build of the digits makes, and answers as onnxruntime does."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_build import wheels
from model_build.environment import build_interpreter
from model_build.oci.layer import packed
from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house
from tests.model_build.served import CASES, extracted
from tests.registry import free_port
from tests.waiting import until

pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(shutil.which("java") is None, reason="TorchServe needs Java 17, which is not on PATH"),
]
LOCK = Path(__file__).with_name("torchserve") / "requirements.txt"
(CASE,) = [case for case in CASES if case.name == "torchserve"]
START = "from ts.model_server import start; start()"


@dataclass(frozen=True)
class Running:
    """A TorchServe, the artifact it serves, and where it listens."""

    process: "subprocess.Popen[bytes]"
    artifact: Path
    inference: str
    metrics: str

    def infer(self, samples: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> httpx.Response:
        """Send samples over the Open Inference Protocol."""
        tensor = {"name": "input", "datatype": "FP32", "shape": list(samples.shape), "data": samples.ravel().tolist()}
        return httpx.post(f"{self.inference}/v2/models/digits/infer", json={"inputs": [tensor]}, timeout=30)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, builder: Builder) -> Path:
    house: House = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    code, events = house.built_for_torchserve()
    assert code == 0, events[-1]
    return Path(events[-1]["artifact"])


@pytest.fixture(scope="module")
def torchserve(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server, started by the table's own command on the layers' own files, which it cannot write."""
    program, root, scratch = (tmp_path_factory.mktemp(name) for name in ("program", "root", "scratch"))
    assert not wheels.lay_out(LOCK, program)
    extracted(packed(CASE.made.layout(artifact)), root)
    addresses = {name: f"http://127.0.0.1:{free_port()}" for name in ("inference", "management", "metrics")}
    _move(root / "models" / "config.properties", root, addresses)
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode & 0o555)
    moved = [one.replace("/models", str(root / "models")) for one in CASE.made.command]
    own = {name: value.replace("/tmp", str(scratch)) for name, value in CASE.made.env.items()}  # noqa: S108
    log = scratch / "said"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [build_interpreter(print), "-c", START, *moved[1:]],
            env=os.environ | own | {"PYTHONPATH": str(program)},
            cwd=scratch,
            stdout=said,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    running = Running(process, artifact, addresses["inference"], addresses["metrics"])
    try:
        until(lambda: process.poll() is not None or is_ready(running), "TorchServe is ready")
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        for path in (root, *root.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


def _move(properties: Path, root: Path, addresses: dict[str, str]) -> None:
    """Give a server of the tests ports of its own, on loopback."""
    lines = dict(line.split("=", 1) for line in properties.read_text().splitlines())
    lines |= {f"{name}_address": address for name, address in addresses.items()}
    lines |= {key: value.replace("/models", str(root / "models")) for key, value in lines.items() if "/models" in value}
    lines |= {f"grpc_{name}_port": str(free_port()) for name in ("inference", "management")}
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def is_ready(running: Running) -> bool:
    try:
        ready = httpx.get(f"{running.inference}{CASE.made.health.ready.path}", timeout=10).status_code == 200
        # A worker that has not loaded the model yet counts as healthy.
        return ready and running.infer(np.zeros((1, 1, 8, 8), np.float32)).status_code == 200
    except httpx.TransportError:
        return False


def test_torchserve_answers_the_golden_set_as_onnxruntime_does(torchserve: Running) -> None:
    golden = np.load(torchserve.artifact / "golden.npz")
    answer = torchserve.infer(golden["inputs"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (output,) = told["outputs"]
    assert (told["model_name"], output["name"], output["datatype"]) == ("digits", "logits", "FP32")
    assert np.allclose(np.reshape(output["data"], output["shape"]), golden["outputs"], atol=1e-4)


def test_torchserve_refuses_a_misshapen_request_and_goes_on(torchserve: Running) -> None:
    refused = torchserve.infer(np.zeros((1, 1, 4, 8), np.float32))
    assert refused.status_code == 400
    assert "'shape': [1, 1, 4, 8]} is not" in refused.text
    assert torchserve.infer(np.zeros((1, 1, 8, 8), np.float32)).status_code == 200


def test_torchserve_tells_of_the_model_where_prometheus_is_sent(torchserve: Running) -> None:
    path = CASE.made.metrics[1]
    assert (
        'ts_inference_requests_total{model_name="digits"' in httpx.get(f"{torchserve.metrics}{path}", timeout=10).text
    )
