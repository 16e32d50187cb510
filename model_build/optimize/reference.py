"""What the source model answers on the held-out split, for the gates to hold the artifact to."""

from typing import Any

import torch

from model_build import data, npz
from model_build.job import Job
from model_build.optimize import seeding, source

AT_ONCE = 256


def run(job: Job) -> dict[str, Any]:
    """Keep the source's logits of the test split, and of its first samples at each parity batch."""
    seeding.settle(job.params["seed"])
    model = source.trained(job)
    inputs = torch.from_numpy(data.read(job.inputs["data"], "test").inputs)
    with torch.no_grad():
        answers = {"test": torch.cat([model(part) for part in inputs.split(AT_ONCE)])}
        for batch in job.params["batches"]:
            answers[f"batch-{batch}"] = model(repeated(inputs, batch))
    npz.save(job.out / "outputs.npz", {name: value.numpy() for name, value in answers.items()})
    return {"samples": len(inputs)}


def repeated(inputs: torch.Tensor, batch: int) -> torch.Tensor:
    """Return the first `batch` samples, started over where there are fewer."""
    return inputs[torch.arange(batch) % len(inputs)]
