"""The real MiniLM sentence encoder: from its published weights to texts answered over HTTP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.__main__ import main
from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house
from tests.model_server import running
from tests.model_server.running import Server

ASKED = 200
pytestmark = [pytest.mark.build, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> House:
    made = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    return made.of("minilm", (made.root / "models" / "minilm" / "recipe.yaml").read_text())


@pytest.fixture(scope="module")
def result(house: House) -> dict[str, Any]:
    code, events = house.build()
    assert code == 0, events[-1]
    return events[-1]


@pytest.fixture(scope="module")
def server(result: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    (models / "minilm").symlink_to(result["artifact"])
    with running.running(models) as found:
        yield found


def test_a_thousand_real_sentences_keep_their_meaning_in_a_quarter_of_the_size(result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    assert metrics["samples"] >= 1000
    assert metrics["cosine"] >= 0.985
    assert metrics["agreement"] >= 0.95
    assert metrics["size_ratio"] <= 0.27


def test_the_export_agrees_with_torch_at_every_batch_and_at_two_lengths(result: dict[str, Any]) -> None:
    parity = result["metrics"]["parity"]
    assert len(parity) == 6
    assert sum("-axis-1-length-" in name for name in parity) == 3
    assert max(parity.values()) < 1e-4


def test_the_tokenizer_travels_with_the_model(result: dict[str, Any]) -> None:
    folder = Path(result["artifact"])
    told = json.loads((folder / "model.json").read_bytes())
    assert told["tokens"] == {"file": "tokenizer.json", "most": 128, "input": "input"}
    assert (folder / "tokenizer.json").is_file()


def test_held_out_texts_are_answered_over_http_as_torch_answers_them(
    house: House, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = tmp_path / "held-out.npz"
    done = house.python("-m", "model_build", "held-out", "--recipe", house.folder / "recipe.yaml", "--out", held)
    assert done.returncode == 0, done.stderr
    with np.load(held) as arrays:
        np.savez(held, **{name: arrays[name][:ASKED] for name in arrays.files})
    (tmp_path / "outputs.json").write_text(json.dumps({"endpoint": {"minilm": server.url}}))
    options = ["--outputs", str(tmp_path / "outputs.json"), "--held-out", f"minilm={held}", "--min-cosine", "0.985"]
    assert main(["predict", *options]) == 0
    assert re.match(r"minilm: cosine 0\.9\d+ of 200 over HTTP, p50 ", capsys.readouterr().out)


def test_texts_that_mean_the_same_are_nearer_than_others(server: Server) -> None:
    texts = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Interest rates rose again in May."]
    tensor = {"name": "text", "datatype": "BYTES", "shape": [3], "data": texts}
    with server.client() as client:
        numbers = client.post("/v2/models/minilm/infer", json={"inputs": [tensor]}).json()["outputs"][0]["data"]
    cat, kitten, rates = (numbers[at : at + 384] for at in (0, 384, 768))
    near, far = (sum(a * b for a, b in zip(cat, other, strict=True)) for other in (kitten, rates))
    assert near > 0.5
    assert far < 0.3


def test_the_artifact_for_devices_gives_the_golden_answers_to_texts(house: House, result: dict[str, Any]) -> None:
    out = house.root / "out"
    options: list[str | Path] = ["--recipe", house.folder / "recipe.yaml", "--out", out, "--format", "ort"]
    done = house.python("-m", "model_build", "export", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "model.ort").is_file()
    assert (out / "tokenizer.json").is_file()


def test_the_page_tells_the_cosine(house: House, result: dict[str, Any]) -> None:
    page = (house.cache / result["page"]).read_text()
    assert "cosine with fp32, held out" in page
    assert "Confusion" not in page


def test_a_second_build_runs_nothing(house: House, result: dict[str, Any]) -> None:
    code, events = house.build()
    assert code == 0
    assert {row["state"] for row in events[-1]["steps"]} == {"cached"}
