"""Builds as processes: events become progress, errors one message, and nothing of a build outlives its provider."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from provider.build import GUARD, Builder, Order, progress_line
from provider.errors import CancelledError, ProviderError
from tests.waiting import lives, until

ORDER = Order(Path("recipe.yaml"), "127.0.0.1:1/modelstack/tiny", "base@sha256:" + "a" * 64)
# A build that starts a process in a session of its own, as a worker does, and then waits for good.
LINGERS = """
import json, os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
event = {"event": "progress", "step": "train", "state": "started", "detail": f"{os.getpid()} {worker.pid}"}
print(json.dumps(event), flush=True)
time.sleep(600)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Builder]:
    """Return a builder whose interpreter runs the given program, whatever module it is asked for."""
    monkeypatch.setenv("MODELSTACK_CACHE", str(tmp_path / "cache"))

    def make(program: str) -> Builder:
        interpreter = tmp_path / "python"
        interpreter.write_text(f"#!{sys.executable}\n{textwrap.dedent(program)}")
        interpreter.chmod(interpreter.stat().st_mode | stat.S_IXUSR)

        async def found(tell: Callable[[str], Awaitable[None]]) -> Path:
            return interpreter

        return Builder(found)

    return make


class Told:
    """Keeps what a build tells."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.first = asyncio.Event()

    async def __call__(self, message: str) -> None:
        self.messages.append(message)
        self.first.set()


async def test_events_become_lines_of_progress_and_the_result_is_returned(stand_in: Callable[[str], Builder]) -> None:
    told = Told()
    result = await stand_in(
        """
        import json, sys
        assert sys.argv[1:6] == ["-P", "-m", "model_build", "build", "--recipe"], sys.argv
        assert sys.argv[-1] == "--json"
        event = {"event": "progress", "step": "train", "detail": ""}
        print(json.dumps({**event, "state": "started", "fraction": 0, "seconds": 0}))
        print("not json")
        print(json.dumps({**event, "state": "done", "fraction": 1, "seconds": 2.5}))
        print(json.dumps({"event": "result", "image": "x@sha256:1", "inputs": "y"}))
        """
    ).build(ORDER, told)
    assert result == {"event": "result", "image": "x@sha256:1", "inputs": "y"}
    assert told.messages == ["train ░░░░░░░░░░░░   0%", "train: done in 2.5 s"]


async def test_an_error_event_is_the_one_message(stand_in: Callable[[str], Builder]) -> None:
    builder = stand_in(
        """
        import json, sys
        print("a warning", file=sys.stderr)
        message = "gates.min_accuracy: 0.5 is below 0.97; train longer"
        print(json.dumps({"event": "error", "kind": "gate", "message": message}))
        sys.exit(5)
        """
    )
    with pytest.raises(ProviderError) as caught:
        await builder.build(ORDER, Told())
    assert str(caught.value) == "gates.min_accuracy: 0.5 is below 0.97; train longer"


async def test_a_build_that_dies_without_a_word_tells_exit_code_and_last_line(
    stand_in: Callable[[str], Builder],
) -> None:
    builder = stand_in("import sys; print('out of memory', file=sys.stderr); sys.exit(9)")
    with pytest.raises(ProviderError, match=r"exit code 9 .*out of memory"):
        await builder.build(ORDER, Told())


async def test_a_result_with_a_failing_exit_code_is_no_result(stand_in: Callable[[str], Builder]) -> None:
    builder = stand_in("""import json, sys; print(json.dumps({"event": "result", "image": "x"})); sys.exit(1)""")
    with pytest.raises(ProviderError, match="exit code 1"):
        await builder.build(ORDER, Told())


async def test_secrets_of_the_engine_stay_out_of_a_build(
    stand_in: Callable[[str], Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "KUBECONFIG"):
        monkeypatch.setenv(name, "withheld")
    result = await stand_in(
        """
        import json, os
        print(json.dumps({"event": "result", "names": [name for name in os.environ if os.environ[name] == "withheld"]}))
        """
    ).build(ORDER, Told())
    assert result["names"] == []


async def test_cancel_ends_a_build_and_its_worker(stand_in: Callable[[str], Builder]) -> None:
    builder, told = stand_in(LINGERS), Told()
    running = asyncio.create_task(builder.build(ORDER, told))
    await told.first.wait()
    pids = [int(word) for word in told.messages[0].split()[-2:]]
    assert all(lives(pid) for pid in pids)
    builder.cancel()
    with pytest.raises(CancelledError):
        await running
    until(lambda: not any(lives(pid) for pid in pids), "the build and its worker have ended")


async def test_a_cancelled_builder_starts_nothing_more(stand_in: Callable[[str], Builder], tmp_path: Path) -> None:
    builder = stand_in(f"open({str(tmp_path / 'ran')!r}, 'w')")
    builder.cancel()
    with pytest.raises(CancelledError):
        await builder.build(ORDER, Told())
    assert not (tmp_path / "ran").exists()


async def test_a_second_build_waits_for_the_first_and_says_so(stand_in: Callable[[str], Builder]) -> None:
    builder, first, second = stand_in(LINGERS), Told(), Told()
    one = asyncio.create_task(builder.build(ORDER, first))
    await first.first.wait()
    other = asyncio.create_task(builder.build(ORDER, second))
    await second.first.wait()
    assert second.messages == ["waiting for another build on this machine"]
    builder.cancel()
    for running in (one, other):
        with pytest.raises(CancelledError):
            await running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_build_ends_with_the_process_that_ordered_it(tmp_path: Path, number: signal.Signals) -> None:
    """The orderer here holds the guard's input, as the provider does, and is then killed."""
    program = tmp_path / "program.py"
    program.write_text(LINGERS)
    orderer = tmp_path / "orderer.py"
    orderer.write_text(
        "import subprocess, sys\n"
        f"command = [sys.executable, '-I', {str(GUARD)!r}, sys.executable, {str(program)!r}]\n"
        "subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True).wait()\n"
    )
    with subprocess.Popen([sys.executable, str(orderer)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split('"detail": "')[1].rstrip('"}\n').split()]
        process.send_signal(number)
        # The pipe closes when the last process that writes to it has gone.
        assert process.stdout.read() == ""
    until(lambda: not any(lives(pid) for pid in pids), "the build and its worker have ended")


def test_a_guard_that_is_killed_takes_the_build_with_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    command = [sys.executable, "-I", str(GUARD), sys.executable, str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as guard:
        assert guard.stdout is not None
        pid = int(guard.stdout.readline())
        guard.kill()
        assert guard.stdout.read() == ""
    until(lambda: not lives(pid), "the build has ended")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {"step": "train", "state": "running", "fraction": 0.5, "detail": "epoch 3 of 6"},
            "train ██████░░░░░░  50%  epoch 3 of 6",
        ),
        ({"step": "train", "state": "cached", "fraction": 1.0}, "train: cached"),
        ({"step": "push", "state": "running", "fraction": 7}, "push ████████████ 100%"),
    ],
)
def test_progress_is_one_line(event: dict[str, object], line: str) -> None:
    assert progress_line(event) == line
