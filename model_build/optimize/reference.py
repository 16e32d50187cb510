"""What the torch models answer on the held-out split, for the gates to hold the artifact to."""

from typing import Any

import torch

from model_build import data, npz
from model_build.job import Job
from model_build.optimize import seeding, structure

AT_ONCE = 256


def run(job: Job) -> dict[str, Any]:
    """Keep the source's logits of the test split, and of the first samples at each parity batch the model's own."""
    seeding.settle(job.params["seed"])
    _, source = structure.load(job, "source")
    _, model = structure.load(job)
    inputs = torch.from_numpy(data.read(job.inputs["data"], "test").inputs)
    with torch.no_grad():
        answers = {"test": torch.cat([source(part) for part in inputs.split(AT_ONCE)])}
        for batch in job.params["batches"]:
            answers[f"batch-{batch}"] = model(repeated(inputs, batch))
    npz.save(job.out / "outputs.npz", {name: value.numpy() for name, value in answers.items()})
    return {"samples": len(inputs)}


def repeated(inputs: torch.Tensor, batch: int) -> torch.Tensor:
    """Return the first `batch` samples, started over where there are fewer."""
    return inputs[torch.arange(batch) % len(inputs)]
