"""`ops size`: what it reads of a model, and what it tells."""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from cost.sizing import Shape
from ops import size, weights
from ops.__main__ import main
from settings import SettingsError
from tests.cost.test_bill import PRICES
from tests.cost.test_sizing import LLAMA_8B, LLAMA_70B, Object


def folder(path: Path, config: Object, tensors: dict[str, tuple[str, list[int], int]]) -> Path:
    """Write weights in Hugging Face's layout: name → dtype, shape, bytes."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    header: Object = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, length) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(header).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    return path


def tiny(path: Path, **changes: Any) -> Path:
    return folder(path, {**LLAMA_8B, **changes}, {"a": ("BF16", [100, 10], 2000), "b": ("BF16", [24], 48)})


def test_a_folder_of_weights_says_how_large_it_is(tmp_path: Path) -> None:
    found = weights.read(tiny(tmp_path / "w"))
    assert (found.parameters, found.size, found.dtype, found.context) == (1024, 2048, "bf16", 131072)
    assert found.shape == Shape(layers=32, hidden=4096, kv_heads=8, head_size=128, heads=32)


def test_what_lies_below_text_config_is_found(tmp_path: Path) -> None:
    inner = {key: value for key, value in LLAMA_8B.items() if key != "torch_dtype"}
    path = folder(tmp_path / "w", {"dtype": "float16", "text_config": inner}, {"a": ("F16", [2], 4)})
    assert (weights.read(path).dtype, weights.read(path).shape.layers) == ("fp16", 32)


def cut(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def claim(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b"[24]", b"[25]"))


def leave_out(path: Path) -> None:
    file = path / "model.safetensors"
    (length,) = struct.unpack("<Q", file.read_bytes()[:8])
    header = json.loads(file.read_bytes()[8 : 8 + length])
    text = json.dumps({name: one for name, one in header.items() if name != "a"}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + file.read_bytes()[8 + length :])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: (path / "config.json").unlink(), "config.json: cannot be read"),
        (lambda path: (path / "config.json").write_text("[]"), "config.json: is no JSON object"),
        (lambda path: (path / "config.json").write_text("{}"), "config.json: num_hidden_layers: None is no number"),
        (lambda path: (path / "model.safetensors").unlink(), "has no .safetensors file"),
        (lambda path: (path / "model.safetensors").write_bytes(b"short"), "is no sound safetensors file"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\xff" * 16), "its header is "),
        (cut, "it has 2047 bytes of tensors, its header tells of 2048"),
        (claim, "b of 25 BF16 has 48 bytes"),
        (leave_out, "a tensor begins at 2000, the one before it ends at 0"),
    ],
)
def test_a_folder_that_is_none_is_told(tmp_path: Path, spoil: Any, says: str) -> None:
    path = tiny(tmp_path / "w")
    spoil(path)
    with pytest.raises(SettingsError) as caught:
        weights.read(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


RECIPE = """
version: 1
name: llama
task: generation
steps: [{load: {format: huggingface, file: weights}}]
gates: {}
runtime: {name: vllm, tensor_parallel: 2, pipeline_parallel: 2, max_model_len: 8192}
packaging: volume
"""


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Object:
    assert main(["size", *words, "--json"]) == code
    found: Object = json.loads(capsys.readouterr().out)
    return found


def test_a_recipe_says_the_context_and_how_many_gpus_share_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny(tmp_path / "weights")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    found = told(capsys, str(tmp_path / "recipe.yaml"), "--batch", "4")
    assert (found["dtype"], found["batch"], found["context"]) == ("bf16", 4, 8192)
    assert found["bytes"]["weights"] == 2048
    assert found["bytes"]["kvCache"] == 4 * 8192 * 2 * 32 * 8 * 128 * 2
    assert {(one["tensorParallel"], one["pipelineParallel"]) for one in found["fits"]} == {(2, 2)}
    assert min(one["gpus"] for one in found["fits"]) == 4


def test_parameters_say_it_of_a_model_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    words = ("--parameters", "70.6B", "--batch", "8", "--context", "4096", "--config", str(tmp_path / "config.json"))
    found = told(capsys, *words)
    assert (found["fits"][0]["instance"], found["fits"][0]["tensorParallel"]) == ("g6e.12xlarge", 4)
    assert found["notes"] == ["without T4: bf16 needs compute capability 8"]


def test_gpus_that_do_not_compute_in_fp8_are_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--parameters", "7B", "--dtype", "fp8", "--context", "1024", "--kv-heads", "8")
    assert found["fits"][0]["instance"] == "g6.xlarge"
    assert found["notes"] == ["without T4, A10G, A100: fp8 needs compute capability 8.9"]


def test_a_recipe_of_stages_alone_leaves_each_layer_on_one_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny(tmp_path / "weights")
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("tensor_parallel: 2, ", ""))
    words = (str(tmp_path / "recipe.yaml"), "--batch", "4")
    assert {(one["tensorParallel"], one["pipelineParallel"]) for one in told(capsys, *words)["fits"]} == {(1, 2)}
    asked = told(capsys, *words, "--pipeline-parallel", "4")["fits"]
    assert {(one["tensorParallel"], one["pipelineParallel"]) for one in asked} == {(1, 4)}


def test_stages_are_told_beside_the_gpus_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--parameters", "70B", "--context", "4096", "--batch", "8", "--kv-heads", "8", "--pipeline-parallel", "2")
    first = told(capsys, *words)["fits"][0]
    assert (first["instance"], first["tensorParallel"], first["pipelineParallel"]) == ("g6e.12xlarge", 2, 2)
    assert main(["size", *words]) == 0
    assert "g6e.12xlarge: 4 of its 4 L40S, " in capsys.readouterr().out


def test_what_was_assumed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    (note,) = told(capsys, "--parameters", "8B", "--dtype", "fp16", "--context", "4096")["notes"]
    assert "every head with keys and values of its own" in note
    words = ("--parameters", "8B", "--dtype", "fp16", "--context", "4096", "--kv-heads", "8")
    assert told(capsys, *words)["notes"] == []
    (note,) = told(capsys, "--parameters", "8B", "--dtype", "fp16")["notes"]
    assert note.startswith("without a KV cache")


def test_prices_of_a_file_choose_the_cheapest(capsys: pytest.CaptureFixture[str]) -> None:
    prices = str(PRICES)
    words = ("--parameters", "8B", "--context", "2048", "--kv-heads", "8")
    assert told(capsys, *words)["fits"][0]["instance"] == "g5.xlarge"
    found = told(capsys, *words, "--prices", prices)
    assert (found["fits"][0]["instance"], found["fits"][0]["hour"], found["currency"]) == ("g6.xlarge", 4.0, "USD")


def test_a_person_reads_the_choice_and_what_it_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["size", "--parameters", "7B", "--dtype", "fp16", "--batch", "8", "--context", "2048", "--kv-heads", "8"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "7B parameters in fp16, 8 at once of 2048 tokens: weights 13.0 GiB, KV cache 2.1 GiB, activations 1.1 GiB"
    )
    assert lines[1] == "g5.xlarge: its A10G, 16.2 of 20.1 GiB each"


def test_a_model_that_fits_nowhere_has_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--parameters", "2T", code=3)["fits"] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "error: MODEL: is what a model is read from, --parameters says it instead; give one of the two"),
        (("digits", "--parameters", "8B"), "error: MODEL: "),
        (("minilm",), "error: models/minilm/recipe.yaml: its weights are not known before a build; give --parameters"),
        (("no-such",), "error: "),
        (("--parameters", "8B", "--prices", "no.yaml"), "error: no.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_sized_is_told_in_a_line(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["size", *words]) == 1
    found = capsys.readouterr().err
    assert found.startswith(says)
    assert found.count("\n") == 1


@pytest.mark.parametrize(("text", "number"), [("8B", 8e9), ("350M", 3.5e8), ("1.5b", 1.5e9), ("7000000000", 7e9)])
def test_numbers_of_parameters_are_read_as_people_write_them(text: str, number: float) -> None:
    assert size._number(text) == number


@pytest.mark.parametrize("text", ["8G", "", "B", "-1B", "nan", "1e99"])
def test_what_is_no_number_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no number of parameters; write it as 8B or 350M"):
        size._number(text)
