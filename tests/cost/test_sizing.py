"""Which instance a model fits on: the table against what AWS tells of its instances, formulae against known models."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import moto
import pytest

from cost.instances import INSTANCES, Instance
from cost.prices import InstancePrice
from cost.sizing import GIB, MIB, USED, Demand, Fit, Shape, fitting
from ops import weights
from settings.gpus import FAMILIES

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
    bytes_ = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "fp8": 1}[dtype]
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
    assert len(INSTANCES) > 40
    for one in INSTANCES:
        (gpu,) = told[one.name]["GpuInfo"]["Gpus"]
        assert (one.gpus, one.family.memory) == (gpu["Count"], gpu["MemoryInfo"]["SizeInMiB"]), one.name
        assert one.vcpus == told[one.name]["VCpuInfo"]["DefaultVCpus"], one.name
        assert one.memory * 1024 == told[one.name]["MemoryInfo"]["SizeInMiB"], one.name
        assert told[one.name]["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"], one.name


def test_every_type_that_a_pool_may_name_has_a_size_but_bare_metal() -> None:
    known = {f"{family}.{size}" for family, one in FAMILIES.items() for size in one.counts if size != "metal"}
    assert {one.name for one in INSTANCES} == known


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
    assert not [one for one in fitting(tiny, None, {}) if one.instance.family.gpu == "T4"]
    assert best(demand(1e8, LLAMA2_7B, "fp16")) == ("g4dn.xlarge", 1)


def test_what_computes_in_fp8_is_ada_hopper_and_later() -> None:
    tiny = demand(1e8, LLAMA2_7B, "fp8")
    assert not {one.instance.family.gpu for one in fitting(tiny, None, {})} & {"T4", "A10G", "A100"}
    assert best(tiny) == ("g6.xlarge", 1)


def test_stages_share_layers_and_each_has_gpus_of_its_own() -> None:
    asked = replace(demand(SEVENTY, LLAMA_70B, batch=8, context=4096), stages=2)
    whole = replace(asked, stages=1)
    assert (asked.weights(4), asked.cache(4)) == (whole.weights(4) / 2, whole.cache(4) / 2)
    assert asked.activations(4) == whole.activations(4)
    # A stage takes four of 24 GB or two of 48: all that an instance has of either.
    assert {one.instance.name: one.gpus for one in fitting(asked, None, {})}["g5.48xlarge"] == 4
    assert best(asked) == ("g6e.12xlarge", 2)
    assert fitting(asked, 8, {}) == []


def test_gpus_that_do_not_divide_the_heads_may_be_as_many_in_stages() -> None:
    odd = {**LLAMA_70B, "num_attention_heads": 6, "head_dim": 128}
    assert fitting(demand(1e8, odd), 4, {}) == []
    assert min(one.instance.gpus for one in fitting(demand(1e8, odd, stages=4), 1, {})) == 4


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
        assert one.bytes <= one.instance.family.memory * MIB * USED


def test_a_model_without_a_shape_takes_as_much_as_its_samples() -> None:
    asked = Demand(100 * MIB, "fp32", batch=64, sample=300 * MIB)
    assert asked.each(1) == 100 * MIB + 64 * 300 * MIB
    assert {one.gpus for one in fitting(asked, None, {})} == {1}
    assert fitting(asked, 2, {}) == []
