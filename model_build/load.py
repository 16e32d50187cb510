"""The data step: runs the model's loader once and keeps its splits."""

from pathlib import Path
from typing import Any

from model_build import data
from model_build.errors import BuildError, DataError
from model_build.job import Job, call_entry


def run(job: Job) -> dict[str, Any]:
    """Load, check and save the splits; raises DataError for what cannot be trained on."""
    folders = {name: Path(folder) for name, folder in job.params["folders"].items()}
    sources = data.Sources(job.params["seed"], folders)
    try:
        loaded = call_entry(job.model_folder, job.params["entry"], "data", sources)
    except DataError:
        raise
    except BuildError as error:
        raise DataError(str(error)) from error
    splits = data.check(loaded)
    data.save(splits, job.out)
    return {
        "samples": {name: len(getattr(splits, name)) for name in data.SPLITS},
        "shape": list(splits.train.inputs.shape[1:]),
        "classes": len(splits.names),
    }
