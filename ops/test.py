"""`python -m ops test STACK`: a functional and a load test of the images a stack runs, recorded beside each image."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from model_build.errors import BuildError, RegistryError
from model_build.supply.tested import Record, attach_record
from ops import functional, load, model_images, predict
from ops.engine import Engine, EngineError, environment, if_down, pending
from ops.functional import Verdict
from ops.load import Plan
from ops.model_images import ModelImage
from ops.predict import UnreachableError, UsageError
from ops.progress import Progress
from ops.samples import SamplesError
from ops.under_test import RefusedError, Subject, prepared
from provider.errors import ProviderError

PASSED, FAILED, USAGE, REFUSED = 0, 1, 2, 3
FUNCTIONAL, LOAD = "functional", "load"
SUITES = (FUNCTIONAL, LOAD)
MOST_BODIES = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", metavar="STACK", help="the stack whose models are tested")
    parser.add_argument("--model", action="append", default=[], help="this model alone; may be repeated")
    parser.add_argument(
        "--rate", type=float, default=20.0, metavar="PER_SECOND", help="requests a second (default: 20)"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="how long they are sent (default: 15)")
    parser.add_argument("--max-p99", type=float, metavar="SECONDS", help="default: the model's rollout.maxP99Seconds")
    parser.add_argument(
        "--max-error-ratio", type=float, metavar="SHARE", help="default: the model's rollout.maxErrorRatio"
    )
    parser.add_argument("--min-accuracy", type=float, metavar="SHARE", help="default: the recipe's gate")
    parser.add_argument("--min-cosine", type=float, metavar="COSINE", help="default: the recipe's gate")
    parser.add_argument(
        "--held-out", action="append", default=[], metavar="MODEL=FILE.npz", help="samples instead of the recipe's"
    )
    parser.add_argument("--key", metavar="KEY", help="file or env://NAME that signs, in place of signingKey")
    parser.add_argument("--dry-run", action="store_true", help="test, and record nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = f"{predict.KEY} in the environment is the key, or the token, of a stack whose gateway asks for one."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 passed, 1 a test failed, 2 usage, 3 no answer, or nothing could be recorded."""
    project = Path.cwd()
    try:
        plan = _plan(arguments)
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        before = _running(engine, arguments.model)
        subjects = [prepared(arguments, engine, image) for image in before.values()]
        records = {one.image.model: list(_tested(one, plan, arguments)) for one in subjects}
        _require_same(before, engine, arguments.model)
        if not arguments.dry_run:
            _record(project, subjects, records)
    except (UsageError, SamplesError, EngineError) as error:
        return _fail(USAGE, error)
    except (UnreachableError, RegistryError) as error:
        return _fail(REFUSED, f"{error}{if_down(project, arguments.stack)}")
    except (RefusedError, BuildError, ProviderError) as error:
        return _fail(REFUSED, error)
    if arguments.json:
        print(json.dumps(_told(arguments, before, records)))
    return PASSED if all(one.ok for some in records.values() for one in some) else FAILED


def _plan(arguments: argparse.Namespace) -> Plan:
    if not 0 < arguments.rate <= 2000 or not 1 <= arguments.seconds <= 3600:
        raise UsageError(
            f"--rate {arguments.rate} --seconds {arguments.seconds}: the limits are 2000 a second and 1 to 3600 seconds"
        )
    for name in ("max_error_ratio", "min_accuracy", "min_cosine"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"--{name.replace('_', '-')}: {value} is not a share from 0 to 1, such as 0.97")
    return Plan(arguments.rate, arguments.seconds)


def _running(engine: Engine, models: Sequence[str]) -> dict[str, ModelImage]:
    """Return model → image of what the stack runs; raises RefusedError while it is worked on."""
    state = engine.export()
    if pending(state):
        raise RefusedError(
            f"stack {engine.stack}: an operation on it was begun and not ended; run `python -m ops recover --stack "
            f"{engine.stack}`, then test again"
        )
    found = {name: one for name, one in model_images.of_state(state).items() if one.digest and one.inputs}
    unknown = sorted(set(models) - set(found))
    if unknown or not found:
        what = f"--model: {unknown[0]!r} is no model that" if unknown else "no model is what"
        known = ", ".join(sorted(found)) or "none"
        raise UsageError(f"{what} stack {engine.stack!r} runs, it runs {known}; run `make up STACK={engine.stack}`")
    return {name: found[name] for name in sorted(found) if not models or name in models}


