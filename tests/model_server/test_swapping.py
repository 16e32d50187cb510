"""A new version comes in while requests are answered."""

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.model_server.running import Server, running, write_linear
from tests.model_server.test_infer import request
from tests.model_server.test_repository import write_version

pytestmark = pytest.mark.usefixtures("both_ways")

MODEL = "/v2/models/linear"


def arrive(root: Path, version: str, where: Path) -> None:
    """Put a version into the folder as a sync tool does: written aside, and then renamed."""
    folder = write_version(where, version)
    (root / "linear").mkdir(parents=True, exist_ok=True)
    folder.rename(root / "linear" / version)


class Load(threading.Thread):
    """Asks without pause; `seen` counts answers by status and version."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.seen: Counter[tuple[int, str]] = Counter()
        self.enough = threading.Event()
        self._client = server.client()

    def run(self) -> None:
        with self._client as client:
            while not self.enough.is_set():
                response = client.post(f"{MODEL}/infer", json=request())
                self.seen[response.status_code, response.json().get("model_version", "")] += 1


def versions(client: httpx.Client) -> list[str]:
    found: list[str] = client.get(MODEL).json()["versions"]
    return found


def until_answered_by(client: httpx.Client, version: str) -> None:
    end = time.monotonic() + 60
    while client.post(f"{MODEL}/infer", json=request()).json()["model_version"] != version:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_new_version_takes_over_without_a_lost_request(tmp_path: Path) -> None:
    root = tmp_path / "models"
    arrive(root, "1", tmp_path / "one")
    with running(root, MODELSTACK_POLL_SECONDS="0.1") as server, server.client() as client:
        load = Load(server)
        load.start()
        until_answered_by(client, "1")
        arrive(root, "2", tmp_path / "two")
        until_answered_by(client, "2")
        assert versions(client) == ["1", "2"]
        assert client.post(f"{MODEL}/versions/1/infer", json=request()).json()["model_version"] == "1"
        shutil.rmtree(root / "linear" / "1")
        server.wait_for("models replaced")
        while versions(client) == ["1", "2"]:
            time.sleep(0.02)
        assert client.post(f"{MODEL}/versions/1/infer", json=request()).status_code == 404
        assert 'version="1"' not in client.get("/metrics").text
        load.enough.set()
        load.join()
    assert set(load.seen) == {(200, "1"), (200, "2")}


def test_a_new_version_with_wrong_golden_answers_does_not_take_over(tmp_path: Path) -> None:
    root = tmp_path / "models"
    arrive(root, "1", tmp_path / "one")
    broken = write_version(tmp_path / "two", "2")
    (broken / "golden.npz").write_bytes((root / "linear" / "1" / "golden.npz").read_bytes()[:-100])
    with running(root, MODELSTACK_POLL_SECONDS="0.1") as server, server.client() as client:
        broken.rename(root / "linear" / "2")
        assert "golden.npz: cannot be read" in server.wait_for("models not replaced")["error"]
        assert client.post(f"{MODEL}/infer", json=request()).json()["model_version"] == "1"
        assert client.get("/v2/health/ready").status_code == 200


def test_a_folder_that_cannot_be_read_any_more_leaves_what_is_served(tmp_path: Path) -> None:
    root = tmp_path / "models"
    arrive(root, "1", tmp_path / "one")
    with running(root, MODELSTACK_POLL_SECONDS="0.1") as server, server.client() as client:
        (root / "linear").rename(tmp_path / "gone")
        assert "has no folder with a model.json" in server.wait_for("models not replaced")["error"]
        assert client.post(f"{MODEL}/infer", json=request()).json()["model_version"] == "1"


def test_the_index_lists_every_version_and_its_state(tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_version(tmp_path, version)
    with running(tmp_path) as server, server.client() as client:
        listed = client.post("/v2/repository/index").json()
        assert client.get(MODEL + "/versions/1").json()["versions"] == ["1", "2"]
    ready = {"name": "linear", "state": "READY", "reason": ""}
    assert listed == [ready | {"version": one} for one in ("1", "2")]


def test_the_index_lists_those_that_are_ready_alone_where_asked(tmp_path: Path) -> None:
    write_linear(tmp_path, "good")
    write_linear(tmp_path, "wrong", off_by=1)
    with running(tmp_path, ready=False) as server, server.client() as client:
        server.wait_for("model not ready")
        server.wait_for("model ready")
        index = "/v2/repository/index"
        while "LOADING" in client.post(index).text:
            assert server.process.poll() is None
        assert [(one["name"], one["state"]) for one in client.post(index).json()] == [
            ("good", "READY"),
            ("wrong", "UNAVAILABLE"),
        ]
        assert [one["name"] for one in client.post(index, json={"ready": True}).json()] == ["good"]
        refused = client.post(index, json={"ready": 1})
    assert (refused.status_code, refused.json()["error"]) == (400, "the request: ready: 1 is neither true nor false")
