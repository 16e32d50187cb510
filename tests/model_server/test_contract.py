"""model.json."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_server.contract import load
from model_server.errors import ConfigError
from tests.model_server.running import ROOT, contract, spec, write_linear


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_linear(tmp_path)


def rewrite(folder: Path, **changes: Any) -> None:
    document = contract("linear", [spec("x", "FP32", [-1, 4])], [spec("y", "FP32", [-1, 3])]) | changes
    (folder / "model.json").write_text(json.dumps(document))


def tensors(**changes: Any) -> list[dict[str, Any]]:
    return [spec("x", "FP32", [-1, 4]) | changes]


def test_a_contract_reads_into_what_it_says(folder: Path) -> None:
    found = load(folder)
    assert (found.name, found.version, found.labels) == ("linear", "0123456789ab", ("a", "b", "c"))
    assert found.file == folder / "model.onnx"
    assert [one.as_json() for one in found.inputs] == [spec("x", "FP32", [-1, 4])]


def test_keys_of_a_later_version_are_passed_over(folder: Path) -> None:
    rewrite(folder, later=1)
    assert load(folder).labels == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": None}, "name: None"),
        ({"name": "Linear"}, "name: 'Linear' is not a lower-case label"),
        ({"name": "a" * 64}, "at most 63"),
        ({"name": "../x"}, "name: '../x'"),
        ({"version": ""}, "version: ''"),
        ({"version": "a/b"}, "version: 'a/b'"),
        ({"platform": "pytorch"}, "platform: 'pytorch' is not served"),
        ({"file": 7}, "file: 7"),
        ({"file": "/etc/passwd"}, "file: '/etc/passwd' leaves the model's folder"),
        ({"file": "../linear/model.onnx"}, "leaves the model's folder"),
        ({"file": "missing.onnx"}, "file: 'missing.onnx' is not a file"),
        ({"file": "."}, "file: '.' is not a file"),
        ({"inputs": []}, "inputs: []"),
        ({"inputs": {}}, "inputs: {}"),
        ({"inputs": [7]}, "inputs[0]: 7 is not an object"),
        ({"inputs": tensors(name="")}, "inputs[0].name: ''"),
        ({"inputs": tensors() + tensors()}, "'x' is named twice"),
        ({"inputs": tensors(datatype="TEXT")}, "inputs[0].datatype: 'TEXT' is not served"),
        ({"inputs": tensors(datatype="BYTES")}, "inputs: text (BYTES) and tokens come together"),
        ({"outputs": tensors(datatype="BYTES")}, "(BYTES) and tokens come together"),
        ({"tokens": {"file": "model.onnx", "most": 8, "input": "x"}}, "(BYTES) and tokens come together"),
        ({"tokens": {"file": "model.onnx", "most": 0, "input": "x"}}, "tokens.most: 0"),
        ({"tokens": {"file": "../tokenizer.json", "most": 8, "input": "x"}}, "leaves the model's folder"),
        ({"tokens": "tokenizer.json"}, "tokens: 'tokenizer.json' is not an object"),
        ({"inputs": tensors(datatype=["FP32"])}, "inputs[0].datatype: ['FP32'] is not served"),
        ({"inputs": tensors(shape=[])}, "inputs[0].shape: []"),
        ({"inputs": tensors(shape=[-2, 4])}, "inputs[0].shape: [-2, 4]"),
        ({"inputs": tensors(shape=[0, 4])}, "inputs[0].shape: [0, 4]"),
        ({"inputs": tensors(shape=[True, 4])}, "inputs[0].shape: [True, 4]"),
        ({"inputs": tensors(shape=[1] * 9)}, "1 to 8 whole numbers"),
        ({"outputs": None}, "outputs: None"),
        ({"labels": "abc"}, "labels: 'abc'"),
        ({"labels": ["a", "b"]}, "labels: 2 labels, but 'y' has 3 classes"),
        ({"inputs_hash": "ab"}, "inputs_hash: 'ab' is not 64"),
    ],
)
def test_a_wrong_contract_names_key_and_value(folder: Path, changes: dict[str, Any], says: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ConfigError) as caught:
        load(folder)
    message = str(caught.value)
    assert message.startswith(str(folder / "model.json"))
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000, "{}" + " " * (1 << 20)])
def test_a_file_that_is_no_contract_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"model\.json: "):
        load(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)
    with pytest.raises(ConfigError, match="a link out of the model's folder"):
        load(folder)


def test_a_golden_set_that_is_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "golden.npz").rename(tmp_path / "outside.npz")
    (folder / "golden.npz").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(ConfigError, match=re.escape("golden set: 'golden.npz' is a link out")):
        load(folder)


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "model.onnx").rename(folder / "data" / "model.onnx")
    (folder / "model.onnx").symlink_to("data/model.onnx")
    assert load(folder).file.is_file()


def test_the_builder_can_import_the_contract_without_anything_heavy() -> None:
    program = "import sys, model_server.contract; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "starlette", "uvicorn", "orjson"} & set(done.stdout.split())
