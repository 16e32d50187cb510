"""Gates: limits the final artifact keeps on the held-out split, or nothing is pushed. What cannot be measured fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build import data, npz
from model_build.artifact import CONFUSION, MODEL, OUTPUTS
from model_build.errors import GateError
from model_build.host import instruction_sets
from model_build.job import Job
from model_build.limits import limits
from model_build.measure import Artifact, UnusableError, latencies_ms
from model_build.probes import first, probes
from model_build.soundness import Signature, bad_answers, unsound
from model_build.tasks import TASKS, Answers, Task


@dataclass(frozen=True)
class Subject:
    """What is judged: the artifact, the exported fp32 model, the source and its answers, and the held-out split."""

    artifact: Path
    exported: Path
    source: Path
    reference: Mapping[str, Answers]
    test: data.Split
    classes: int
    task: Task = TASKS["classification"]
    axes: tuple[int, ...] = ()

    @property
    def signature(self) -> Signature:
        """What the artifact and the export have to look like."""
        return Signature(self.test.inputs, self.axes, self.task.output, self.width)

    @property
    def width(self) -> int:
        """The numbers in an answer: one a label, or as many as the source gives."""
        source = self.reference.get("test")
        return self.classes or (0 if source is None else source.shape[-1])


@dataclass(frozen=True)
class Verdict:
    """Figures and what they miss; every miss names figure, limit and remedy. `confusion` is [label][answer]."""

    metrics: dict[str, Any]
    misses: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] = ()


def run(job: Job) -> dict[str, Any]:
    """Judge the artifact and keep the figures; raises GateError with every gate that was missed, and the figures."""
    subject = Subject(
        artifact=job.inputs["model"] / MODEL,
        exported=job.inputs["export"] / MODEL,
        source=job.inputs["source"] / MODEL,
        reference={name: _float32(value) for name, value in npz.load(job.inputs["reference"] / OUTPUTS).items()},
        test=data.read(job.inputs["data"], "test"),
        classes=len(data.read_names(job.inputs["data"])),
        task=TASKS[job.params["task"]],
        axes=tuple(job.params["dynamic_axes"]),
    )
    if data.read_tokenizer(job.inputs["data"]) and 1 not in subject.axes:
        raise GateError(
            "gates: the data is text and axis 1 has a fixed length, the limit is any length; write "
            "`export: {dynamic_axes: [1]}`, or of a graph the same in load"
        )
    verdict = judge(subject, job.params["gates"])
    confusion = {"names": data.read_names(job.inputs["data"]), "counts": verdict.confusion}
    if verdict.misses:
        facts = {"metrics": _told(verdict.metrics), "misses": verdict.misses, "confusion": confusion}
        raise GateError("; ".join(verdict.misses), facts)
    (job.out / CONFUSION).write_text(json.dumps(confusion))
    (job.out / "metrics.json").write_text(json.dumps(verdict.metrics, indent=1, sort_keys=True, allow_nan=False))
    return verdict.metrics


def _told(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a refused artifact; none where one of them is no number, which its miss says."""
    try:
        json.dumps(metrics, allow_nan=False)
    except ValueError:
        return {}
    return metrics


def judge(subject: Subject, gates: Mapping[str, Any]) -> Verdict:
    """Measure `subject` and hold it to `gates`; a figure that cannot be had is a miss."""
    if len(subject.test) == 0:
        return Verdict({}, ("gates: the held-out split is empty, the limit is 1 sample; hold samples out",))
    try:
        source, exported, artifact = map(Artifact, (subject.source, subject.exported, subject.artifact))
        misses = [*unsound("exported", exported, subject.signature), *unsound("artifact", artifact, subject.signature)]
        if misses:
            return Verdict({}, tuple(misses))
        answers = {
            "exported": exported.answer_all(subject.test.inputs),
            "artifact": artifact.answer_all(subject.test.inputs),
        }
    except UnusableError as error:
        return Verdict({}, (f"gates: {error}; the limit is an answer at every batch; export the model again",))
    wanted = (len(subject.test), subject.width)
    misses = [miss for name, value in answers.items() for miss in bad_answers(name, value, wanted)]
    misses += bad_answers("source", subject.reference.get("test"), wanted)
    if misses:
        return Verdict({}, tuple(misses))
    metrics = _figures(subject, answers, (source, exported, artifact))
    parity, missed = _parity(subject, exported, gates["parity"])
    metrics["parity"] = parity
    return Verdict(metrics, (*limits(metrics, gates), *missed), _confusion(answers["artifact"], subject))


def _confusion(answers: Answers, subject: Subject) -> tuple[tuple[int, ...], ...]:
    if not len(subject.test.labels):
        return ()
    counts = np.zeros((subject.classes, subject.classes), np.int64)
    np.add.at(counts, (subject.test.labels, answers.argmax(axis=1)), 1)
    return tuple(tuple(map(int, row)) for row in counts)


def _figures(
    subject: Subject, answers: Mapping[str, Answers], models: tuple[Artifact, Artifact, Artifact]
) -> dict[str, Any]:
    told = _quality(subject, answers)
    source_size, exported_size, size = (
        path.stat().st_size for path in (subject.source, subject.exported, subject.artifact)
    )
    source_latency, exported_latency, latency = latencies_ms(models, first(subject.test.inputs, 1))
    return {
        "samples": len(subject.test),
        **told,
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


def _quality(subject: Subject, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """Return the task's figures of the artifact, and of source and export under names of their own."""
    source = subject.reference["test"]
    all_answers = {"": answers["artifact"], "exported_": answers["exported"], "source_": source}
    told: dict[str, Any] = {
        f"{prefix}{figure}": value
        for prefix, given in all_answers.items()
        for figure, value in subject.task.figures(given, subject.test, source).items()
    }
    told["drop"] = told[f"source_{subject.task.figure}"] - told[subject.task.figure]
    if len(subject.test.labels):
        told["correct"] = int((answers["artifact"].argmax(axis=1) == subject.test.labels).sum())
    return told


def _parity(subject: Subject, exported: Artifact, gate: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    found, misses = {}, []
    for name, inputs in probes(subject.test.inputs, gate["batches"], subject.axes).items():
        wanted = subject.reference.get(name)
        try:
            answer = exported.answer(inputs)
        except UnusableError as error:
            misses.append(f"gates.parity: {error} ({name}); the limit is an answer; export with dynamic shapes")
            continue
        if wanted is None or wanted.shape != answer.shape:
            misses.append(f"gates.parity: the source has no answer at {name}; check the model's forward")
            continue
        distance = float(np.abs(answer - wanted).max())
        if not distance <= gate["atol"]:
            misses.append(
                f"gates.parity: the exported model differs from its source by {distance:.2e} at {name}, the "
                f"limit is {gate['atol']:.2e}; check operations that depend on the batch, or raise atol"
            )
        found[name] = distance
    return found, misses


def _float32(value: NDArray[np.generic]) -> Answers:
    return value.astype(np.float32, copy=False)
