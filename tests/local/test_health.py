"""What is asked of the parts' health, and what is said of one that does not answer."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local import health, logs, probe
from local.errors import EXIT_UNHEALTHY
from local.instance import Instance


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthy" else 503)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as started:
        threading.Thread(target=started.serve_forever).start()
        yield f"http://127.0.0.1:{started.server_port}"
        started.shutdown()


def test_a_part_that_answers_200_is_healthy(server: str) -> None:
    assert probe.ask(f"{server}/healthy") == ""


def test_a_part_that_answers_503_is_not(server: str) -> None:
    assert "503" in probe.ask(f"{server}/other")


def test_a_port_that_nothing_listens_on_is_told(server: str) -> None:
    assert "refused" in probe.ask("http://127.0.0.1:1/")


def test_a_proxy_of_the_environment_is_not_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert probe.ask(f"{server}/healthy") == ""


def test_an_unhealthy_part_is_named_with_its_answer_last_log_line_and_log(unstarted: Instance) -> None:
    log = logs.path(unstarted, "etcd")
    log.parent.mkdir(parents=True)
    log.write_text("first\nthe last words\n\n")
    error = health.unhealthy(unstarted, "etcd", "refused")
    assert str(error) == f"etcd: not healthy (refused); its last log line: the last words; see {log}"
    assert error.code == EXIT_UNHEALTHY


def test_a_part_without_a_log_is_told_as_such(tmp_path: Path) -> None:
    assert logs.last_line(tmp_path / "none") == "none yet"
