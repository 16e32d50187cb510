"""Logs of a stack's pods, from an API server that answers as Kubernetes documents; tests/e2e asks a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console

from ops import logs
from ops.following import follow
from ops.pods import Line, Pods, PodsError, Source
from provider.kubernetes import Cluster


@dataclass
class Api:
    """Pods and what their containers wrote; a log that is followed stays open until it is told to end."""

    pods: list[dict[str, Any]] = field(default_factory=list)
    written: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)
    asked: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, *lines: str, model: str | None = None, restarts: int = 0, before: str = "") -> None:
        labels = {"app.kubernetes.io/name": model or name, "modelstack.dev/stack": "dev"}
        labels |= {"modelstack.dev/model": model} if model else {}
        status = {"name": "server", "restartCount": restarts, "state": {"running": {}}}
        status |= {"lastState": {"terminated": {}}} if restarts else {}
        self.pods.append(
            {"metadata": {"name": name, "uid": name, "labels": labels}, "status": {"containerStatuses": [status]}}
        )
        self.written[name, ""] = list(lines)
        self.written[name, "true"] = [before]


def handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {key: one[0] for key, one in parse_qs(parts.query).items()}
            words = parts.path.split("/")
            if words[-1] == "pods":
                return self._answer(200, json.dumps({"kind": "PodList", "items": api.pods, "metadata": {}}))
            api.asked.append(asked)
            name = words[-2]
            if name in api.gone:
                return self._answer(404, '{"message": "pods not found"}')
            lines = api.written[name, asked.get("previous", "")]
            if "follow" not in asked:
                return self._answer(200, "".join(f"{line}\n" for line in lines))
            self.send_response(200)
            self.end_headers()
            at = 0
            while not api.ended.wait(0.02):
                for line in lines[at:]:
                    self.wfile.write(f"{line}\n".encode())
                at = len(lines)
            return None

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def pods(api: Api, tmp_path: Path) -> Iterator[Pods]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(api)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        kubeconfig = {
            "clusters": [{"name": "one", "cluster": {"server": address}}],
            "users": [{"name": "one", "user": {"token": "x"}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "current-context": "one",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        yield Pods(Cluster(str(tmp_path / "kubeconfig")), "modelstack-dev", "dev")
        api.ended.set()
        server.shutdown()


def at(second: int, text: str = "said", offset: str = "Z") -> str:
    return f"2026-11-27T10:00:{second:02}.5{offset} {text}"


def texts(pods: Pods, chosen: str | None = None, *, previous: bool = False) -> list[str]:
    sources = pods.sources(chosen, previous=previous)
    return [line.text for line in logs.merged(pods, sources, None, previous=previous)]


def test_lines_of_all_pods_are_in_the_order_of_their_times(api: Api, pods: Pods) -> None:
    api.add("a", at(1, "first"), at(4, "fourth"))
    api.add("b", at(2, "second"), "2026-11-27T12:00:03.123456789+02:00 third")
    assert texts(pods) == ["first", "second", "third", "fourth"]


def test_of_a_model_only_its_own_pods_are_read(api: Api, pods: Pods) -> None:
    api.add("digits-1", at(1, "digits"), model="digits")
    api.add("mnist-1", at(2, "mnist"), model="mnist")
    assert texts(pods, "digits") == ["digits"]
    with pytest.raises(PodsError, match="MODEL: 'other' has no pod in stack dev; there are digits, mnist"):
        pods.sources("other")


def test_a_pod_that_is_gone_by_now_stops_no_other(api: Api, pods: Pods, capsys: pytest.CaptureFixture[str]) -> None:
    api.add("a", at(1, "gone"))
    api.add("b", at(2, "here"))
    api.gone.add("a")
    assert texts(pods) == ["here"]
    assert "logs: a: status 404" in capsys.readouterr().err


def test_previous_reads_the_run_before_of_what_was_restarted(api: Api, pods: Pods) -> None:
    api.add("steady", at(1, "steady"))
    api.add("killed", at(3, "now"), restarts=1, before=at(2, "killed"))
    assert texts(pods, previous=True) == ["killed"]


def test_a_line_that_holds_a_separator_of_unicode_keeps_its_place(api: Api, pods: Pods) -> None:
    api.add("a", at(1, "one\u2028and on"), at(3, "three"))
    api.add("b", at(2, "two"))
    assert texts(pods) == ["one", "and on", "two", "three"]


def test_follow_shows_a_pod_that_comes_later(api: Api, pods: Pods) -> None:
    api.add("a", at(1, "first"))
    shown: list[str] = []

    def show(line: Line) -> None:
        shown.append(line.text)
        if line.text == "first":
            api.add("b", at(2, "second"))
        if line.text == "second":
            api.written["a", ""].append(at(3, "third"))
        if line.text == "third":
            raise KeyboardInterrupt

    assert follow(pods, None, 60, show) == 0
    assert shown == ["first", "second", "third"]
    assert {one["sinceSeconds"] for one in api.asked} == {"60"}


def test_follow_goes_on_with_a_container_that_was_restarted(api: Api, pods: Pods) -> None:
    api.add("a", at(1, "first"))
    shown: list[str] = []

    def show(line: Line) -> None:
        shown.append(line.text)
        if line.text == "second":
            raise KeyboardInterrupt
        api.pods[0]["status"]["containerStatuses"][0]["restartCount"] = 1
        api.written["a", ""] = [at(2, "second")]

    assert follow(pods, None, None, show) == 0
    assert shown == ["first", "second"]


def test_follow_goes_on_while_a_model_has_no_pod(api: Api, pods: Pods) -> None:
    api.add("digits-1", at(1, "first"), model="digits")
    api.add("mnist-1", at(1, "of another"), model="mnist")
    shown: list[str] = []

    def show(line: Line) -> None:
        shown.append(line.text)
        if line.text == "second":
            raise KeyboardInterrupt
        del api.pods[0]
        threading.Timer(1.5, lambda: api.add("digits-2", at(2, "second"), model="digits")).start()

    assert follow(pods, "digits", None, show) == 0
    assert shown == ["first", "second"]
    with pytest.raises(PodsError, match="'other' has no pod"):
        follow(pods, "other", None, show)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("all", None)])
def test_durations(text: str, seconds: int | None) -> None:
    assert logs.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0m", "-1m", "10 m", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PodsError, match=r"--since: .* is no duration; write 30s"):
        logs.seconds_of(text)


SOURCE = Source("digits-1", "u", "server", 0, "digits", "digits")


def test_a_line_of_json_is_told_by_level_message_and_fields() -> None:
    text = '{"time":"x","level":"info","logger":"modelstack","message":"model ready","models":["a"],"said":"b c"}'
    assert logs.told(logs.parsed(text)) == ("info", 'model ready models=["a"] said="b c"')


def test_what_a_container_writes_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    printer = logs.Printer(Console(force_terminal=False, width=20))
    printer(Line("2026-11-27T10:00:01.500000000Z", SOURCE, "\x1b[2J[red]wiped[/red]"))
    printer(Line("2026-11-27T10:00:02.500000000Z", SOURCE, '{"message":"\\u001b[2J","k":"\\u009b2J"}'))
    assert capsys.readouterr().out.splitlines() == [
        r"10:00:01.500 digits-1 \x1b[2J[red]wiped[/red]",
        r'10:00:02.500 digits-1 \x1b[2J k="\u009b2J"',
    ]


def test_each_pod_has_a_colour_of_its_own_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printer = logs.Printer(Console(force_terminal=True, color_system="standard"))
    for pod in ("a", "b", "a"):
        printer(Line("2026-11-27T10:00:01.500000000Z", Source(pod, pod, "c", 0, "n", None), "said"))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == third
    assert "\x1b[36ma\x1b[0m" in first
    assert "\x1b[32mb\x1b[0m" in second


def test_json_has_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.shown_as_json(Line("2026-11-27T10:00:01.500000000Z", SOURCE, '{"id": "x"}'))
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-11-27T10:00:01.500000000Z",
        "pod": "digits-1",
        "container": "server",
        "name": "digits",
        "model": "digits",
        "log": {"id": "x"},
    }
