"""vLLM: a folder of safetensors as Hugging Face lays it out, its layers shared by as many GPUs as asked for.

Sources, in the repository vllm-project/vllm: docs/serving/parallelism_scaling.md (tensor and pipeline parallel),
docs/deployment/k8s.md (port, /health, shared memory), docs/deployment/docker.md (users, caches),
docs/usage/metrics.md. In the repository kserve/kserve: config/runtimes/kserve-vllmserver.yaml and
kserve-huggingfaceserver-multinode.yaml, python/huggingfaceserver (options), python/kserve/kserve/protocol/rest (paths).
"""

from pathlib import Path, PurePosixPath

from model_build.hashing import source_files
from model_build.oci.tar import Entry
from model_build.recipe_runtimes import Vllm
from model_build.runtimes.runtime import KSERVE_ROOT, OPENAI, ROOT, Health, Predictor, Runtime

HTTP, KSERVE_HTTP = 8000, 8080
# Nothing is downloaded and nothing told; caches go to the scratch volume. A user without a line in /etc/passwd has no
# name, which torch's compiler asks for.
ENV = {
    "HOME": "/tmp",  # noqa: S108
    "USER": "nonroot",
    "LOGNAME": "nonroot",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def runtime(options: Vllm, name: str) -> Runtime:
    """Return vLLM for the model `name`."""

    def layout(folder: Path) -> list[Entry]:
        at = f"models/{name}"
        # What is hidden is no part of the inputs' hash.
        files = {path.relative_to(folder).as_posix(): path for path in source_files(folder)}
        folders = {parent.as_posix() for file in files for parent in PurePosixPath(file).parents}
        return [
            *(Entry.folder(f"{at}/{one}") for one in folders),
            *(Entry(f"{at}/{file}", content=path) for file, path in files.items()),
        ]

    return Runtime(
        name=options.name,
        protocol=OPENAI,
        command=(
            *("vllm", "serve", f"{ROOT}/{name}", f"--served-model-name={name}", f"--port={HTTP}"),
            *(*_sharing(options), *_loading(options)),
        ),
        ports={"http": HTTP},
        health=Health.at("/health", "/health", start_seconds=1800),
        layout=layout,
        env=ENV,
        gpus=options.gpus,
        stages=options.pipeline_parallel,
        scratch="8Gi",
        shared_memory="2Gi",
        predictors={"one": _one(options, name), "several": _several(options, name)},
    )


def _sharing(options: Vllm) -> tuple[str, ...]:
    stages = options.pipeline_parallel
    layers = (f"--pipeline-parallel-size={stages}",) if stages > 1 else ()
    return (f"--tensor-parallel-size={options.tensor_parallel}", *layers)


def _loading(options: Vllm) -> tuple[str, ...]:
    length = () if options.max_model_len is None else (f"--max-model-len={options.max_model_len}",)
    # Never a pickle, whatever else a folder may hold.
    return ("--load-format=safetensors", f"--dtype={options.dtype}", *length)


def _one(options: Vllm, name: str) -> Predictor:
    """Return vLLM's own image in a pod of KServe's."""
    args = (f"--model={KSERVE_ROOT}/{name}", *_sharing(options), *_loading(options))
    return Predictor("vLLM", "kserve-vllmserver", args, instead={"ports": {"http": KSERVE_HTTP}, "root": KSERVE_ROOT})


def _several(options: Vllm, name: str) -> Predictor:
    """Return KServe's own server, which starts vLLM and Ray: a head that is asked, and workers."""
    health = Health.at("/v2/health/ready", "/v2/health/live", start_seconds=1800)
    instead = {
        "ports": {"http": KSERVE_HTTP},
        "startup": health.startup.told(),
        "ready": health.ready.told(),
        "live": health.live.told(),
        "root": KSERVE_ROOT,
        "sharedMemory": "3Gi",
        # Clients find vLLM's paths where they are without KServe.
        "env": {**ENV, "KSERVE_OPENAI_ROUTE_PREFIX": ""},
    }
    # The runtime names /mnt/models itself, before these: the last counts.
    args = (f"--model_dir={KSERVE_ROOT}/{name}", "--backend=vllm", *_loading(options))
    return Predictor("huggingface", "kserve-huggingfaceserver-multinode", args, instead=instead)
