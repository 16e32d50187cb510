"""Which instance a model fits on: the table against what AWS tells of its instances, formulae against known models."""

from __future__ import annotations

import argparse
import gzip
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import moto
import pytest

from cost import weights
from cost.instances import INSTANCES, Instance
from cost.prices import InstancePrice
from cost.sizing import GIB, MIB, USED, Demand, Fit, Shape, fitting
from ops import size
from ops.__main__ import main
from settings import SettingsError

Object = dict[str, Any]
# What moto answers `describe_instance_types` with is what AWS did.
TOLD = Path(moto.__file__).parent / "ec2/resources/instance_types.json.gz"
# https://huggingface.co/meta-llama/Llama-3.1-70B and -8B, and Llama-2-7b: config.json.
LLAMA_70B = {
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
}
LLAMA_8B = {**LLAMA_70B, "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
LLAMA2_7B = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
HERE = Path("config.json")
SEVEN, SEVENTY = 6.74e9, 70.6e9


def demand(parameters: float, config: Object, dtype: str = "bf16", **asked: Any) -> Demand:
    bytes_ = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}[dtype]
    return Demand(parameters * bytes_, dtype, shape=weights.shape(config, HERE), **asked)


def best(asked: Demand, gpus: int | None = None) -> tuple[str, int]:
    first = fitting(asked, gpus, {})[0]
    return first.instance.name, first.gpus


def named(name: str) -> Instance:
    return next(one for one in INSTANCES if one.name == name)


def on(name: str, asked: Demand, gpus: int | None = None) -> Fit | None:
    return next((one for one in fitting(asked, gpus, {}) if one.instance.name == name), None)


def test_the_table_says_what_aws_tells_of_each_instance() -> None:
    told = json.loads(gzip.decompress(TOLD.read_bytes()))
    assert len({one.name for one in INSTANCES}) == len(INSTANCES) > 40
    for one in INSTANCES:
        (gpu,) = told[one.name]["GpuInfo"]["Gpus"]
        assert (one.gpus, one.of.memory) == (gpu["Count"], gpu["MemoryInfo"]["SizeInMiB"]), one.name
        assert one.vcpus == told[one.name]["VCpuInfo"]["DefaultVCpus"], one.name
        assert one.memory * 1024 == told[one.name]["MemoryInfo"]["SizeInMiB"], one.name
        assert told[one.name]["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"], one.name


def test_the_families_that_are_asked_for_are_in_the_table() -> None:
    families = {one.name.partition(".")[0] for one in INSTANCES}
    assert {"g4dn", "g5", "g6", "g6e", "p4d", "p4de", "p5", "p5e", "p5en"} <= families


def test_a_token_of_opt_13b_takes_800_kb_in_the_cache() -> None:
    assert Shape(layers=40, hidden=5120, kv_heads=40, head_size=128, heads=40).kv_bytes(2) == 800 * 1024


def test_a_token_of_a_model_with_grouped_heads_takes_as_much_as_its_groups() -> None:
    assert weights.shape(LLAMA_70B, HERE).kv_bytes(2) == 2 * 80 * 8 * 128 * 2


def test_seven_billion_parameters_have_about_the_layers_of_models_of_that_size() -> None:
    found = Shape.of_parameters(7e9)
    assert (found.layers, found.hidden) == (33, 4224)
    assert 12 * found.layers * found.hidden**2 == pytest.approx(7e9, rel=0.02)


def test_7b_fits_a_t4_without_its_cache_and_not_with_that_of_a_batch() -> None:
    assert on("g4dn.xlarge", demand(SEVEN, LLAMA2_7B, "fp16", batch=1, context=1)) is not None
    asked = demand(SEVEN, LLAMA2_7B, "fp16", batch=8, context=2048)
    # 12.6 GiB of weights and 8 of cache, of 16.
    assert asked.cache() == 8 * GIB
    assert on("g4dn.xlarge", asked) is None
    assert on("g5.xlarge", asked) is None
    assert on("g5.12xlarge", asked, 2) is not None


def test_no_t4_computes_in_bfloat16() -> None:
    tiny = demand(1e8, LLAMA2_7B, "bf16")
    assert not [one for one in fitting(tiny, None, {}) if one.instance.gpu == "T4"]
    assert best(demand(1e8, LLAMA2_7B, "fp16")) == ("g4dn.xlarge", 1)


def test_8b_in_bfloat16_fits_one_gpu_of_24_gb() -> None:
    assert best(demand(8.03e9, LLAMA_8B, batch=8, context=2048)) == ("g5.xlarge", 1)


def test_70b_wants_several_gpus() -> None:
    asked = demand(SEVENTY, LLAMA_70B, batch=8, context=4096)
    assert asked.weights() / GIB == pytest.approx(131.5, abs=0.1)
    assert asked.cache() == 10 * GIB
    fits = {one.instance.name: one.gpus for one in fitting(asked, None, {})}
    # Of 48 GB four, of 24 GB eight; of 80 GB four, since two lack 2 GiB each; no four of 24 GB, and no single one.
    assert (fits["g6e.12xlarge"], fits["g5.48xlarge"], fits["p5.48xlarge"]) == (4, 8, 4)
    assert not {"g5.12xlarge", "g6.24xlarge", "p5.4xlarge", "g6e.xlarge"} & set(fits)
    assert best(asked) == ("g6e.12xlarge", 4)
    assert best(asked, 8)[0] in ("g5.48xlarge", "g6.48xlarge")


