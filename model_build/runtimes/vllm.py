"""vLLM: a folder of safetensors as Hugging Face lays it out, its layers shared by as many GPUs as asked for.

Sources, in the repository vllm-project/vllm: docs/serving/parallelism_scaling.md (tensor parallel),
docs/deployment/k8s.md (port, /health, shared memory), docs/deployment/docker.md (users, caches),
docs/usage/metrics.md.
"""

from pathlib import Path, PurePosixPath

from model_build.hashing import source_files
from model_build.oci.tar import Entry
from model_build.recipe_runtimes import Vllm
from model_build.runtimes.runtime import OPENAI, ROOT, Health, Runtime

HTTP = 8000
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

    length = () if options.max_model_len is None else (f"--max-model-len={options.max_model_len}",)
    return Runtime(
        name=options.name,
        protocol=OPENAI,
        command=(
            *("vllm", "serve", f"{ROOT}/{name}", f"--served-model-name={name}", f"--port={HTTP}"),
            # Never a pickle, whatever else a folder may hold.
            *("--load-format=safetensors", f"--dtype={options.dtype}"),
            *(f"--tensor-parallel-size={options.tensor_parallel}", *length),
        ),
        ports={"http": HTTP},
        health=Health.at("/health", "/health", start_seconds=1800),
        layout=layout,
        env=ENV,
        gpus=options.tensor_parallel,
        scratch="8Gi",
        shared_memory="2Gi",
    )
