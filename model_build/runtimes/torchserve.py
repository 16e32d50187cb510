"""TorchServe: a model store with one model that is no archive, its handler beside the weights.

Sources, in the repository pytorch/serve: model-archiver/README.md (manifest, model-config.yaml, no-archive),
docs/configuration.md, docs/custom_service.md, docs/inference_api.md (/ping), docs/metrics_api.md,
docs/token_authorization_api.md, docs/logging.md. Its authors have ended maintenance.
"""

import json
from pathlib import Path

from model_build.oci.tar import Entry
from model_build.recipe_runtimes import TorchServe
from model_build.runtimes.runtime import OPEN_INFERENCE, ROOT, Health, Runtime, beside, text

PROGRAM = "model.pt"  # the file of an artifact that holds the model as TorchScript
CONFIG = "config.properties"
MODEL_CONFIG = "model-config.yaml"
HANDLER = Path(__file__).parent.parent / "templates" / "torchserve_handler.py"
HTTP, METRICS = 8080, 8082
# The root is read-only: logs, the folder that it links the model into and its sockets go to the scratch volume.
ENV = {"TEMP": "/tmp", "HOME": "/tmp", "LOG_LOCATION": "/tmp/logs", "METRICS_LOCATION": "/tmp/logs"}  # noqa: S108


def runtime(options: TorchServe, name: str) -> Runtime:
    """Return TorchServe for the model `name`."""

    def layout(artifact: Path) -> list[Entry]:
        return _layout(options, name, artifact)

    return Runtime(
        name=options.name,
        protocol=OPEN_INFERENCE,
        command=(
            *("torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth"),
            *("--ts-config", f"{ROOT}/{CONFIG}", "--model-store", ROOT, "--models", f"{name}={name}"),
        ),
        ports={"http": HTTP, "metrics": METRICS},
        health=Health.at("/ping", "/ping", start_seconds=300),
        layout=layout,
        metrics=("metrics", "/metrics"),
        env=ENV,
        gpus=options.gpus,
        scratch="1Gi",
    )


def _layout(options: TorchServe, name: str, artifact: Path) -> list[Entry]:
    contract = json.loads((artifact / "model.json").read_bytes())
    at = f"models/{name}"
    return [
        text(f"models/{CONFIG}", properties()),
        Entry.folder(at),
        Entry.folder(f"{at}/MAR-INF"),
        text(f"{at}/MAR-INF/MANIFEST.json", manifest(name, contract["version"])),
        text(f"{at}/{MODEL_CONFIG}", model_config(options)),
        Entry(f"{at}/{HANDLER.name}", content=HANDLER),
        Entry(f"{at}/{PROGRAM}", content=artifact / PROGRAM),
        *beside(artifact, at),
    ]


def properties() -> str:
    """Return config.properties: requests and metrics from anywhere, management from this pod alone."""
    told = {
        "inference_address": f"http://0.0.0.0:{HTTP}",
        "management_address": "http://127.0.0.1:8081",
        "metrics_address": f"http://0.0.0.0:{METRICS}",
        "metrics_mode": "prometheus",
        "enable_model_api": "false",
        "allowed_urls": f"file://{ROOT}/.*",
        "install_py_dep_per_model": "false",
        "model_store": ROOT,
    }
    return "".join(f"{key}={value}\n" for key, value in told.items())


def manifest(name: str, version: str) -> str:
    """Return MANIFEST.json, without the clock reading that the archiver writes."""
    model = {
        "modelName": name,
        "modelVersion": version,
        "serializedFile": PROGRAM,
        "handler": HANDLER.name,
        "configFile": MODEL_CONFIG,
    }
    return json.dumps({"runtime": "python", "model": model, "archiverVersion": "0.12.0"}, indent=2) + "\n"


def model_config(options: TorchServe) -> str:
    """Return the model's own settings."""
    told = {
        "minWorkers": options.workers,
        "maxWorkers": options.workers,
        "batchSize": options.batch_size,
        "maxBatchDelay": options.max_batch_delay_ms,
        "deviceType": "gpu" if options.gpus else "cpu",
    }
    return "".join(f"{key}: {value}\n" for key, value in told.items())
