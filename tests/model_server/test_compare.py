"""The golden set over HTTP: an image's own answers, and two real servers beside each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.model_server import onnx_files, running
from tests.model_server.running import BIAS, ROOT, WEIGHTS, Server, contract, spec

NOWHERE = "http://127.0.0.1:9"
Floats = NDArray[np.float32]


def write(root: Path, weights: Floats, bias: Floats, version: str = "0123456789ab") -> Path:
    """Write a linear model whose golden answers are its own, as a build bakes them."""
    samples = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
    document = contract("linear", [spec("x", "FP32", [-1, 4])], [spec("y", "FP32", [-1, 3])])
    document["version"] = version
    golden = {"inputs": samples, "outputs": samples @ weights + bias}
    running.write_model(root / "linear", document, onnx_files.linear(weights, bias), **golden)
    return root


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("right"), WEIGHTS, BIAS)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that agrees with its own golden answers, and names other classes than the right one."""
    return write(tmp_path_factory.mktemp("wrong"), -WEIGHTS, -BIAS, "ffffffffffff")


@pytest.fixture(scope="module")
def stable(right: Path) -> Iterator[Server]:
    with running.running(right) as server:
        yield server


@pytest.fixture(scope="module")
def canary(wrong: Path) -> Iterator[Server]:
    with running.running(wrong) as server:
        yield server


def compare(models: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MODELSTACK_MODELS": str(models)}
    command = [sys.executable, "-W", "error", "-m", "model_server.compare", "--model", "linear", "--patience", "0"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_a_server_of_this_image_answers_as_baked(right: Path, stable: Server) -> None:
    done = compare(right, "--url", stable.url)
    assert (done.returncode, done.stdout) == (0, "linear: 5 golden samples answered as baked\n")


def test_a_server_of_another_model_does_not_answer_as_baked(right: Path, canary: Server) -> None:
    done = compare(right, "--url", canary.url)
    assert done.returncode == 1
    assert "output 'y'" in done.stderr
    assert "the limit is" in done.stderr


def test_a_model_that_agrees_with_itself_and_not_with_stable_is_refused(
    wrong: Path, canary: Server, stable: Server
) -> None:
    assert compare(wrong, "--url", canary.url).returncode == 0
    done = compare(wrong, "--url", canary.url, "--stable", stable.url, "--min-agreement", "0.75")
    assert done.returncode == 1
    assert "linear: agreement 0.000 (0 of 5 golden samples)" in done.stderr
    assert "is below 0.75" in done.stderr


def test_the_same_model_agrees_with_stable(right: Path, stable: Server) -> None:
    done = compare(right, "--url", stable.url, "--stable", stable.url, "--seconds", "0.3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("linear: agreement 1.000 (5 of 5 golden samples)")


def test_an_answer_of_another_version_does_not_count(right: Path, stable: Server) -> None:
    done = compare(right, "--url", stable.url, "--stable", stable.url, "--version", "ffffffffffff")
    assert done.returncode == 3
    assert "serves version '0123456789ab', not 'ffffffffffff'" in done.stderr


@pytest.mark.parametrize("missing", ["--url", "--stable"])
def test_no_answer_is_no_agreement(right: Path, stable: Server, missing: str) -> None:
    given = {"--url": stable.url, "--stable": stable.url, missing: NOWHERE}
    done = compare(right, *(word for pair in given.items() for word in pair))
    assert done.returncode == 3
    assert done.stderr.startswith(f"{NOWHERE}: no answer")


def test_a_model_that_is_not_in_the_image_is_named(right: Path, stable: Server) -> None:
    done = compare(right, "--url", stable.url, "--model", "other")
    assert done.returncode == 2
    assert "--model: 'other' is not in this image, which holds linear" in done.stderr
