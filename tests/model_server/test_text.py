"""Models that take text: tokens are made in the server, as they were where the model was built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers

from model_server.errors import ConfigError
from model_server.tokens import Tokens
from tests.model_server import running
from tests.model_server.running import contract, spec, write_model

WORDS = {"[UNK]": 1, "one": 2, "two": 3, "three": 4, "grün": 5}
MOST = 4


def tokenizer() -> Tokenizer:
    """Return a tokenizer that knows a few whole words."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def summing() -> bytes:
    """Return a model of ids [n, tokens] → their sum and their count, [n, 2]."""
    nodes = [
        helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Sign", ["ids"], ["ones"]),
        helper.make_node("ReduceSum", ["ids", "axis"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["ones", "axis"], ["count"], keepdims=1),
        helper.make_node("Concat", ["sum", "count"], ["embedding"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "summing",
        [helper.make_tensor_value_info("input", TensorProto.INT64, ["n", "tokens"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def write_text(root: Path, **changes: Any) -> Path:
    document = contract("text", [spec("text", "BYTES", [-1])], [spec("embedding", "FP32", [-1, 2])])
    document |= {"tokens": {"file": "tokenizer.json", "most": MOST, "input": "input"}, **changes}
    golden = {"inputs": np.array(["one two", "grün"]), "outputs": np.array([[5, 2], [5, 1]], np.float32)}
    folder = write_model(root / "text", document, summing(), **golden)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models")
    write_text(root)
    with running.running(root) as server, server.client() as found:
        yield found


def answered(client: httpx.Client, *texts: object, shape: list[int] | None = None) -> httpx.Response:
    tensor = {"name": "text", "datatype": "BYTES", "shape": shape or [len(texts)], "data": list(texts)}
    return client.post("/v2/models/text/infer", json={"inputs": [tensor]})


def test_the_metadata_says_that_text_goes_in(client: httpx.Client) -> None:
    told = client.get("/v2/models/text").json()
    assert told["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def test_texts_of_different_lengths_are_answered_together(client: httpx.Client) -> None:
    response = answered(client, "one", "one two three", "grün grün")
    assert response.status_code == 200, response.text
    assert response.json()["outputs"][0]["data"] == [2, 1, 9, 3, 10, 2]


def test_a_text_keeps_its_first_tokens(client: httpx.Client) -> None:
    assert answered(client, "one " * 50).json()["outputs"][0]["data"] == [2 * MOST, MOST]


def test_a_word_that_is_unknown_is_answered(client: httpx.Client) -> None:
    assert answered(client, "🙂").json()["outputs"][0]["data"] == [1, 1]


@pytest.mark.parametrize(
    ("texts", "shape", "said"),
    [
        ([1], None, "data: 1 is not a text, as BYTES needs"),
        (["one", None], None, "data: None is not a text"),
        (["one"], [2], "1 values, the shape says 2"),
        (["one"], [1, 1], "does not fit the model's [-1]"),
        ([], [0], "is not a list of whole numbers of 1 or more"),
    ],
)
def test_what_is_no_text_is_refused(client: httpx.Client, texts: list[object], shape: list[int], said: str) -> None:
    response = answered(client, *texts, shape=shape)
    assert response.status_code == 400
    assert said in response.json()["error"]


def test_texts_that_would_become_too_many_tokens_are_refused_unread(client: httpx.Client) -> None:
    response = answered(client, *[""] * 300_000)
    assert response.status_code == 400
    assert "300000 texts, the limit is 262144; send fewer" in response.json()["error"]


def test_a_text_of_nothing_is_answered_or_refused_but_never_an_error_of_the_server(client: httpx.Client) -> None:
    assert answered(client, "").status_code < 500


def test_golden_texts_with_other_answers_keep_the_model_from_being_ready(tmp_path: Path) -> None:
    folder = write_text(tmp_path)
    np.savez(folder / "golden.npz", inputs=np.array(["one"]), outputs=np.array([[9, 9]], np.float32))
    with running.running(tmp_path, ready=False) as server:
        told = server.wait_for("model not ready")
    assert "golden answers differ" in told["error"]


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="is no tokenizer"):
        Tokens(path, 8)
