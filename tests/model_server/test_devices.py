"""What is told and refused of devices, as far as that needs no GPU; tests/gpu has the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from model_server import runtime
from model_server.contract import load
from model_server.errors import ConfigError
from model_server.runtime import CPU, CUDA, Session

# The form of an error of onnxruntime 1.31.1: its own source, what the driver said, where and of which call.
HIDDEN = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 CudaCall(...) [with ERRTYPE = cudaError] "
    "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=node ; expr=cudaSetDevice(id)"
)


@dataclass(frozen=True)
class Part:
    """Nodes that onnxruntime placed on a device."""

    ep_name: str
    nodes: int

    def get_nodes(self) -> list[None]:
        return [None] * self.nodes


@dataclass(frozen=True)
class Placed:
    """A session of which only the places of its nodes are asked."""

    parts: Sequence[Part]

    def get_provider_graph_assignment_info(self) -> Sequence[Part]:
        return self.parts


def test_a_session_whose_run_fails_never_goes_on_with_another_device(models: Path) -> None:
    session = Session(load(models / "linear"), 1, arena=True)
    assert session._session._enable_fallback is False


def test_nodes_are_counted_by_device(models: Path) -> None:
    placed = Placed([Part(CUDA, 3), Part(CPU, 1), Part(CUDA, 2)])
    assert runtime._placed(load(models / "linear"), placed) == {"cuda": 5, "cpu": 1}


def test_a_model_none_of_whose_nodes_runs_on_the_gpu_is_refused(models: Path) -> None:
    with pytest.raises(ConfigError, match="none of its 2 nodes can run there; bake it with `device: cpu`"):
        runtime._placed(load(models / "linear"), Placed([Part(CPU, 2)]))


def test_what_the_driver_says_is_told_instead_of_a_file_that_cannot_be_loaded(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError(HIDDEN)

    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda **_: None)
    monkeypatch.setattr(ort, "InferenceSession", failing)
    with pytest.raises(ConfigError) as caught:
        Session(load(models / "linear"), 1, arena=True, device="cuda")
    assert str(caught.value) == (
        "MODELSTACK_DEVICE: 'cuda', but CUDA failure 100: no CUDA-capable device is detected; "
        "give the pod a GPU and its driver, or bake the image with `device: cpu`"
    )


def test_a_library_of_cuda_that_cannot_be_loaded_is_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "Failed to load libcublas.so.13: cannot open shared object file"
    real = ort.InferenceSession
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda **_: print(missing))
    monkeypatch.setattr(
        ort, "InferenceSession", lambda file, options, **_: real(file, options, providers=[CPU], enable_fallback=0)
    )
    with pytest.raises(ConfigError, match=f"'cuda', but {missing}; give the pod a GPU"):
        Session(load(models / "linear"), 1, arena=True, device="cuda")
