"""`python -m ops predict`: every held-out sample through the stack's endpoint, one request a sample."""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any

import urllib3

from model_build.errors import BuildError
from ops import least, samples
from ops.engine import Engine, EngineError, environment, if_down
from ops.least import Least
from ops.progress import Progress
from ops.samples import Samples, SamplesError

KEY = "MODELSTACK_KEY"
OK, BELOW, USAGE, UNREACHABLE = 0, 1, 2, 3
# A server that drains or is full says so and when to come back; anything else is told to the user at once.
RETRIES = urllib3.Retry(
    total=5,
    connect=2,
    read=2,
    redirect=0,
    status=5,
    other=0,
    backoff_factor=0.2,
    status_forcelist=(429, 503),
    allowed_methods=None,
    raise_on_status=False,
)
TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


class UsageError(Exception):
    """What was asked for cannot be read; the message is one line and says what to do."""


class UnreachableError(Exception):
    """The endpoint does not answer as it should; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Result:
    """One model's answers, times in milliseconds.

    `scores` has 1 or 0 where there are labels, else the cosine of what was answered with what is right.
    """

    figure: str
    scores: tuple[float, ...]
    p50_ms: float
    p99_ms: float

    @property
    def mean(self) -> float:
        """The accuracy, or the mean cosine."""
        return sum(self.scores) / len(self.scores)

    def line(self, model: str) -> str:
        """Return the line that ends a model's run."""
        told = f"{sum(self.scores):.0f}/{len(self.scores)} correct"
        if self.figure == "cosine":
            told = f"cosine {self.mean:.4f} of {len(self.scores)}"
        return f"{model}: {told} over HTTP, p50 {self.p50_ms:.1f} ms"

    def values(self) -> dict[str, float]:
        """Return the figures for a program."""
        correct = {"correct": int(sum(self.scores))} if self.figure == "accuracy" else {}
        times = {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms}
        return {**correct, "total": len(self.scores), self.figure: self.mean, **times}


