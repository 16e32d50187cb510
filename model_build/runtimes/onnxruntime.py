"""This project's own server: `python -m model_server` on wheels laid out over a base of Python alone."""

from pathlib import Path

from model_build.oci.layer import folder_entries
from model_build.oci.tar import Entry
from model_build.recipe_runtimes import OnnxRuntime
from model_build.runtimes.runtime import OPEN_INFERENCE, Health, Runtime

HOME = "opt/modelstack"
PYTHON = "3.11"
PORT, GRPC_PORT = 8080, 8081
# onnxruntime for GPUs brings the libraries of CUDA as wheels: the base stays the same, the driver is the node's.
LOCKS = {"cpu": "requirements-image.txt", "gpu": "requirements-image-gpu.txt"}
# gRPC's wheel is a layer of its own: images without it are the smaller ones, and those with it share the others.
GRPC_LOCK = "requirements-image-grpc.txt"
ENV = {"PYTHONPATH": f"/{HOME}/deps:/{HOME}/server", "PYTHONDONTWRITEBYTECODE": "1"}


def runtime(options: OnnxRuntime, name: str) -> Runtime:
    """Return the server of the model `name` (docs/architecture.md, Server)."""
    gpu, grpc = options.device == "gpu", options.grpc

    def layout(artifact: Path) -> list[Entry]:
        return folder_entries(artifact, f"models/{name}")

    return Runtime(
        name=options.name,
        protocol=OPEN_INFERENCE,
        command=(f"/usr/bin/python{PYTHON}", "-m", "model_server"),
        ports={"http": PORT, **({"grpc": GRPC_PORT} if grpc else {})},
        health=Health.at("/v2/health/ready", "/v2/health/live", start_seconds=120),
        layout=layout,
        env={
            **ENV,
            **({"MODELSTACK_DEVICE": "cuda"} if gpu else {}),
            **({"MODELSTACK_GRPC_PORT": str(GRPC_PORT)} if grpc else {}),
            **({"MODELSTACK_NATIVE": "1"} if options.native else {}),
        },
        wheels=(LOCKS[options.device], *((GRPC_LOCK,) if grpc else ())),
        native=options.native,
        gpus=1 if gpu else 0,
    )
