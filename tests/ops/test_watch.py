"""When a watch ends, and how: rounds in a row, against a real server for the last of it."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.__main__ import main
from ops.watch import watch
from tests.model_server import running as servers

INPUTS = np.random.default_rng(7).normal(size=(20, 4)).astype(np.float32)
LABELS = (INPUTS @ servers.WEIGHTS + servers.BIAS).argmax(1)


def rounds(*codes: int) -> tuple[Callable[[], int], list[int]]:
    left = list(codes)
    return lambda: left.pop(0), left


def options(minutes: float = 0.0, failures: int = 2) -> Namespace:
    return Namespace(stack="dev", minutes=minutes, every=0.0, failures=failures)


def test_one_bad_round_between_good_ones_is_let_pass() -> None:
    asked, left = rounds(3, 0)
    assert watch(asked, options()) == 0
    assert left == []


def test_a_watch_ends_at_the_second_bad_round_in_a_row_however_long_is_left() -> None:
    asked, left = rounds(0, 1, 0, 3, 1, 0)
    assert watch(asked, options(minutes=60)) == 1
    assert left == [0]


def test_a_bad_round_at_the_end_is_asked_again_before_the_watch_is_over() -> None:
    asked, left = rounds(1, 1)
    assert watch(asked, options()) == 1
    assert left == []


def test_a_single_bad_round_is_enough_where_one_failure_is_asked_for() -> None:
    asked, left = rounds(3, 0)
    assert watch(asked, options(failures=1)) == 3
    assert left == [0]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """A stack of one real server, and what watches it."""
    models = tmp_path / "models"
    models.mkdir()
    servers.write_linear(models)
    with servers.running(models) as server:
        (tmp_path / "outputs.json").write_text(json.dumps({"endpoint": {"linear": server.url}}))

        def run(labels: Any, *further: str) -> int:
            np.savez(tmp_path / "held-out.npz", inputs=INPUTS, labels=labels)
            own = ["--outputs", str(tmp_path / "outputs.json"), "--held-out", f"linear={tmp_path}/held-out.npz"]
            return main(["watch", *own, "--every", "0", *further])

        yield run


def test_a_round_is_one_line_and_a_wrong_model_ends_the_watch(
    watching: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert watching(LABELS, "--minutes", "0") == 0
    assert [line.split(" ", 1)[1].split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "linear: 20/20 correct over HTTP"
    ]
    assert watching((LABELS + 1) % 3, "--minutes", "60") == 1
    said = capsys.readouterr()
    assert said.out.count("linear: 0/20 correct") == 2
    assert said.err.endswith("error: stack dev: 2 rounds in a row failed\n")


def test_a_backend_that_is_away_is_a_bad_round_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "pulumi").chmod(0o755)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {modelstack:cluster: {kubeconfig: mine}}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["watch", "--every", "0", "--failures", "3"]) == 2
    said = capsys.readouterr().err
    assert said.count("`pulumi stack output --json --stack dev` failed with exit code 1") == 3
    assert said.endswith("error: stack dev: 3 rounds in a row failed\n")


@pytest.mark.parametrize(
    ("given", "told"), [(("--minutes", "-1"), "--minutes, --every"), (("--failures", "0"), "--failures: 0 is below 1")]
)
def test_a_limit_out_of_range_is_exit_code_2(
    given: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *given]) == 2
    assert told in capsys.readouterr().err
