"""The artifact's folder, which becomes `/models/<name>/` in the image: weights, contract, golden set, baseline."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from model_build import data, npz
from model_build.job import Job

INPUT = "input"
OUTPUT = "logits"
MODEL = "model.onnx"
CURVES = "curves.json"
SENSITIVITY = "sensitivity.json"
HISTOGRAMS = "histograms.json"
CONFUSION = "confusion.json"
CANDIDATE = "candidate "  # before the name of each model that the search is given
GOLDEN_SAMPLES = 8
GROUPS = 16
BINS = 10


def run(job: Job) -> dict[str, Any]:
    """Write model.onnx, model.json, golden.npz and baseline.json."""
    from model_build.measure import Artifact  # noqa: PLC0415 (the exporter needs the names above, not onnxruntime)

    shutil.copyfile(job.inputs["model"] / MODEL, job.out / MODEL)
    test = data.read(job.inputs["data"], "test")
    names = data.read_names(job.inputs["data"])
    samples = np.ascontiguousarray(test.inputs[:GOLDEN_SAMPLES])
    answers = Artifact(job.out / MODEL).answer(samples)
    npz.save(job.out / "golden.npz", {"inputs": samples, "outputs": answers})
    _write(job.out / "model.json", contract(job.params["name"], job.params["inputs_hash"], samples.shape[1:], names))
    _write(job.out / "baseline.json", baseline(data.read(job.inputs["data"], "train"), names))
    return {"size": sum(path.stat().st_size for path in job.out.iterdir())}


def contract(name: str, inputs_hash: str, shape: tuple[int, ...], labels: tuple[str, ...]) -> dict[str, Any]:
    """Return model.json: what the server reads."""
    return {
        "name": name,
        "version": inputs_hash[:12],
        "inputs_hash": inputs_hash,
        "platform": "onnxruntime_onnx",
        "file": MODEL,
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *shape]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(labels)]}],
        "labels": list(labels),
    }


def baseline(train: data.Split, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return histograms of training data: the mean of each group of neighbouring features, and the labels."""
    flat = train.inputs.reshape(len(train), -1).astype(np.float64)
    groups = []
    first = 0
    for part in np.array_split(flat, min(GROUPS, flat.shape[1]), axis=1):
        counts, edges = np.histogram(part.mean(axis=1), bins=BINS)
        last = first + part.shape[1] - 1
        groups.append(
            {"features": [first, last], "edges": [round(float(one), 6) for one in edges], "counts": counts.tolist()}
        )
        first = last + 1
    counted = np.bincount(train.labels, minlength=len(labels))
    return {
        "version": 1,
        "input": INPUT,
        "samples": len(train),
        "groups": groups,
        "labels": dict(zip(labels, counted.tolist(), strict=True)),
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
