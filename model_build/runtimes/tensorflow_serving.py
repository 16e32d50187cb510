"""TensorFlow Serving: the SavedModel as its first version, and Prometheus' figures.

Sources, in the repository tensorflow/serving, tensorflow_serving/g3doc: docker.md (ports, options, layout),
serving_config.md (monitoring), api_rest.md (the model's status). The port opens once the model is loaded.
"""

from pathlib import Path

from model_build.oci.tar import Entry
from model_build.recipe_runtimes import TensorFlowServing
from model_build.runtimes.runtime import ROOT, TENSORFLOW_REST, Health, Runtime, beside, text, within

SAVED_MODEL = "saved_model"  # the folder of an artifact that holds it
MONITORING = "monitoring.config"
METRICS = "/monitoring/prometheus/metrics"
GRPC, HTTP = 8500, 8501


def runtime(options: TensorFlowServing, name: str) -> Runtime:
    """Return TensorFlow Serving for the model `name`."""
    status = f"/v1/models/{name}"

    def layout(artifact: Path) -> list[Entry]:
        at = f"models/{name}"
        return [
            text(f"models/{MONITORING}", monitoring()),
            Entry.folder(at),
            Entry.folder(f"{at}/1"),
            *within(artifact / SAVED_MODEL, f"{at}/1"),
            *beside(artifact, at),
        ]

    return Runtime(
        name=options.name,
        protocol=TENSORFLOW_REST,
        command=(
            *("tensorflow_model_server", f"--port={GRPC}", f"--rest_api_port={HTTP}"),
            *(f"--model_name={name}", f"--model_base_path={ROOT}/{name}"),
            # What changes is another image, never a folder beside this one.
            *(f"--monitoring_config_file={ROOT}/{MONITORING}", "--file_system_poll_wait_seconds=0"),
        ),
        ports={"http": HTTP, "grpc": GRPC},
        health=Health.at(status, status, start_seconds=300),
        layout=layout,
        metrics=("http", METRICS),
        gpus=options.gpus,
    )


def monitoring() -> str:
    """Return the monitoring configuration."""
    return f'prometheus_config {{\n  enable: true\n  path: "{METRICS}"\n}}\n'
