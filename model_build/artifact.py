"""The artifact's folder, which becomes `/models/<name>/` in the image: weights, contract, golden set, baseline."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build import data, npz
from model_build.job import Job
from model_build.tasks import TASKS

INPUT = "input"
TEXT_INPUT = "text"
MODEL = "model.onnx"
CURVES = "curves.json"
OUTPUTS = "outputs.npz"  # what the source answers, for the gates
SENSITIVITY = "sensitivity.json"
HISTOGRAMS = "histograms.json"
CONFUSION = "confusion.json"
CANDIDATE = "candidate "  # before the name of each model that the search is given
GOLDEN_SAMPLES = 8
GROUPS = 16
BINS = 10


def run(job: Job) -> dict[str, Any]:
    """Write model.onnx (large weights beside it), model.json, golden.npz, baseline.json; what runs in its place."""
    # The exporter needs the names above, neither onnxruntime nor onnx.
    from model_build.graph.split import place  # noqa: PLC0415
    from model_build.measure import Artifact  # noqa: PLC0415

    place(job.inputs["model"] / MODEL, job.out / MODEL)
    if "program" in job.inputs:
        shutil.copytree(job.inputs["program"], job.out, dirs_exist_ok=True)
    test = data.read(job.inputs["data"], "test")
    names = data.read_names(job.inputs["data"])
    tokenizer = data.read_tokenizer(job.inputs["data"])
    given, fed = _golden(test, tokenizer)
    answers = Artifact(job.inputs["model"] / MODEL).answer(fed)
    npz.save(job.out / "golden.npz", {"inputs": given, "outputs": answers})
    tensors = _tensors(test.inputs, answers, job.params) if tokenizer is None else _of_text(answers, tokenizer, job)
    _write(job.out / "model.json", {**_named(job.params), **tensors, **({"labels": list(names)} if names else {})})
    _write(job.out / "baseline.json", baseline(data.read(job.inputs["data"], "train"), names))
    return {"size": sum(path.stat().st_size for path in job.out.rglob("*") if path.is_file())}


def _golden(test: data.Split, tokenizer: data.Tokenizer | None) -> tuple[NDArray[Any], data.Inputs]:
    """Return the golden samples as a request brings them, and as the graph takes them."""
    if tokenizer is None:
        samples = np.ascontiguousarray(test.inputs[:GOLDEN_SAMPLES])
        return samples, samples
    texts = test.texts[:GOLDEN_SAMPLES]
    return np.array(texts), tokenizer.open().encode(texts)


def _named(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of model.json, which the server reads, that says which model this is."""
    return {
        "name": params["name"],
        "version": params["inputs_hash"][:12],
        "inputs_hash": params["inputs_hash"],
        "platform": "onnxruntime_onnx",
        "file": MODEL,
    }


def _tensors(inputs: data.Inputs, answers: NDArray[np.float32], params: Mapping[str, Any]) -> dict[str, Any]:
    shape = [-1 if axis in (0, *params["dynamic_axes"]) else size for axis, size in enumerate(inputs.shape)]
    return {"inputs": [{"name": INPUT, "datatype": "FP32", "shape": shape}], "outputs": _output(answers, params)}


def _of_text(answers: NDArray[np.float32], tokenizer: data.Tokenizer, job: Job) -> dict[str, Any]:
    shutil.copyfile(tokenizer.file, job.out / data.TOKENIZER)
    return {
        "inputs": [{"name": TEXT_INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": _output(answers, job.params),
        "tokens": {"file": data.TOKENIZER, "most": tokenizer.most, "input": INPUT},
    }


def _output(answers: NDArray[np.float32], params: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = TASKS[params["task"]].output
    return [{"name": name, "datatype": "FP32", "shape": [-1, *answers.shape[1:]]}]


def baseline(train: data.Split, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return histograms of training data: the mean of each group of neighbouring features, and the labels.

    Of texts there is one group, the number of their tokens.
    """
    flat = train.inputs.reshape(len(train), -1).astype(np.float64)
    counted = np.bincount(train.labels, minlength=len(labels))
    return {
        "version": 1,
        "input": TEXT_INPUT if train.texts else INPUT,
        "samples": len(train),
        "groups": [_lengths(flat)] if train.texts else _groups(flat),
        "labels": dict(zip(labels, counted.tolist(), strict=True)),
    }


def _groups(flat: NDArray[np.float64]) -> list[dict[str, Any]]:
    groups = []
    first = 0
    for part in np.array_split(flat, min(GROUPS, flat.shape[1]), axis=1):
        last = first + part.shape[1] - 1
        groups.append({"features": [first, last], **_histogram(part.mean(axis=1))})
        first = last + 1
    return groups


def _lengths(ids: NDArray[np.float64]) -> dict[str, Any]:
    return {"features": "tokens", **_histogram((ids != 0).sum(axis=1).astype(np.float64))}


def _histogram(values: NDArray[np.float64]) -> dict[str, Any]:
    counts, edges = np.histogram(values, bins=BINS)
    return {"edges": [round(float(one), 6) for one in edges], "counts": counts.tolist()}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