def test_int8_halves_the_weights_and_not_the_cache() -> None:
    whole, half = (demand(SEVEN, LLAMA2_7B, dtype, batch=2, context=1024) for dtype in ("fp16", "int8"))
    assert half.weights() == whole.weights() / 2
    assert half.cache() == whole.cache()


def test_gpus_share_weights_and_heads_and_each_keeps_a_head_at_least() -> None:
    asked = demand(SEVENTY, LLAMA_70B, batch=1, context=1000)
    assert asked.weights(4) == asked.weights() / 4
    assert (asked.cache(8), asked.cache(16)) == (asked.cache() / 8, asked.cache() / 8)


def test_stages_share_layers_and_each_has_gpus_of_its_own() -> None:
    asked = replace(demand(SEVENTY, LLAMA_70B, batch=8, context=4096), stages=2)
    whole = replace(asked, stages=1)
    assert (asked.weights(4), asked.cache(4)) == (whole.weights(4) / 2, whole.cache(4) / 2)
    assert asked.activations(4) == whole.activations(4)
    # A stage takes four of 24 GB or two of 48: all that an instance has of either.
    assert {one.instance.name: one.gpus for one in fitting(asked, None, {})}["g5.48xlarge"] == 4
    assert best(asked) == ("g6e.12xlarge", 2)
    assert fitting(asked, 8, {}) == []


def test_gpus_that_do_not_divide_the_heads_share_no_model() -> None:
    odd = demand(SEVENTY, {**LLAMA_70B, "num_attention_heads": 60, "head_dim": 128}, context=1024)
    assert {one.gpus for one in fitting(odd, None, {})} <= {1, 2, 4}
    assert fitting(odd, 8, {}) == []


def test_the_cheapest_comes_before_the_smallest() -> None:
    asked = demand(8.03e9, LLAMA_8B, batch=8, context=2048)
    prices = {
        name: InstancePrice(hour=hour, vcpus=4, memory=32)
        for name, hour in (("g6e.xlarge", 1.0), ("g5.xlarge", 2.0), ("g4dn.xlarge", 0.1))
    }
    found = fitting(asked, None, prices)
    assert [(one.instance.name, one.hour) for one in found[:2]] == [("g6e.xlarge", 1.0), ("g5.xlarge", 2.0)]
    assert found[2].hour is None


def test_what_each_gpu_holds_is_never_above_what_is_used_of_it() -> None:
    for one in fitting(demand(SEVENTY, LLAMA_70B, batch=8, context=4096), None, {}):
        assert one.bytes <= one.instance.of.memory * MIB * USED


def test_a_model_without_a_shape_takes_as_much_as_its_samples() -> None:
    asked = Demand(100 * MIB, "fp32", batch=64, sample=300 * MIB)
    assert asked.each(1) == 100 * MIB + 64 * 300 * MIB
    assert {one.gpus for one in fitting(asked, None, {})} == {1}
    assert fitting(asked, 2, {}) == []


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


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: (path / "config.json").unlink(), "config.json: cannot be read"),
        (lambda path: (path / "config.json").write_text("[]"), "config.json: is no JSON object"),
        (lambda path: (path / "config.json").write_text("{}"), "config.json: num_hidden_layers: None is no number"),
        (lambda path: (path / "model.safetensors").unlink(), "has no .safetensors file"),
        (lambda path: (path / "model.safetensors").write_bytes(b"short"), "is no sound safetensors file"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\xff" * 16), "its header is "),
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


def test_parameters_say_it_of_a_model_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    words = ("--parameters", "70.6B", "--batch", "8", "--context", "4096", "--config", str(tmp_path / "config.json"))
    found = told(capsys, *words)
    assert (found["fits"][0]["instance"], found["fits"][0]["tensorParallel"]) == ("g6e.12xlarge", 4)
    assert found["notes"] == []


def test_stages_are_told_beside_the_gpus_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--parameters", "70B", "--context", "4096", "--batch", "8", "--kv-heads", "8", "--pipeline-parallel", "2")
    first = told(capsys, *words)["fits"][0]
    assert (first["instance"], first["tensorParallel"], first["pipelineParallel"]) == ("g6e.12xlarge", 2, 2)
    assert main(["size", *words]) == 0
    assert "g6e.12xlarge: 4 of its 4 L40S, " in capsys.readouterr().out


def test_what_was_assumed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    (note,) = told(capsys, "--parameters", "8B", "--context", "4096")["notes"]
    assert "every head with keys and values of its own" in note
    assert told(capsys, "--parameters", "8B", "--context", "4096", "--kv-heads", "8")["notes"] == []
    (note,) = told(capsys, "--parameters", "8B")["notes"]
    assert note.startswith("without a KV cache")


def test_prices_of_a_file_choose_the_cheapest(capsys: pytest.CaptureFixture[str]) -> None:
    prices = str(Path(__file__).with_name("prices.yaml"))
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
