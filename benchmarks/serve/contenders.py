"""The servers that are compared: ours and other people's, each with one worker process and one thread a session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import peer_python, python_of
from benchmarks.serve import asking
from benchmarks.serve.asking import Way
from local.alone import free_port
from model_build import native as native_module
from model_build.cache import StepStore
from model_build.places import ROOT, cache_root

HERE = Path(__file__).parent
PEERS = HERE / "peers"
OURS, OURS_BYTES, FASTAPI = "modelstack", "modelstack, binary", "FastAPI"
NATIVE, NATIVE_BYTES = "modelstack, native", "modelstack, native, binary"
PACKAGED = ("LitServe", "BentoML", "MLServer", "KServe")
NEEDED_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Start:
    """A command, and what it finds in its environment and folder."""

    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Contender:
    """A server: how it starts on a port, and how it is asked."""

    name: str
    start: Callable[[int], Start]
    way: Way


def image_python() -> Path:
    """Return the interpreter of an environment with what lies in the image, and nothing else."""
    lock = ROOT / "requirements-image.txt"
    return python_of("the image's environment", ".venv-image", lock, NEEDED_BYTES)


def ours(models: Path, name: str = OURS, way: Way = asking.V2, module: Path | None = None) -> Contender:
    """Return this project's server on the models in a folder, as the image starts it; `module` holds a native one."""
    python = image_python()

    def start(port: int) -> Start:
        settings = {"MODELS": str(models), "HOST": "127.0.0.1", "PORT": str(port), "THREADS": "1"}
        settings["NATIVE"] = "0" if module is None else "1"
        environment = {f"MODELSTACK_{key}": value for key, value in settings.items()}
        found = {} if module is None else {"PYTHONPATH": str(module)}
        return Start((python, "-m", "model_server"), environment | found, ROOT)

    return Contender(name, start, way)


def native(models: Path, name: str = NATIVE, way: Way = asking.V2) -> Contender:
    """Return this project's server with its native front; raises EnvironmentFault where that cannot be built."""
    module = native_module.build(StepStore(cache_root()), lambda line: print(line, file=sys.stderr, flush=True))
    return ours(models, name, way, module.parent)


def by_hand(model: Path) -> Contender:
    """Return FastAPI on uvicorn, written by hand."""
    return _of_program(FASTAPI, "fastapi", model, asking.PIXELS)


def litserve(model: Path) -> Contender:
    """Return LitServe, which batches."""
    return _of_program("LitServe", "litserve", model, asking.PIXELS)


def kserve(model: Path) -> Contender:
    """Return KServe's Python SDK."""
    return _of_program("KServe", "kserve", model, asking.V2)


def bentoml(model: Path) -> Contender:
    """Return BentoML, which batches."""
    program = _python("bentoml").with_name("bentoml")

    def start(port: int) -> Start:
        # `serve` takes this folder of peers for a Bento unless it is told where to look.
        command = (program, "serve", "bentoml_program:Digits", "--working-dir", PEERS)
        further = ("--host", "127.0.0.1", "--port", str(port), "--quiet", "--do-not-track")
        return Start((*command, *further), {"DIGITS_MODEL": str(model), "BENTOML_DO_NOT_TRACK": "True"})

    return Contender("BentoML", start, asking.NESTED)


def mlserver(model: Path, folder: Path) -> Contender:
    """Return MLServer with a runtime of its user's in an empty `folder`; a model this small gains by no batches."""
    program = _python("mlserver").with_name("mlserver")
    folder.mkdir(parents=True)

    def start(port: int) -> Start:
        environment = {
            "PYTHONPATH": str(PEERS),
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
            "MLSERVER_DEBUG": "false",
            # In the server's own process: a worker beside it would take its work through queues.
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_MODEL_NAME": "digits",
            "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_program.Digits",
            "MLSERVER_MODEL_URI": str(model),
        }
        return Start((program, "start", folder), environment, folder)

    return Contender("MLServer", start, asking.V2)


def _of_program(name: str, peer: str, model: Path, way: Way) -> Contender:
    python = _python(peer)
    program = PEERS / f"{peer}_program.py"
    return Contender(name, lambda port: Start((python, program, model, str(port))), way)


def _python(peer: str) -> Path:
    return peer_python(PEERS / f"{peer}.txt", NEEDED_BYTES)