def _require_same(before: Mapping[str, ModelImage], engine: Engine, models: Sequence[str]) -> None:
    after = _running(engine, models)
    for name, image in before.items():
        now = after[name].digest if name in after else None
        if now != image.digest:
            raise RefusedError(
                f"{name}: stack {engine.stack} ran {image.digest} when the test began and {now} when it ended; nothing "
                "is recorded, test again"
            )


def _tested(subject: Subject, plan: Plan, arguments: argparse.Namespace) -> Iterator[Record]:
    for suite, verdicts, limits in _suites(subject, plan):
        wrong = [one for one in verdicts if one.wrong]
        figures = {key: value for one in verdicts for key, value in one.figures.items()}
        passed, failed = (tuple(one.name for one in verdicts if bool(one.wrong) is bad) for bad in (False, True))
        ended = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if not arguments.json:
            print(f"{subject.image.model}: {suite} {'failed' if wrong else 'passed'} ({_figures(figures)})", flush=True)
        for one in wrong:
            print(f"{subject.image.model}: {suite}/{one.name}: {one.wrong}", file=sys.stderr)
        yield Record(suite, arguments.stack, str(subject.image.inputs), ended, passed, failed, limits, figures)


def _suites(subject: Subject, plan: Plan) -> Iterator[tuple[str, list[Verdict], dict[str, Any]]]:
    limits = subject.limits
    least = {f"min_{figure}": value for figure, value in limits.least.items()}
    yield FUNCTIONAL, list(functional.run(subject.endpoint, subject.golden, subject.held_out, limits.least)), least
    held = {"max_p99_seconds": limits.max_p99_seconds, "max_error_ratio": limits.max_error_ratio}
    yield LOAD, _under_load(subject, plan), {"rate": plan.rate, "seconds": plan.seconds, **held}


def _under_load(subject: Subject, plan: Plan) -> list[Verdict]:
    endpoint, limits = subject.endpoint, subject.limits
    bodies = list(islice(predict.bodies(endpoint.answers(), endpoint.path, subject.held_out), MOST_BODIES))
    progress = Progress(endpoint.model, plan.requests, "requests sent")
    done = load.send(f"{endpoint.path}/infer", endpoint.headers, bodies, plan, progress.show)
    progress.clear()
    p99 = done.percentile(99)
    slow = "" if p99 is not None and p99 <= limits.max_p99_seconds else f"p99 is {p99} s"
    failing = "" if done.error_ratio <= limits.max_error_ratio else f"error ratio is {done.error_ratio:.4f}"
    others = done.versions - {endpoint.version} if endpoint.version else frozenset()
    return [
        Verdict("p99", slow and f"{slow}, the limit is {limits.max_p99_seconds}", done.values()),
        Verdict("error-ratio", failing and f"{failing} of {dict(done.answers)}, the limit is {limits.max_error_ratio}"),
        Verdict("version", f"{sorted(others)} answered too, the image is {endpoint.version}" if others else ""),
    ]


def _figures(figures: Mapping[str, Any]) -> str:
    known = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    return ", ".join(f"{key} {f'{one:.4g}' if isinstance(one, float) else one}" for key, one in known.items())


def _record(project: Path, subjects: Sequence[Subject], records: Mapping[str, Sequence[Record]]) -> None:
    for one in subjects:
        image = one.image.repository(project).subject(str(one.image.digest))
        for record in records[one.image.model]:
            attach_record(image, record, one.key)


def _told(
    arguments: argparse.Namespace, images: Mapping[str, ModelImage], records: Mapping[str, Sequence[Record]]
) -> dict[str, Any]:
    told = {
        name: {
            "digest": images[name].digest,
            "inputs": images[name].inputs,
            "suites": {
                one.suite: {
                    "ok": one.ok,
                    "passed": one.passed,
                    "failed": one.failed,
                    "limits": dict(one.limits),
                    "figures": dict(one.figures),
                }
                for one in some
            },
        }
        for name, some in records.items()
    }
    return {"stack": arguments.stack, "recorded": not arguments.dry_run, "models": told}


def _fail(code: int, error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
