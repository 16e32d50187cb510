"""The functional and the load test against real servers on loopback: what each of them finds wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_server.contract import GOLDEN_FILE
from ops import functional, load, samples
from ops.functional import Endpoint, Verdict
from ops.load import Plan
from ops.predict import UnreachableError
from ops.samples import Array, Samples
from tests.components.backends import Pod, serving
from tests.model_server import running as servers
from tests.registry import free_port

INPUTS = np.random.default_rng(7).normal(size=(20, 4)).astype(np.float32)
LABELS = (INPUTS @ servers.WEIGHTS + servers.BIAS).argmax(1)
LEAST = {"accuracy": 0.9}
VERSION = "0123456789ab"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    servers.write_linear(folder)
    servers.write_pair(folder)
    return folder


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    with servers.running(models) as server:
        yield server.url


@pytest.fixture
def endpoint(url: str) -> Endpoint:
    return Endpoint(url, "linear", VERSION)


@pytest.fixture
def golden(models: Path) -> dict[str, Array]:
    return samples.arrays((models / "linear" / GOLDEN_FILE).read_bytes())


def held_out(folder: Path, labels: Any = LABELS) -> Samples:
    np.savez(folder / "held-out.npz", inputs=INPUTS, labels=labels)
    return samples.read(folder / "held-out.npz")


def wrong(verdicts: Iterator[Verdict]) -> dict[str, str]:
    return {one.name: one.wrong for one in verdicts if one.wrong}


def test_a_model_that_answers_as_it_was_baked_passes_every_test(
    endpoint: Endpoint, golden: dict[str, Array], tmp_path: Path
) -> None:
    found = list(functional.run(endpoint, golden, held_out(tmp_path), LEAST))
    assert wrong(iter(found)) == {}
    assert len(found) == 6


def test_golden_answers_that_differ_are_told_with_the_limit(
    endpoint: Endpoint, golden: dict[str, Array], tmp_path: Path
) -> None:
    baked = golden["outputs"]
    other = golden | {"outputs": replace(baked, values=tuple(one + 1 for one in baked.values))}
    found = wrong(functional.run(endpoint, other, held_out(tmp_path), LEAST))
    assert list(found) == ["golden"]
    assert found["golden"].startswith("output 'y' differs by 1, the limit is ")


def test_golden_answers_that_are_no_number_differ(endpoint: Endpoint, golden: dict[str, Array], tmp_path: Path) -> None:
    baked = golden["outputs"]
    other = golden | {"outputs": replace(baked, values=(float("nan"), *baked.values[1:]))}
    assert list(wrong(functional.run(endpoint, other, held_out(tmp_path), LEAST))) == ["golden"]


def test_another_version_that_answers_is_told(endpoint: Endpoint, golden: dict[str, Array], tmp_path: Path) -> None:
    other = replace(endpoint, version="ffffffffffff")
    found = wrong(functional.run(other, golden, held_out(tmp_path), LEAST))
    assert list(found) == ["metadata", "golden"]
    assert found["metadata"].endswith(f"serves versions ['{VERSION}'], the stack's image is ffffffffffff")


def test_samples_that_are_answered_wrong_miss_the_gate(
    endpoint: Endpoint, golden: dict[str, Array], tmp_path: Path
) -> None:
    labels = np.where(np.arange(20) < 5, (LABELS + 1) % 3, LABELS)
    found = wrong(functional.run(endpoint, golden, held_out(tmp_path, labels), LEAST))
    assert found == {"held-out": "accuracy 0.7500 is below 0.9"}


def test_a_golden_set_of_several_tensors_is_sent_by_their_names(url: str, models: Path) -> None:
    golden = samples.arrays((models / "pair" / GOLDEN_FILE).read_bytes())
    endpoint = Endpoint(url, "pair", VERSION)
    verdict = functional.judge_golden(endpoint, endpoint.answers(), golden)
    assert (verdict.wrong, verdict.figures) == ("", {"golden_samples": 2})


def test_an_endpoint_without_an_answer_says_nothing_of_the_image(golden: dict[str, Array], tmp_path: Path) -> None:
    away = Endpoint(f"http://127.0.0.1:{free_port()}", "linear", VERSION)
    with pytest.raises(UnreachableError, match="no answer"):
        list(functional.run(away, golden, held_out(tmp_path), LEAST))


def test_as_many_requests_are_sent_as_are_planned_and_each_is_answered(endpoint: Endpoint) -> None:
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}'
    done = load.send(f"{endpoint.path}/infer", endpoint.headers, [body], Plan(50, 1))
    assert (dict(done.answers), done.error_ratio, done.versions) == ({"200": 50}, 0.0, frozenset({VERSION}))
    assert 0 < (done.percentile(50) or 0) <= (done.percentile(99) or 0)


def test_refusals_count_as_errors_and_have_no_time() -> None:
    port = free_port()
    with serving(Pod("127.0.0.1", status=503), port):
        done = load.send(f"http://127.0.0.1:{port}/", {}, [b"{}"], Plan(20, 1))
    assert (dict(done.answers), done.error_ratio, done.percentile(99)) == ({"503": 20}, 1.0, None)


def test_a_slow_answer_holds_no_later_request_back() -> None:
    port = free_port()
    pod = Pod("127.0.0.1", seconds=2)
    with serving(pod, port):
        done = load.send(f"http://127.0.0.1:{port}/", {}, [b"{}"], Plan(20, 1))
    assert dict(done.answers) == {"200": 20}
    # One after the other the last would take 40 s.
    assert max(done.seconds) < 20


def test_a_server_that_is_away_is_told_by_the_kind_of_error() -> None:
    done = load.send(f"http://127.0.0.1:{free_port()}/", {}, [b"{}"], Plan(10, 1))
    assert dict(done.answers) == {"ConnectError": 10}
