"""What a recipe may say of the server that answers, and which sources each server can answer for."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from model_build.recipe_steps import GRAPH, Frozen, Load, Step

# What has exclude_if tells nothing where it is what it always was: no inputs' hash hangs on its being named.
Device = Annotated[Literal["cpu", "gpu"], Field(exclude_if=lambda value: value == "cpu")]
Grpc = Annotated[bool, Field(exclude_if=lambda value: not value, description="a second port, for gRPC")]
Packaging = Annotated[Literal["baked", "volume"], Field(exclude_if=lambda value: value == "baked")]
Stages = Annotated[
    int,
    Field(ge=1, le=16, exclude_if=lambda value: value == 1, description="groups of GPUs, each with some of the layers"),
]
Native = Annotated[bool, Field(exclude_if=lambda value: not value, description="small requests skip Python")]
Gpus = Annotated[int, Field(ge=0, le=16, description="GPUs a replica is given")]
Batch = Annotated[int, Field(ge=1, le=4096)]


class OnnxRuntime(Frozen):
    """This project's own server: onnxruntime and the Open Inference Protocol."""

    name: Literal["onnxruntime"]
    device: Device = "cpu"
    grpc: Grpc = False
    native: Native = False


class _OfTriton(Frozen):
    max_batch_size: Batch = 8
    instances: int = Field(default=1, ge=1, le=64, description="copies of the model, on each GPU where there are any")
    max_queue_delay_us: int = Field(default=0, ge=0, le=10_000_000, description="how long a batch waits for more")
    threads: int = Field(default=0, ge=0, le=256, description="of one instance on the CPU; 0: one a core of the node")
    gpus: Gpus = 0


class Triton(_OfTriton):
    """NVIDIA Triton with its onnxruntime backend."""

    name: Literal["triton"]


class KServe(_OfTriton):
    """A model image by KServe's OCI convention, and the server of its `kserve-tritonserver` runtime."""

    name: Literal["kserve"]


class TensorFlowServing(Frozen):
    """TensorFlow Serving, for a SavedModel."""

    name: Literal["tensorflow-serving"]
    gpus: Gpus = 0


class TorchServe(Frozen):
    """TorchServe, for the torch model as TorchScript."""

    name: Literal["torchserve"]
    workers: int = Field(default=1, ge=1, le=64, description="processes, each with the model")
    batch_size: Batch = 8
    max_batch_delay_ms: int = Field(default=5, ge=1, le=10_000, description="how long a batch waits for more")
    gpus: Gpus = 0


class Vllm(Frozen):
    """vLLM, for a folder of safetensors in the layout of Hugging Face."""

    name: Literal["vllm"]
    tensor_parallel: int = Field(
        default=1, ge=1, le=16, description="GPUs that share each layer; a replica has as many, of each stage"
    )
    pipeline_parallel: Stages = 1
    max_model_len: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="tokens of prompt and answer; what config.json says where not given"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"

    @property
    def gpus(self) -> int:
        """The GPUs of a replica."""
        return self.tensor_parallel * self.pipeline_parallel


Runtime = Annotated[OnnxRuntime | Triton | KServe | TensorFlowServing | TorchServe | Vllm, Field(discriminator="name")]
VOLUME_ALONE = ("kserve", "vllm")
_ANY: TypeAdapter[Runtime] = TypeAdapter(Runtime)


def of_values(values: object) -> Runtime:
    """Return the server in the plain values of a recipe that was read before; raises ValueError."""
    return _ANY.validate_json(json.dumps(values))


def require_source(runtime: Runtime, steps: Sequence[Step]) -> None:
    """Raise ValueError where the server cannot serve what the recipe makes; `steps` are those of every candidate."""
    load = steps[0].load
    weights = load is not None and load.format == "huggingface"
    if weights != isinstance(runtime, Vllm):
        if weights:
            raise ValueError(f"has runtime {runtime.name}, which no folder of weights runs on; write `name: vllm`")
        raise ValueError(
            "has runtime vllm, which serves a folder of safetensors alone; "
            "write `load: {format: huggingface, file: FOLDER}`, or another runtime"
        )
    if isinstance(runtime, TensorFlowServing) and (load is None or load.format != "tensorflow"):
        raise ValueError(
            "has runtime tensorflow-serving, which serves a SavedModel alone; "
            "write `load: {format: tensorflow, …}`, or another runtime"
        )
    if isinstance(runtime, TorchServe) and _is_graph(load):
        raise ValueError("has runtime torchserve, which needs a model of torch, not a graph; write `name: triton`")
    if isinstance(runtime, TensorFlowServing | TorchServe) and any(step.quantize for step in steps):
        raise ValueError(
            f"has runtime {runtime.name}, which serves the model before it is quantized; remove quantize, "
            "or write `name: onnxruntime`"
        )


def require_packaging(runtime: Runtime, packaging: str) -> None:
    """Raise ValueError where the server takes its model as a volume alone."""
    if runtime.name in VOLUME_ALONE and packaging != "volume":
        raise ValueError(f"has runtime {runtime.name}, whose model is a volume; write `packaging: volume`")


def _is_graph(load: Load | None) -> bool:
    return load is not None and load.format in GRAPH
