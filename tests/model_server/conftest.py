import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_build import native
from model_build.cache import StepStore
from model_build.places import cache_root
from tests.model_server import running
from tests.model_server.running import Server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    running.write_linear(root)
    running.write_pair(root)
    running.write_counting(root)
    running.write_lookup(root)
    for datatype, samples in SAMPLES.items():
        running.write_identity(root, datatype, samples)
    return root


@pytest.fixture(scope="session")
def native_settings() -> dict[str, str]:
    """What a server that must have the native module is started with; skips where that cannot be built."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed, so the native module cannot be built")
    built = native.build(StepStore(cache_root()), lambda _: None)
    return {"MODELSTACK_NATIVE": "1", "PYTHONPATH": str(built.parent)}


@pytest.fixture(scope="session", params=["python", "native"])
def server(models: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server both ways: without the native module, and with it."""
    settings = request.getfixturevalue("native_settings") if request.param == "native" else {}
    with running.running(models, MODELSTACK_MAX_BODY_BYTES="100000", given=settings) as server:
        yield server


@pytest.fixture(params=["python", "native"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's own servers run both ways, as `server` does."""
    if request.param == "native":
        for key, value in request.getfixturevalue("native_settings").items():
            monkeypatch.setenv(f"TESTED_{key}", value)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


SAMPLES = {
    "BOOL": np.array([[True, False]]),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-32768, 32767]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "FP16": np.array([[0.1, 65504]], np.float16),
    "FP32": np.array([[0.1, 3.4028235e38]], np.float32),
    "FP64": np.array([[0.1, 1.7976931348623157e308]], np.float64),
}
