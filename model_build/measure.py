"""An ONNX file as onnxruntime sees it: its contract, its answers and how long they take."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from model_build.data import Inputs
from model_build.tasks import Answers

AT_ONCE = 256
ROUNDS = 21
ROUND_SECONDS = 0.01
MAX_RUNS = 200


class UnusableError(Exception):
    """The artifact cannot be measured; the message says why."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: name, onnxruntime's type and its shape (a string or None is a dynamic size)."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Artifact:
    """A loaded ONNX file; answers on `threads` threads, so that they are the same each time."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UnusableError(f"{path.name} cannot be loaded by onnxruntime: {error}") from error
        self.inputs = [Tensor(one.name, one.type, tuple(one.shape)) for one in self._session.get_inputs()]
        self.outputs = [Tensor(one.name, one.type, tuple(one.shape)) for one in self._session.get_outputs()]

    def answer(self, inputs: Inputs) -> Answers:
        """Return the first output for one batch; raises UnusableError where it cannot answer."""
        try:
            output = self._session.run([self.outputs[0].name], {self.inputs[0].name: inputs})[0]
        except Exception as error:
            raise UnusableError(f"a batch of {len(inputs)} cannot be answered: {error}") from error
        return np.asarray(output)

    def answer_all(self, inputs: Inputs) -> Answers:
        """Return the answers for every sample, in batches."""
        return np.concatenate([self.answer(inputs[at : at + AT_ONCE]) for at in range(0, len(inputs), AT_ONCE)])


def latencies_ms(artifacts: Sequence[Artifact], sample: Inputs) -> list[float]:
    """Return each artifact's milliseconds an answer: the median of rounds that take turns."""
    runs = [_runs_in_a_round(one, sample) for one in artifacts]
    rounds = [
        [_round_ms(one, sample, count) for one, count in zip(artifacts, runs, strict=True)] for _ in range(ROUNDS)
    ]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _runs_in_a_round(artifact: Artifact, sample: Inputs) -> int:
    artifact.answer(sample)
    once = _round_ms(artifact, sample, 3) / 1000
    return max(1, min(MAX_RUNS, int(ROUND_SECONDS / max(once, 1e-9))))


def _round_ms(artifact: Artifact, sample: Inputs, runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        artifact.answer(sample)
    return (time.perf_counter() - began) * 1000 / runs
