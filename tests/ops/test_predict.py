"""`ops predict` against a real server on loopback: figures, exit codes and one line an error."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ops.__main__ import main
from tests.components.backends import Pod, serving
from tests.model_server import running as servers
from tests.registry import free_port

INPUTS: NDArray[np.float32] = np.random.default_rng(7).normal(size=(20, 4)).astype(np.float32)
LABELS = (INPUTS @ servers.WEIGHTS + servers.BIAS).argmax(1)
Predict = Callable[..., int]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    servers.write_linear(models)
    with servers.running(models) as server:
        yield server.url


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """Return what runs the command on given endpoints and samples."""

    def run(outputs: object, *further: str, labels: Any = LABELS, inputs: Any = INPUTS) -> int:
        np.savez(tmp_path / "held-out.npz", inputs=inputs, labels=labels)
        (tmp_path / "outputs.json").write_text(json.dumps(outputs))
        own = ["--outputs", str(tmp_path / "outputs.json"), "--held-out", f"linear={tmp_path}/held-out.npz"]
        return main(["predict", *own, *further])

    return run


def endpoint(url: str) -> dict[str, Any]:
    return {"endpoint": {"linear": url}}


def refused() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_every_sample_is_sent_and_one_line_ends_the_model(
    predict: Predict, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(endpoint(url)) == 0
    said = capsys.readouterr().out
    assert said.startswith("linear: 20/20 correct over HTTP, p50 ")
    assert said.endswith(" ms\n")
    assert said.count("\n") == 1


def test_json_holds_counts_accuracy_and_times(predict: Predict, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(endpoint(url), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = told["models"]["linear"]
    assert told["stack"] == "dev"
    assert (found["correct"], found["total"], found["accuracy"]) == (20, 20, 1.0)
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_an_accuracy_below_the_least_is_exit_code_1(
    predict: Predict, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = np.where(np.arange(20) < 2, (LABELS + 1) % 3, LABELS)
    assert predict(endpoint(url), labels=wrong) == 1
    said = capsys.readouterr()
    assert said.out.startswith("linear: 18/20 correct")
    assert "accuracy 0.9000 is below 0.97, the usual accuracy;" in said.err


def test_a_lower_least_lets_it_pass(predict: Predict, url: str) -> None:
    wrong = np.where(np.arange(20) < 2, (LABELS + 1) % 3, LABELS)
    assert predict(endpoint(url), "--min-accuracy", "0.9", labels=wrong) == 0


def gated(url: str, folder: Path, gate: float) -> dict[str, Any]:
    """Return a stack's outputs whose model has a recipe of its own, with this gate."""
    for name in ("model.py", "data.py"):
        (folder / name).write_text("")
    document = {
        "version": 1,
        "name": "linear",
        "model": "model.py:build",
        "data": "data.py:load",
        "steps": [{"train": {"epochs": 1}}, {"export": {}}],
        "gates": {"min_accuracy": gate},
    }
    (folder / "recipe.yaml").write_text(json.dumps(document))
    return {**endpoint(url), "models": {"linear": {"recipe": str(folder / "recipe.yaml")}}}


@pytest.mark.parametrize(("gate", "code"), [(0.9, 0), (0.96, 1)])
def test_each_model_is_held_to_the_gate_of_its_recipe(
    predict: Predict, url: str, gate: float, code: int, tmp_path: Path
) -> None:
    wrong = np.where(np.arange(20) < 2, (LABELS + 1) % 3, LABELS)
    assert predict(gated(url, tmp_path, gate), labels=wrong) == code


def test_an_accuracy_below_the_gate_names_the_recipe(
    predict: Predict, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = np.where(np.arange(20) < 2, (LABELS + 1) % 3, LABELS)
    assert predict(gated(url, tmp_path, 0.96), labels=wrong) == 1
    assert f"is below 0.96, gates.min_accuracy of {tmp_path}/recipe.yaml;" in capsys.readouterr().err


def test_what_is_asked_for_goes_before_the_gate(predict: Predict, url: str, tmp_path: Path) -> None:
    wrong = np.where(np.arange(20) < 2, (LABELS + 1) % 3, LABELS)
    assert predict(gated(url, tmp_path, 0.96), "--min-accuracy", "0.5", labels=wrong) == 0


def test_a_recipe_that_cannot_be_read_is_exit_code_2(
    predict: Predict, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(gated(url, tmp_path, 2)) == 2
    assert "gates.min_accuracy" in one_line(capsys)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, "make up STACK=dev"),
        ({"endpoint": {}}, "make up STACK=dev"),
        ({"endpoint": {"linear": "127.0.0.1:1"}}, "is not an http or https URL"),
    ],
)
def test_outputs_without_a_usable_endpoint_are_exit_code_2(
    predict: Predict, outputs: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(outputs) == 2
    assert said in one_line(capsys)


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--min-accuracy", "97"], "share from 0 to 1"),
        (["--held-out", "linear"], "MODEL=FILE.npz"),
        (["--held-out", "linear=/nowhere.npz"], "/nowhere.npz"),
        (["--outputs", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_an_argument_that_cannot_be_used_is_exit_code_2(
    predict: Predict, url: str, further: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(endpoint(url), *further) == 2
    assert said in one_line(capsys)


def test_samples_of_another_type_are_exit_code_2(
    predict: Predict, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(endpoint(url), inputs=INPUTS.astype(np.float64)) == 2
    assert "takes FP32, the samples are FP64" in one_line(capsys)


def test_an_endpoint_that_does_not_answer_is_exit_code_3(predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(endpoint(refused())) == 3
    assert "no answer" in one_line(capsys)


def test_of_a_stack_on_the_embedded_platform_the_remedy_is_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "held-out.npz", inputs=INPUTS, labels=LABELS)
    (tmp_path / "pulumi").write_text(f"#!/bin/sh\necho '{json.dumps(endpoint(refused()))}'\n")
    (tmp_path / "pulumi").chmod(0o755)
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--held-out", "linear=held-out.npz"]) == 3
    assert "; where the platform is down, run `python -m local up`" in one_line(capsys)


def test_a_server_without_the_model_is_exit_code_3(
    predict: Predict, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    further = ["--held-out", f"other={tmp_path}/held-out.npz"]
    assert predict({"endpoint": {"other": url}}, *further) == 3
    assert "/v2/models/other: status 404" in one_line(capsys)


def test_samples_of_another_shape_are_refused_by_the_server(
    predict: Predict, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(endpoint(url), inputs=INPUTS[:, :3].copy()) == 3
    assert "status 400" in one_line(capsys)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def test_the_key_of_the_environment_is_sent(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELSTACK_KEY", "not-a-secret")
    port = free_port()
    with serving(Pod("127.0.0.1"), port) as pod:
        assert predict(endpoint(f"http://127.0.0.1:{port}")) == 3
    assert "names no inputs" in capsys.readouterr().err
    assert [one["authorization"] for one in pod.asked] == ["Bearer not-a-secret"]
