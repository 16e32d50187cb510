"""Gates: limits the final artifact keeps on the held-out split, or nothing is pushed. What cannot be measured fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build import data, npz
from model_build.artifact import CONFUSION, INPUT, MODEL, OUTPUT
from model_build.errors import GateError
from model_build.host import instruction_sets
from model_build.job import Job
from model_build.measure import Artifact, UnusableError, accuracy, latencies_ms

PROBES = (1, 2, 5)


@dataclass(frozen=True)
class Subject:
    """What is judged: the artifact, the exported fp32 model, the source and its answers, and the held-out split."""

    artifact: Path
    exported: Path
    source: Path
    reference: Mapping[str, NDArray[np.float32]]
    test: data.Split
    classes: int


@dataclass(frozen=True)
class Verdict:
    """Figures and what they miss; every miss names figure, limit and remedy. `confusion` is [label][answer]."""

    metrics: dict[str, Any]
    misses: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] = ()


def run(job: Job) -> dict[str, Any]:
    """Judge the artifact and keep the figures; raises GateError naming every gate that was missed."""
    subject = Subject(
        artifact=job.inputs["model"] / MODEL,
        exported=job.inputs["export"] / MODEL,
        source=job.inputs["source"] / MODEL,
        reference={name: _float32(value) for name, value in npz.load(job.inputs["reference"] / "outputs.npz").items()},
        test=data.read(job.inputs["data"], "test"),
        classes=len(data.read_names(job.inputs["data"])),
    )
    verdict = judge(subject, job.params["gates"])
    if verdict.misses:
        raise GateError("; ".join(verdict.misses))
    names = data.read_names(job.inputs["data"])
    (job.out / CONFUSION).write_text(json.dumps({"names": names, "counts": verdict.confusion}))
    (job.out / "metrics.json").write_text(json.dumps(verdict.metrics, indent=1, sort_keys=True, allow_nan=False))
    return verdict.metrics


def judge(subject: Subject, gates: Mapping[str, Any]) -> Verdict:
    """Measure `subject` and hold it to `gates`; a figure that cannot be had is a miss."""
    if len(subject.test) == 0:
        return Verdict({}, ("gates: the held-out split is empty, the limit is 1 sample; hold samples out",))
    try:
        source, exported, artifact = map(Artifact, (subject.source, subject.exported, subject.artifact))
        misses = [*_contract("exported", exported, subject), *_contract("artifact", artifact, subject)]
        if misses:
            return Verdict({}, tuple(misses))
        answers = {
            "exported": exported.answer_all(subject.test.inputs),
            "artifact": artifact.answer_all(subject.test.inputs),
        }
    except UnusableError as error:
        return Verdict({}, (f"gates: {error}; the limit is an answer at every batch; export the model again",))
    misses = [miss for name, value in answers.items() for miss in _sound(name, value, subject)]
    misses += _sound("source", subject.reference.get("test"), subject)
    if misses:
        return Verdict({}, tuple(misses))
    metrics = _figures(subject, answers, (source, exported, artifact))
    parity, missed = _parity(subject, exported, gates["parity"])
    metrics["parity"] = parity
    return Verdict(metrics, (*limits(metrics, gates), *missed), _confusion(answers["artifact"], subject))


def _contract(name: str, model: Artifact, subject: Subject) -> list[str]:
    """Check names, types and shapes, and that any batch is answered."""
    shape = subject.test.inputs.shape[1:]
    misses = []
    for kind, tensors, wanted, sizes in (
        ("input", model.inputs, INPUT, shape),
        ("output", model.outputs, OUTPUT, (subject.classes,)),
    ):
        if len(tensors) != 1 or tensors[0].name != wanted or tensors[0].type != "tensor(float)":
            found = [(one.name, one.type) for one in tensors]
            misses.append(f"gates: {name} has the {kind}s {found}, the limit is one float {wanted!r}; export it again")
            continue
        if isinstance(tensors[0].shape[0] if tensors[0].shape else 0, int):
            misses.append(
                f"gates: {name} has a fixed batch in {kind} {list(tensors[0].shape)}, the limit is a dynamic one; "
                "export with dynamic shapes"
            )
            continue
        if tensors[0].shape[1:] != tuple(sizes):
            misses.append(
                f"gates: {name} has an {kind} of shape {list(tensors[0].shape)}, the limit is [batch, "
                f"{', '.join(map(str, sizes))}]; make model and data agree"
            )
    return misses or _batches(name, model, subject)


def _batches(name: str, model: Artifact, subject: Subject) -> list[str]:
    misses = []
    for batch in PROBES:
        try:
            answer = model.answer(_first(subject.test.inputs, batch))
        except UnusableError as error:
            misses.append(f"gates: {name}: {error}; the limit is any batch; export with dynamic shapes")
            continue
        if answer.shape != (batch, subject.classes) or answer.dtype != np.float32:
            misses.append(
                f"gates: {name} answers a batch of {batch} with {answer.dtype} {list(answer.shape)}, the limit is "
                f"float32 [{batch}, {subject.classes}]; correct the model's forward"
            )
    return misses


def _sound(name: str, answers: NDArray[np.float32] | None, subject: Subject) -> list[str]:
    wanted = (len(subject.test), subject.classes)
    if answers is None or answers.shape != wanted:
        found = None if answers is None else list(answers.shape)
        return [
            f"gates: {name} gives answers of shape {found}, the limit is {list(wanted)}; correct the model's forward"
        ]
    bad = int((~np.isfinite(answers)).any(axis=1).sum())
    if bad:
        miss = f"gates: {name} answers {bad} of {len(answers)} held-out samples with NaN or infinity, the limit is 0"
        return [f"{miss}; check the weights and the learning rate"]
    return []


def _confusion(answers: NDArray[np.float32], subject: Subject) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros((subject.classes, subject.classes), np.int64)
    np.add.at(counts, (subject.test.labels, answers.argmax(axis=1)), 1)
    return tuple(tuple(map(int, row)) for row in counts)


def _figures(
    subject: Subject, answers: Mapping[str, NDArray[np.float32]], models: tuple[Artifact, Artifact, Artifact]
) -> dict[str, Any]:
    labels = subject.test.labels
    source = accuracy(subject.reference["test"], labels)
    final = accuracy(answers["artifact"], labels)
    source_size, exported_size, size = (
        path.stat().st_size for path in (subject.source, subject.exported, subject.artifact)
    )
    source_latency, exported_latency, latency = latencies_ms(models, _first(subject.test.inputs, 1))
    return {
        "samples": len(labels),
        "accuracy": final,
        "correct": int((answers["artifact"].argmax(axis=1) == labels).sum()),
        "source_accuracy": source,
        "exported_accuracy": accuracy(answers["exported"], labels),
        "drop": source - final,
        "size": size,
        "exported_size": exported_size,
        "source_size": source_size,
        "size_ratio": size / source_size,
        "latency_ms": latency,
        "exported_latency_ms": exported_latency,
        "source_latency_ms": source_latency,
        "speedup": source_latency / latency,
        "instructions": instruction_sets(),
    }


def limits(metrics: Mapping[str, Any], gates: Mapping[str, Any]) -> list[str]:
    """Return every limit that a figure misses; compared with `not (figure <= limit)`, so that NaN misses too."""
    misses = []
    for gate, figure, remedy in (
        ("min_accuracy", "accuracy", "train longer, change the model, or quantize less"),
        ("min_speedup", "speedup", "leave the quantize step out, or take a smaller model"),
    ):
        limit = gates.get(gate)
        if limit is not None and not metrics[figure] >= limit:
            misses.append(f"gates.{gate}: {figure} is {metrics[figure]:.4f}, the limit is at least {limit}; {remedy}")
    for gate, figure, remedy in (
        ("max_drop", "drop", "raise calibration_samples, or leave the quantize step out"),
        ("max_size_ratio", "size_ratio", "quantize, or raise the limit"),
        ("max_latency_ms", "latency_ms", "take a smaller model, or raise the limit"),
    ):
        limit = gates.get(gate)
        if limit is not None and not metrics[figure] <= limit:
            misses.append(f"gates.{gate}: {figure} is {metrics[figure]:.4f}, the limit is at most {limit}; {remedy}")
    return misses


def _parity(subject: Subject, exported: Artifact, gate: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    found, misses = {}, []
    for batch in gate["batches"]:
        wanted = subject.reference.get(f"batch-{batch}")
        answer = exported.answer(_first(subject.test.inputs, batch))
        if wanted is None or wanted.shape != answer.shape:
            misses.append(f"gates.parity: the source has no answer at batch {batch}; check the model's forward")
            continue
        distance = float(np.abs(answer - wanted).max())
        if not distance <= gate["atol"]:
            misses.append(
                f"gates.parity: the exported model differs from its source by {distance:.2e} at batch {batch}, the "
                f"limit is {gate['atol']:.2e}; check operations that depend on the batch, or raise atol"
            )
        found[str(batch)] = distance
    return found, misses


def _first(inputs: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(inputs[np.arange(batch) % len(inputs)])


def _float32(value: NDArray[np.generic]) -> NDArray[np.float32]:
    return value.astype(np.float32, copy=False)
