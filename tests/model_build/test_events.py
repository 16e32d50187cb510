"""What a build tells: JSON lines for programs, plain lines for a log, bars on a terminal."""

import io
import json
from typing import Any

import pytest

from model_build.events import Bar, JsonLines, Lines, Progress, Reporter, sink_for, summary

RESULT: dict[str, Any] = {
    "image": "127.0.0.1:5000/digits@sha256:" + "0" * 64,
    "artifact": None,
    "inputs": "1" * 64,
    "steps": [
        {
            "name": "train",
            "state": "done",
            "size": None,
            "accuracy": 0.9861,
            "latency_ms": None,
            "seconds": 12.34,
        },
        {
            "name": "quantize",
            "state": "cached",
            "size": 93_900,
            "accuracy": 0.9833,
            "latency_ms": 0.088,
            "seconds": 0.02,
        },
    ],
    "metrics": {},
    "report": "reports/1.json",
    "page": "reports/1.html",
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_are_the_events_of_the_contract() -> None:
    stream = io.StringIO()
    sink = JsonLines(stream)
    sink.progress(Progress("train", "running", 0.4, 1.23456, "epoch 12 of 30"))
    sink.result(RESULT)
    sink.error("gate", "too low")
    progress, result, error = (json.loads(line) for line in stream.getvalue().splitlines())
    assert progress == {
        "event": "progress",
        "step": "train",
        "state": "running",
        "fraction": 0.4,
        "seconds": 1.235,
        "detail": "epoch 12 of 30",
    }
    assert result == {"event": "result", **RESULT}
    assert error == {"event": "error", "kind": "gate", "message": "too low"}


def test_a_figure_that_is_no_number_never_becomes_an_event() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        JsonLines(io.StringIO()).result({**RESULT, "metrics": {"accuracy": float("nan")}})


def test_a_fraction_stays_between_0_and_1() -> None:
    stream = io.StringIO()
    reporter = Reporter.start(JsonLines(stream), "train")
    reporter.tell("running", 1.7)
    reporter.tell("running", -1.0)
    assert [json.loads(line)["fraction"] for line in stream.getvalue().splitlines()] == [1.0, 0.0]


def test_plain_lines_leave_out_what_only_moves_a_bar() -> None:
    stream = io.StringIO()
    sink = sink_for(as_json=False, stream=stream)
    assert isinstance(sink, Lines)
    for state in ("started", "running", "done"):
        sink.progress(Progress("train", state, 0.5, 2.0, "epoch 1 of 2"))
    assert [line.split()[:2] for line in stream.getvalue().splitlines()] == [["train", "started"], ["train", "done"]]


def test_a_terminal_gets_a_bar_a_step_and_the_table_at_the_end() -> None:
    stream = Terminal()
    sink = sink_for(as_json=False, stream=stream)
    assert isinstance(sink, Bar)
    sink.progress(Progress("train", "started"))
    sink.progress(Progress("train", "running", 0.5, 1.0, "epoch 1 of 2 [loss 0.1]"))
    sink.progress(Progress("export", "cached", 1.0))
    sink.result(RESULT)
    sink.close()
    said = stream.getvalue()
    assert "epoch 1 of 2 [loss 0.1]" in said
    assert "cached" in said
    assert RESULT["image"] in said


def test_a_terminal_that_shows_no_progress_is_left_as_it_was() -> None:
    stream = Terminal()
    sink = sink_for(as_json=False, stream=stream)
    sink.close()
    assert stream.getvalue() == ""


def test_the_table_shows_size_accuracy_latency_and_seconds_of_each_step() -> None:
    lines = summary(RESULT)
    assert lines[0].split() == ["step", "state", "size", "accuracy", "latency", "seconds"]
    assert lines[1].split() == ["train", "done", "98.61%", "12.3"]
    assert lines[2].split() == ["quantize", "cached", "93.9", "kB", "98.33%", "0.088", "ms", "0.0"]
    assert lines[-1] == f"image    {RESULT['image']}"


def test_a_build_without_an_image_ends_with_its_artifact() -> None:
    assert summary({**RESULT, "image": None, "artifact": "/cache/steps/1/out"})[-1] == "artifact /cache/steps/1/out"
