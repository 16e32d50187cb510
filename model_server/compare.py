"""`python -m model_server.compare`: this image's golden set over HTTP, judged by its answers or by another server's.

Exit codes: 0 agreed, 1 did not, 2 usage or an image that cannot be read, 3 no answer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_server.config import from_environment
from model_server.contract import ModelContract, TensorSpec
from model_server.errors import ConfigError
from model_server.golden import chunks, mismatch, read_golden
from model_server.remote import Remote, RemoteError
from model_server.repository import discover
from model_server.tensors import Array

AGREED, DIFFERED, USAGE, NO_ANSWER = 0, 1, 2, 3
# Between one pass over the golden set and the next: about ten requests a second.
PAUSE_SECONDS = 0.8
# Vectors this close in direction are one answer: an embedding has no largest entry to speak of.
COSINE = 0.99


@dataclass(frozen=True, slots=True)
class Judged:
    """How many of the golden samples were answered alike."""

    alike: int
    total: int

    @property
    def share(self) -> float:
        """From 0 to 1; 0 where nothing was asked."""
        return self.alike / self.total if self.total else 0.0


def main(arguments: list[str]) -> int:
    """Run one comparison and print one line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        contract = _contract(parsed.model)
        print(_run(contract, parsed), flush=True)
    except ConfigError as error:
        return _fail(USAGE, error)
    except RemoteError as error:
        return _fail(NO_ANSWER, error)
    except DifferedError as error:
        return _fail(DIFFERED, error)
    return AGREED


class DifferedError(Exception):
    """The answers are not alike enough; the message is one line."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_server.compare", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--url", required=True, help="the server that is judged")
    parser.add_argument("--stable", metavar="URL", help="judge by this server's answers, not by the image's own")
    parser.add_argument("--version", help="what the judged server has to say it serves")
    parser.add_argument("--min-agreement", type=float, default=1.0, metavar="SHARE", help="from 0 to 1")
    parser.add_argument(
        "--patience", type=float, default=20.0, metavar="SECONDS", help="how long no answer is waited out"
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="go on asking for so long")
    return parser


def _contract(model: str) -> ModelContract:
    repository = discover(from_environment(os.environ).models)
    found = {one.name: one for one in repository.contracts if one.version == repository.defaults[one.name]}
    if model not in found:
        raise ConfigError(f"--model: {model!r} is not in this image, which holds {', '.join(found)}; name one of them")
    return found[model]


def _run(contract: ModelContract, parsed: argparse.Namespace) -> str:
    inputs, wanted = read_golden(contract)
    judged = Remote(parsed.url, contract, parsed.patience, parsed.version)
    if parsed.stable is None:
        return _by_golden_answers(contract, judged, inputs, wanted)
    stable = Remote(parsed.stable, contract, parsed.patience)
    until = time.monotonic() + parsed.seconds
    while True:
        with closing(judged), closing(stable):
            found = _agreement(contract, judged, stable, inputs)
        told = (
            f"agreement {found.share:.3f} ({found.alike} of {found.total} golden samples) of {parsed.url} with stable"
        )
        # Written so that a NaN fails.
        if not found.share >= parsed.min_agreement:
            raise DifferedError(f"{contract.name}: {told} is below {parsed.min_agreement}")
        if time.monotonic() >= until:
            return f"{contract.name}: {told}"
        time.sleep(PAUSE_SECONDS)


def _by_golden_answers(
    contract: ModelContract, judged: Remote, inputs: dict[str, Array], wanted: dict[str, Array]
) -> str:
    with closing(judged):
        answers = [judged.answer(chunk) for chunk in chunks(contract, inputs)]
    got = {spec.name: np.concatenate([one[spec.name] for one in answers]) for spec in contract.outputs}
    found = mismatch(contract, got, wanted)
    count = len(next(iter(got.values())))
    if found is not None:
        raise DifferedError(
            f"{contract.name}: output {found.output!r} of {judged.url} differs from the golden answers by "
            f"{found.difference:.4g}, the limit is {found.limit:.4g}"
        )
    return f"{contract.name}: {count} golden samples answered as baked"


def _agreement(contract: ModelContract, judged: Remote, stable: Remote, inputs: dict[str, Array]) -> Judged:
    alike = total = 0
    for asked in _each(contract, inputs):
        one, other = judged.answer(asked), stable.answer(asked)
        samples = [_alike(spec, one[spec.name], other[spec.name]) for spec in contract.outputs]
        alike += sum(map(all, zip(*samples, strict=True)))
        total += len(samples[0])
    return Judged(alike, total)


def _each(contract: ModelContract, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield one sample after another, or as many as a model takes at once, so that every request is a small one."""
    if any(spec.shape[0] > 0 for spec in contract.inputs):
        yield from chunks(contract, inputs)
        return
    for at in range(len(next(iter(inputs.values())))):
        yield {name: array[at : at + 1] for name, array in inputs.items()}


def _alike(spec: TensorSpec, one: Array, other: Array) -> list[bool]:
    """Return of each sample whether two answers mean the same: the same class, or the same direction."""
    if one.shape != other.shape:
        return [False] * len(one)
    return [_same(spec, a, b) for a, b in zip(one, other, strict=True)]


def _same(spec: TensorSpec, one: Any, other: Any) -> bool:
    a, b = np.ravel(one), np.ravel(other)
    if not spec.datatype.startswith("FP") or a.size == 1:
        return bool(np.allclose(a.astype(np.float64), b.astype(np.float64), rtol=0.05, atol=1e-4))
    wide = a.astype(np.float64), b.astype(np.float64)
    lengths = float(np.linalg.norm(wide[0]) * np.linalg.norm(wide[1]))
    close = lengths > 0 and float(wide[0] @ wide[1]) / lengths >= COSINE
    return bool(np.argmax(a) == np.argmax(b)) or close


def _fail(code: int, error: Exception) -> int:
    print(error, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
