"""What the benchmark of serving takes for a measurement, and what it says of one."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serve import asking
from benchmarks.serve.contenders import FASTAPI, OURS, Contender, Start
from benchmarks.serve.model import Floor
from benchmarks.serve.rows import Found, Row
from benchmarks.serve.serving import FailedError, Truth, serving
from benchmarks.serve.wrk import Load, write_requests, wrk

# Answers the sum of the pixels, and from the tenth request on the status it is told.
PROGRAM = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0

    def do_POST(self):
        Handler.seen += 1
        pixels = json.loads(self.rfile.read(int(self.headers["content-length"])))["pixels"]
        body = json.dumps({"scores": [sum(pixels)]}).encode()
        self.send_response(int(sys.argv[2]) if Handler.seen > 10 else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
CORE = min(os.sched_getaffinity(0))
DIGITS = [np.full((1, 1, 8, 8), value, np.float32) for value in (0.25, 0.5)]
TRUTH = Truth(DIGITS, [np.array([16], np.float32), np.array([32], np.float32)])


def summing(status: int = 200) -> Contender:
    command = (sys.executable, "-c", PROGRAM)
    return Contender("summing", lambda port: Start((*command, str(port), str(status))), asking.PIXELS)


def row(name: str, rates: Mapping[int, float], p99: float) -> Row:
    return Row(name, 0.5, 60e6, {count: Load(rate, 1.0, p99, 50.0) for count, rate in rates.items()})


def test_a_server_that_answers_rightly_is_timed_and_weighed(tmp_path: Path) -> None:
    with serving(summing(), CORE, TRUTH, tmp_path / "log") as server:
        server.check(TRUTH)
        write_requests(server, TRUTH, tmp_path / "requests")
        load = wrk().loaded(server, 2, 1, CORE, tmp_path / "requests")
        assert server.memory > 1_000_000
    assert load.rate > 0
    assert 0 < load.p50 <= load.p99
    assert load.cpu > 0
    assert server.seconds > 0


def test_a_server_whose_answers_are_wrong_is_not_measured(tmp_path: Path) -> None:
    wrong = Truth(DIGITS, [TRUTH.scores[0], np.array([33], np.float32)])
    with serving(summing(), CORE, wrong, tmp_path / "log") as server, pytest.raises(FailedError, match="33"):
        server.check(wrong)


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    ending = Contender("ending", lambda _: Start((sys.executable, "-c", "raise SystemExit('no model')")), asking.PIXELS)
    with pytest.raises(FailedError, match="no model"), serving(ending, CORE, TRUTH, tmp_path / "log"):
        pass


def test_a_load_with_refused_requests_is_no_measurement(tmp_path: Path) -> None:
    with serving(summing(503), CORE, TRUTH, tmp_path / "log") as server:
        write_requests(server, TRUTH, tmp_path / "requests")
        with pytest.raises(FailedError, match="error's status"):
            wrk().loaded(server, 2, 1, CORE, tmp_path / "requests")


def test_the_last_line_compares_at_the_most_connections() -> None:
    rows = (
        row(OURS, {1: 5000, 64: 20000}, 7),
        row(FASTAPI, {1: 2000, 64: 4000}, 30),
        row("MLServer", {1: 1500, 64: 2000}, 50),
        row("KServe", {1: 1900, 64: 1000}, 25),
    )
    assert Found([Floor(25000, 40000)], rows, {}).last_line() == (
        "serve digits c=64: 20.0k req/s, 0.80 of the floor, 10x of the best packaged peer (MLServer 2.0k), "
        "5.0x of FastAPI, p99 7 ms, peers' best p99 25 ms"
    )


def test_a_machine_that_was_busy_is_named() -> None:
    quiet = Found([Floor(25000, 1, 0.01)], (row(OURS, {64: 1.0}, 1),), {})
    assert "warning" not in quiet.lines()[-1]
    busy = Found([Floor(25000, 1, 0.01), Floor(20000, 1, 0.22)], quiet.rows, {})
    assert busy.lines()[-1].startswith("warning: other programs took 22%")
