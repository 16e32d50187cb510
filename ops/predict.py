"""`python -m ops predict`: every held-out sample through the stack's endpoint, one request a sample."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import urllib3

from ops import samples
from ops.engine import Engine, EngineError, environment
from ops.samples import Samples, SamplesError

OK, BELOW, USAGE, UNREACHABLE = 0, 1, 2, 3
PROGRESS_SECONDS = 2.0
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
    """One model's answers; times are in milliseconds a request."""

    correct: int
    total: int
    accuracy: float
    p50_ms: float
    p99_ms: float

    def line(self, model: str) -> str:
        """Return the line that ends a model's run."""
        return f"{model}: {self.correct}/{self.total} correct over HTTP, p50 {self.p50_ms:.1f} ms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="the stack whose endpoints are asked (default: dev)")
    parser.add_argument("--min-accuracy", type=float, default=0.97, metavar="SHARE", help="default: 0.97")
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="read the stack's outputs from a JSON file instead"
    )
    parser.add_argument(
        "--held-out", action="append", default=[], metavar="MODEL=FILE.npz", help="samples instead of the recipe's"
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 below the accuracy, 2 where something cannot be read, 3 where no answer comes."""
    project = Path.cwd()
    try:
        if not 0 <= arguments.min_accuracy <= 1:
            raise UsageError(f"--min-accuracy: {arguments.min_accuracy} is not a share from 0 to 1, such as 0.97")
        files = _held_out_files(arguments.held_out)
        outputs = _outputs(project, arguments.stack, arguments.outputs)
        results = {}
        for model, url in _endpoints(outputs, arguments.stack).items():
            found = samples.read(files[model]) if model in files else _of_recipe(project, model, outputs)
            results[model] = ask(model, url, found)
            if not arguments.json:
                print(results[model].line(model), flush=True)
    except (UsageError, EngineError, SamplesError) as error:
        return _fail(USAGE, error)
    except UnreachableError as error:
        return _fail(UNREACHABLE, error)
    if arguments.json:
        print(json.dumps({"stack": arguments.stack, "models": {name: asdict(one) for name, one in results.items()}}))
    return _judge(results, arguments.min_accuracy)


def ask(model: str, url: str, held_out: Samples) -> Result:
    """Send every sample to `url` over one kept-alive connection; raises UnreachableError."""
    path = f"{url.rstrip('/')}/v2/models/{model}"
    with urllib3.PoolManager(1, maxsize=1, retries=RETRIES, timeout=TIMEOUT) as pool:
        tensor = _first_input(_request(pool, "GET", path), path, held_out)
        progress = _Progress(model, len(held_out.labels))
        correct = 0
        times = []
        for at, label in enumerate(held_out.labels):
            body = json.dumps({"inputs": [tensor | {"data": held_out.inputs.row(at)}]}).encode()
            begun = time.perf_counter()
            answer = _request(pool, "POST", f"{path}/infer", body)
            times.append((time.perf_counter() - begun) * 1000)
            correct += _best(answer, path) == label
            progress.show(at + 1)
        progress.clear()
    total = len(held_out.labels)
    return Result(correct, total, correct / total, statistics.median(times), _percentile(times, 0.99))


def _request(pool: urllib3.PoolManager, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
    headers = {"content-type": "application/json"} if body else {}
    try:
        response = pool.request(method, url, body=body, headers=headers)
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


def _first_input(metadata: dict[str, Any], path: str, held_out: Samples) -> dict[str, Any]:
    try:
        tensor = metadata["inputs"][0]
        name, datatype = tensor["name"], tensor["datatype"]
    except (KeyError, IndexError, TypeError) as error:
        raise UnreachableError(f"{path}: names no inputs; is this the model's server?") from error
    if datatype != held_out.inputs.datatype:
        raise UsageError(f"{path}: takes {datatype}, the samples are {held_out.inputs.datatype}; use the model's own")
    return {"name": name, "datatype": datatype, "shape": [1, *held_out.inputs.shape[1:]]}


def _best(answer: dict[str, Any], path: str) -> int:
    """Return the class with the highest score."""
    try:
        scores: list[float] = answer["outputs"][0]["data"]
        return max(range(len(scores)), key=scores.__getitem__)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreachableError(f"{path}: an answer holds no scores; is this the model's server?") from error


def _outputs(project: Path, stack: str, file: Path | None) -> object:
    try:
        if file is not None:
            return json.loads(file.read_text(encoding="utf-8"))
        return json.loads(Engine(project, stack, environment(project, stack)).on_stack("stack", "output", "--json"))
    except OSError as error:
        raise UsageError(f"--outputs: {file} cannot be read ({error.strerror}); name a JSON file") from error
    except ValueError as error:
        raise UsageError(f"the outputs of stack {stack!r} are not JSON ({error}); run `make up` again") from error


def _of_recipe(project: Path, model: str, outputs: Any) -> Samples:
    told = (outputs.get("models") or {}).get(model) or {}
    return samples.of_recipe(project, model, told.get("recipe") or f"models/{model}/recipe.yaml")


def _endpoints(outputs: object, stack: str) -> dict[str, str]:
    found = outputs.get("endpoint") if isinstance(outputs, dict) else None
    if not isinstance(found, dict) or not found:
        raise UsageError(f"stack {stack!r} has no output `endpoint`; run `make up STACK={stack}` first")
    for model, url in found.items():
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise UsageError(
                f"endpoint: {model}: {url!r} is not an http or https URL; run `make up STACK={stack}` again"
            )
    return found


def _held_out_files(given: Sequence[str]) -> dict[str, Path]:
    files = {}
    for one in given:
        model, separator, file = one.partition("=")
        if not (model and separator and file):
            raise UsageError(f"--held-out: {one!r} is not MODEL=FILE.npz; write it so")
        files[model] = Path(file)
    return files


def _judge(results: dict[str, Result], least: float) -> int:
    below = {name: one for name, one in results.items() if one.accuracy < least}
    for name, one in below.items():
        print(
            f"{name}: accuracy {one.accuracy:.4f} is below --min-accuracy {least}; "
            "see whether the served version is the one that passed its gates",
            file=sys.stderr,
        )
    return BELOW if below else OK


def _fail(code: int, error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Progress:
    """Says how far a run is, every PROGRESS_SECONDS, on standard error."""

    def __init__(self, model: str, total: int) -> None:
        self._model = model
        self._total = total
        self._due = time.monotonic() + PROGRESS_SECONDS
        self._shown = False

    def show(self, done: int) -> None:
        """Say that `done` samples are sent, if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + PROGRESS_SECONDS
        self._shown = True
        ending = "\r" if sys.stderr.isatty() else "\n"
        print(f"{self._model}: {done}/{self._total} samples sent", end=ending, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away where it stands on a terminal."""
        if self._shown and sys.stderr.isatty():
            print("\x1b[2K", end="\r", file=sys.stderr, flush=True)