@dataclass(frozen=True, slots=True)
class Judged:
    """One model's answers, and what they are held to."""

    result: Result
    least: Least

    @property
    def passed(self) -> bool:
        """Whether they are as good as that; no number is not."""
        return self.result.mean >= self.least.value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="the stack whose endpoints are asked (default: dev)")
    least.add_arguments(parser)
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="read the stack's outputs from a JSON file instead"
    )
    parser.add_argument(
        "--held-out", action="append", default=[], metavar="MODEL=FILE.npz", help="samples instead of the recipe's"
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.epilog = f"{KEY} in the environment is the key, or the token, of a stack whose gateway asks for one."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 below the accuracy, 2 where something cannot be read, 3 where no answer comes."""
    project = Path.cwd()
    try:
        held = limits(arguments)
        found = results_of(project, arguments, held, lambda line: None if arguments.json else print(line, flush=True))
    except (UsageError, EngineError, SamplesError) as error:
        return _fail(USAGE, error)
    except UnreachableError as error:
        return _fail(UNREACHABLE, f"{error}{'' if arguments.outputs else if_down(project, arguments.stack)}")
    if arguments.json:
        told = {name: one.result.values() for name, one in found.items()}
        print(json.dumps({"stack": arguments.stack, "models": told}))
    return judge(found)


def limits(arguments: argparse.Namespace) -> dict[str, Least]:
    """Return figure → the least that was asked for; raises UsageError."""
    try:
        return least.asked(arguments)
    except ValueError as error:
        raise UsageError(str(error)) from None


def results_of(
    project: Path, arguments: argparse.Namespace, asked: Mapping[str, Least], tell: Callable[[str], None]
) -> dict[str, Judged]:
    """Ask every model of the stack; `asked` holds all of them, `tell` hears a line of each.

    Raises UsageError, EngineError, SamplesError and UnreachableError.
    """
    files = held_out_files(arguments.held_out)
    outputs = outputs_of(project, arguments.stack, arguments.outputs)
    found = {}
    for model, url in endpoints(outputs, arguments.stack).items():
        recipe = _recipe(model, outputs)
        held = _least(project / recipe, asked)
        sent = samples.read(files[model]) if model in files else samples.of_recipe(project, model, recipe)
        result = ask(model, url, sent, os.environ.get(KEY))
        found[model] = Judged(result, held[result.figure])
        tell(result.line(model))
    return found


def _least(recipe: Path, asked: Mapping[str, Least]) -> dict[str, Least]:
    try:
        return least.of_model(recipe, asked)
    except BuildError as error:
        raise UsageError(str(error)) from error


def ask(model: str, url: str, held_out: Samples, key: str | None = None) -> Result:
    """Send every sample to `url` over one kept-alive connection; `key` is the gateway's. Raises UnreachableError."""
    path = f"{url.rstrip('/')}/v2/models/{model}"
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    with urllib3.PoolManager(1, maxsize=1, retries=RETRIES, timeout=TIMEOUT, headers=headers) as pool:
        sent = bodies(request(pool, "GET", path), path, held_out)
        progress = Progress(model, len(held_out))
        scores, times = [], []
        for at, body in enumerate(sent):
            begun = time.perf_counter()
            answer = request(pool, "POST", f"{path}/infer", body)
            times.append((time.perf_counter() - begun) * 1000)
            scores.append(_score(_numbers(answer, path), held_out, at))
            progress.show(at + 1)
        progress.clear()
    figure = "accuracy" if held_out.wanted is None else "cosine"
    return Result(figure, tuple(scores), statistics.median(times), percentile(times, 0.99))


def request(pool: urllib3.PoolManager, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
    """Return the object that a URL answers with; raises UnreachableError for no answer and every other one."""
    try:
        response = pool.request(method, url, body=body)
        document = json.loads(response.data)
    except urllib3.exceptions.HTTPError as error:
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise UnreachableError(
            f"{url}: no answer ({reason}); see that the stack is up and its pods are ready"
        ) from error
    except ValueError as error:
        raise UnreachableError(f"{url}: status {response.status}, and no JSON; is this the model's server?") from error
    if response.status != 200 or not isinstance(document, dict):
        said = document.get("error", "") if isinstance(document, dict) else ""
        raise UnreachableError(f"{url}: status {response.status}: {said or 'no reason given'}")
    return document


def bodies(metadata: dict[str, Any], path: str, held_out: Samples) -> Iterator[bytes]:
    """Yield a request a sample; raises UsageError where the model takes another type, UnreachableError."""
    tensor = _first_input(metadata, path, held_out)
    for at in range(len(held_out)):
        yield json.dumps({"inputs": [tensor | {"data": held_out.inputs.row(at)}]}).encode()


def _first_input(metadata: dict[str, Any], path: str, held_out: Samples) -> dict[str, Any]:
    try:
        tensor = metadata["inputs"][0]
        name, datatype = tensor["name"], tensor["datatype"]
    except (KeyError, IndexError, TypeError) as error:
        raise UnreachableError(f"{path}: names no inputs; is this the model's server?") from error
    if datatype != held_out.inputs.datatype:
        raise UsageError(f"{path}: takes {datatype}, the samples are {held_out.inputs.datatype}; use the model's own")
    return {"name": name, "datatype": datatype, "shape": [1, *held_out.inputs.shape[1:]]}


def _numbers(answer: dict[str, Any], path: str) -> list[float]:
    """Return what was answered to one sample: logits, or an embedding."""
    try:
        return [float(one) for one in answer["outputs"][0]["data"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreachableError(f"{path}: an answer holds no scores; is this the model's server?") from error


def _score(numbers: Sequence[float], held_out: Samples, at: int) -> float:
    """Return 1 where the largest logit is the label, else 0; of an embedding its cosine with the right one."""
    if held_out.wanted is None:
        return float(bool(numbers) and max(range(len(numbers)), key=numbers.__getitem__) == held_out.labels[at])
    wanted = held_out.wanted.row(at)
    lengths = math.hypot(*numbers) * math.hypot(*wanted)
    fits = len(numbers) == len(wanted) and lengths > 0
    return sum(map(mul, numbers, wanted)) / lengths if fits else 0.0


def outputs_of(project: Path, stack: str, file: Path | None = None) -> object:
    """Return a stack's outputs, from a JSON file where one is given; raises UsageError, EngineError."""
    try:
        if file is not None:
            return json.loads(file.read_text(encoding="utf-8"))
        return json.loads(Engine(project, stack, environment(project, stack)).on_stack("stack", "output", "--json"))
    except OSError as error:
        raise UsageError(f"--outputs: {file} cannot be read ({error.strerror}); name a JSON file") from error
    except ValueError as error:
        raise UsageError(f"the outputs of stack {stack!r} are not JSON ({error}); run `make up` again") from error


def _recipe(model: str, outputs: Any) -> str:
    """Return where the model's recipe lies in the project, by the outputs of a stack."""
    told = (outputs.get("models") or {}).get(model) or {}
    return str(told.get("recipe") or f"models/{model}/recipe.yaml")


def endpoints(outputs: object, stack: str) -> dict[str, str]:
    """Return model → URL of a stack's outputs; raises UsageError."""
    found = outputs.get("endpoint") if isinstance(outputs, dict) else None
    if not isinstance(found, dict) or not found:
        raise UsageError(f"stack {stack!r} has no output `endpoint`; run `make up STACK={stack}` first")
    for model, url in found.items():
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise UsageError(
                f"endpoint: {model}: {url!r} is not an http or https URL; run `make up STACK={stack}` again"
            )
    return found


def held_out_files(given: Sequence[str]) -> dict[str, Path]:
    """Return model → file of `MODEL=FILE` words; raises UsageError."""
    files = {}
    for one in given:
        model, separator, file = one.partition("=")
        if not (model and separator and file):
            raise UsageError(f"--held-out: {one!r} is not MODEL=FILE.npz; write it so")
        files[model] = Path(file)
    return files


def judge(found: Mapping[str, Judged]) -> int:
    """Say which model is below what it is held to; returns 1 where one is, else 0."""
    below = {name: one for name, one in found.items() if not one.passed}
    for name, one in below.items():
        print(
            f"{name}: {one.result.figure} {one.result.mean:.4f} is below {one.least.value}, {one.least.source}; "
            "see whether the served version is the one that passed its gates",
            file=sys.stderr,
        )
    return BELOW if below else OK


def _fail(code: int, error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
