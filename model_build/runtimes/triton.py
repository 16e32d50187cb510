"""NVIDIA Triton with its onnxruntime backend, alone and as KServe runs it.

Sources, in the repositories triton-inference-server/server and kserve/kserve:
- the repository's layout: docs/user_guide/model_repository.md, "ONNX Models"
- config.pbtxt: docs/user_guide/model_configuration.md and batcher.md; threads: onnxruntime_backend's README
- user, options: docs/customization_guide/deploy.md; ports and probes: deploy/k8s-onprem/templates/deployment.yaml
- KServe: config/runtimes/kserve-tritonserver.yaml; docs/samples/storage/oci-image-volume
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_build.oci.tar import Entry
from model_build.recipe_runtimes import KServe, Triton
from model_build.runtimes.runtime import KSERVE_ROOT, OPEN_INFERENCE, ROOT, Health, Predictor, Runtime, beside, text

CONFIG = "config.pbtxt"
LABELS = "labels.txt"
# A model that changes by another image never changes in a running server: nothing is polled, loaded or completed.
FIXED = ("--disable-auto-complete-config", "--model-control-mode=none")


def runtime(options: Triton | KServe, name: str) -> Runtime:
    """Return Triton for the model `name`."""
    kserve = isinstance(options, KServe)
    root = KSERVE_ROOT if kserve else ROOT
    http, grpc, metrics = (8080, 9000, 8002) if kserve else (8000, 8001, 8002)

    def layout(artifact: Path) -> list[Entry]:
        return _layout(options, name, artifact)

    return Runtime(
        name=options.name,
        protocol=OPEN_INFERENCE,
        command=(
            *("tritonserver", f"--model-repository={root}"),
            *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
            *FIXED,
        ),
        ports={"http": http, "grpc": grpc, "metrics": metrics},
        health=Health.at("/v2/health/ready", "/v2/health/live", start_seconds=300),
        layout=layout,
        metrics=("metrics", "/metrics"),
        root=root,
        gpus=options.gpus,
        predictors={"one": _predictor(metrics)} if kserve else {},
    )


def _predictor(metrics: int) -> Predictor:
    # The repository and the ports KServe's runtime names itself.
    return Predictor("onnx", "kserve-tritonserver", (f"--metrics-port={metrics}", *FIXED), "v2")


def _layout(options: Triton | KServe, name: str, artifact: Path) -> list[Entry]:
    contract = json.loads((artifact / "model.json").read_bytes())
    at = f"models/{name}"
    labels = contract.get("labels")
    return [
        Entry.folder(at),
        Entry.folder(f"{at}/1"),
        Entry(f"{at}/1/model.onnx", content=artifact / contract["file"]),
        text(f"{at}/{CONFIG}", config(options, contract)),
        *([text(f"{at}/{LABELS}", "".join(f"{one}\n" for one in labels))] if labels else []),
        *beside(artifact, at),
    ]


def config(options: Triton | KServe, contract: Mapping[str, Any]) -> str:
    """Return config.pbtxt for a model.json; what takes text is served as token ids, which its client makes."""
    kind = "KIND_GPU" if options.gpus else "KIND_CPU"
    threads = {"intra_op_thread_count": options.threads} if options.threads and not options.gpus else {}
    return "\n".join(
        [
            f'name: "{contract["name"]}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {options.max_batch_size}",
            *_tensors("input", _inputs(contract)),
            *_tensors("output", contract["outputs"], LABELS if contract.get("labels") else None),
            f"instance_group [ {{ count: {options.instances} kind: {kind} }} ]",
            f"dynamic_batching {{ max_queue_delay_microseconds: {options.max_queue_delay_us} }}",
            *(f'parameters {{ key: "{key}" value: {{ string_value: "{one}" }} }}' for key, one in threads.items()),
            "",
        ]
    )


def _inputs(contract: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    tokens = contract.get("tokens")
    return contract["inputs"] if tokens is None else [_ids(tokens["input"])]


def _ids(name: str) -> Mapping[str, Any]:
    return {"name": name, "datatype": "INT64", "shape": [-1, -1]}


def _tensors(part: str, tensors: Sequence[Mapping[str, Any]], labels: str | None = None) -> list[str]:
    # The batch is no dimension here: the full shape is [-1] + dims.
    return [
        f'{part} [ {{ name: "{one["name"]}" data_type: TYPE_{one["datatype"]} dims: {list(one["shape"][1:])}'
        f"{_labelled(labels)} }} ]"
        for one in tensors
    ]


def _labelled(file: str | None) -> str:
    return f' label_filename: "{file}"' if file else ""
