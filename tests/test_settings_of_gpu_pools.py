"""`modelstack:aws.gpuPools` and the models that run there: what is read, and one line for what is wrong."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from settings.gpus import FAMILIES, PARTS, count_of, family_of
from tests.test_settings import load, refused
from tests.test_settings_of_aws import BASE, in_aws

A10G: dict[str, Any] = {"types": ["g5.xlarge", "g5.2xlarge"]}
BOTTLEROCKET = {"os": "bottlerocket", "release": "1.54.0-0123abcd"}
RECIPE = """name: digits
runtime: {name: %s}
"""


def recipe(folder: Path, runtime: str) -> str:
    """Write what the settings read of a recipe; returns its path."""
    path = folder / "recipe.yaml"
    path.write_text(RECIPE % runtime)
    return str(path)


def with_pools(model: dict[str, Any] | None = None, **pools: Any) -> dict[str, Any]:
    config = in_aws(gpuPools=pools)
    return {**config, "models": {"digits": model}} if model else config


def on_pool(folder: Path, runtime: str, **changes: Any) -> dict[str, Any]:
    return {"recipe": recipe(folder, runtime), "base": BASE, "gpuPool": "a10g", **changes}


def test_every_instance_type_is_as_aws_describes_it() -> None:
    found = importlib.util.find_spec("moto")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).with_name("ec2") / "resources" / "instance_types.json.gz"
    described = json.loads(gzip.decompress(path.read_bytes()))
    for name, family in FAMILIES.items():
        for size, count in family.counts.items():
            told = described[f"{name}.{size}"]
            (gpu,) = told["GpuInfo"]["Gpus"]
            seen = (gpu["Name"], gpu["Count"], gpu["MemoryInfo"]["SizeInMiB"], gpu["Manufacturer"])
            assert seen == (family.gpu, count, family.memory, "NVIDIA"), f"{name}.{size}"
            # Every one has disks of its own, which `localDisks` takes.
            assert told["InstanceStorageSupported"], f"{name}.{size}"
            assert told["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    ours = {f"{name}.{size}" for name, family in FAMILIES.items() for size in family.counts}
    whole = {name for name, told in described.items() if _whole_gpus(told)}
    assert {one.partition(".")[0] for one in whole - ours} <= {"p3", "p3dn", "g5g", "g3", "g3s", "p2"}


def _whole_gpus(told: dict[str, Any]) -> bool:
    gpus = told.get("GpuInfo", {}).get("Gpus", [])
    return any(one.get("Manufacturer") == "NVIDIA" and one["Count"] for one in gpus)


def test_an_instance_without_a_gpu_has_none() -> None:
    assert (count_of("m7i.large"), family_of("g5.7xlarge"), count_of("p5.48xlarge")) == (0, None, 8)


def test_types_are_enough_and_the_release_is_that_of_the_clusters_version() -> None:
    (pool,) = load(**with_pools(a10g=A10G)).gpu_pools.values()
    assert (pool.engine, pool.min, pool.capacity, pool.release) == ("managed", 1, "onDemand", "1.36.2-20260714")
    assert (pool.gpus, pool.most, pool.resource) == (1, 1, "nvidia.com/gpu")


def test_a_stack_without_pools_has_none() -> None:
    assert load().gpu_pools == load(**in_aws()).gpu_pools == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": []}, "types: []: tuple should have at least 1 item"),
        ({"types": ["m7i.large"]}, "types: 'm7i.large' is no instance type with NVIDIA GPUs that is known here"),
        ({"types": ["g5.xlarge", "g5.12xlarge"]}, "types: have 1 and 4 GPUs, one pool counts its nodes by them"),
        ({"min": 5}, "max: 4 is below min 5; raise it"),
        ({"reservation": "cr-0123456789abcdef0"}, "reservation: is not of engine: managed; use karpenter"),
        ({"engine": "karpenter", "min": 1}, "min: 1 is of engine: managed, karpenter goes to zero; remove it"),
        ({"idleSeconds": 60}, "idleSeconds: is not of engine: managed"),
        ({"expireHours": 48}, "expireHours: is not of engine: managed, whose nodes stay"),
        ({"engine": "auto", "release": "1.36.2-20260714"}, "release: AWS chooses it with engine: auto"),
        ({"engine": "auto", "localDisks": True}, "localDisks: AWS chooses it with engine: auto"),
        ({"engine": "auto", "share": {"by": "timeSlicing", "replicas": 2}}, "share: AWS chooses it with engine: auto"),
        (
            {"engine": "karpenter", "reservation": "cr-0123456789abcdef0", "capacity": "spot"},
            "reservation: is of on-demand nodes",
        ),
        ({"reservation": "reserved"}, "reservation: 'reserved': string should match"),
        ({"release": "1.36.2"}, "release: '1.36.2' is none of os: al2023; write it as 1.36.2-20260714"),
        ({"release": "1.54.0-0123abcd"}, "release: '1.54.0-0123abcd' is none of os: al2023"),
        ({"os": "bottlerocket", "release": "1.36.2-20260714x"}, "release: '1.36.2-20260714x' is none of os: bottle"),
        ({"share": {"by": "mps", "replicas": 4}}, "share.by: mps is set up by os: bottlerocket as it boots"),
        ({"share": {"by": "mig", "profile": "1g.5gb"}, **BOTTLEROCKET}, "share.by: mig, g5.xlarge has no GPU"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_by_key_value_and_limit(changes: dict[str, Any], message: str) -> None:
    told = refused(**with_pools(a10g={**A10G, **changes}))
    assert told.removeprefix("modelstack:aws.gpuPools.a10g").removeprefix(".").removeprefix(": ").startswith(message)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ({"by": "timeSlicing"}, "replicas: is missing; by: timeSlicing needs it, add it"),
        ({"by": "mig"}, "profile: is missing; by: mig needs it, add it"),
        ({"by": "mig", "profile": "1g.5gb", "replicas": 2}, "replicas: is not of by: mig; remove it"),
        ({"by": "timeSlicing", "replicas": 4, "profile": "1g.5gb"}, "profile: is not of by: timeSlicing; remove it"),
        ({"by": "mig", "profile": "half"}, "profile: 'half': string should match"),
        ({"by": "timeSlicing", "replicas": 1}, "replicas: 1: input should be greater than or equal to 2"),
    ],
)
def test_a_share_is_told_by_what_it_needs_and_no_more(share: dict[str, Any], message: str) -> None:
    assert message in refused(**with_pools(a10g={**A10G, "share": share}))


def test_parts_of_a_gpu_are_not_counted_by_karpenter() -> None:
    mig = {"types": ["p4d.24xlarge"], "share": {"by": "mig", "profile": "1g.5gb"}, **BOTTLEROCKET}
    assert load(**with_pools(a100=mig)).gpu_pools["a100"].resource == "nvidia.com/gpu"
    assert "share.by: mig, Karpenter counts" in refused(**with_pools(a100={**mig, "engine": "karpenter"}))


def test_a_release_is_of_the_clusters_version() -> None:
    told = refused(**with_pools(a10g={**A10G, "release": "1.35.6-20260714"}))
    assert "aws: gpuPools.a10g.release: '1.35.6-20260714' is not of Kubernetes 1.36, which aws.version names" in told
    older = {**with_pools(a10g=A10G)}
    older["aws"] = {**older["aws"], "version": "1.35"}
    assert "gpuPools.a10g.release: is missing, none is known of Kubernetes 1.35" in refused(**older)


def test_bottlerocket_names_its_release() -> None:
    told = refused(**with_pools(a10g={**A10G, "os": "bottlerocket"}))
    assert "release: is missing; name that of bottlerocket, as `aws ssm get-parameter" in told


def test_auto_mode_is_asked_for_by_itself() -> None:
    told = refused(**with_pools(t4={"engine": "auto", "types": ["g4dn.xlarge"]}))
    assert told == "modelstack:aws: gpuPools.t4.engine: auto needs EKS Auto Mode; set autoMode: true"
    assert load(**in_aws(autoMode=True)).gpu_pools == {}


def test_karpenter_and_auto_mode_are_not_of_one_cluster() -> None:
    pools = {"l4": {"engine": "karpenter", "types": ["g6.xlarge"]}}
    told = refused(**in_aws(gpuPools=pools, autoMode=True))
    assert "gpuPools.l4.engine: karpenter brings the definitions that EKS Auto Mode has; use auto, or remove" in told


def test_a_node_of_auto_mode_is_young_enough_for_aws() -> None:
    def auto(hours: int) -> dict[str, Any]:
        return in_aws(
            gpuPools={"t4": {"engine": "auto", "types": ["g4dn.xlarge"], "expireHours": hours}}, autoMode=True
        )

    assert load(**auto(480)).gpu_pools["t4"].expires == "480h"
    assert "expireHours: 481 and 24 for the last pods are above the 504 of EKS Auto Mode; take 480" in refused(
        **auto(481)
    )


def test_a_group_goes_to_zero_where_there_is_an_autoscaler_alone() -> None:
    empty = {**A10G, "min": 0}
    told = refused(**with_pools(a10g=empty))
    assert "gpuPools.a10g.min: 0 of engine: managed never has a node without an autoscaler; raise it, use " in told
    assert load(**in_aws(gpuPools={"a10g": empty}, autoscaler=True)).gpu_pools["a10g"].min == 0
    assert load(**with_pools(l4={"engine": "karpenter", "types": ["g6.xlarge"]})).gpu_pools["l4"].min == 0


@pytest.mark.parametrize(
    ("types", "profile", "message"),
    [
        (["p5.48xlarge"], "6g.3gb", "share.profile: '6g.3gb' is none of p5.48xlarge, which has 1g.10gb, 1g.20gb"),
        (["p5.48xlarge", "p5e.48xlarge"], "1g.10gb", "share.profile: '1g.10gb' is none of p5e.48xlarge"),
        (["p4d.24xlarge", "p4de.24xlarge"], "1g.10gb", "share.profile: '1g.10gb' makes 4 and 7 parts of the types'"),
    ],
)
def test_gpus_are_cut_as_nvidia_cuts_them_and_all_of_a_pool_alike(types: list[str], profile: str, message: str) -> None:
    told = refused(**with_pools(a10g={"types": types, "share": {"by": "mig", "profile": profile}, **BOTTLEROCKET}))
    assert message in told


def test_the_parts_of_a_gpu_are_what_a_node_offers() -> None:
    mig = {"types": ["p5.48xlarge"], "share": {"by": "mig", "profile": "2g.20gb"}, **BOTTLEROCKET}
    pool = load(**with_pools(h100=mig)).gpu_pools["h100"]
    assert (pool.gpus, pool.shares, pool.offered, pool.most) == (8, 3, 24, 1)


def test_every_gpu_that_can_be_cut_has_its_profiles() -> None:
    assert {one.partitioned for one in FAMILIES.values() if one.partitioned} == set(PARTS)
    for gpu, profiles in PARTS.items():
        for profile, parts in profiles.items():
            # A GPU has seven units of computing and as much memory as its name says.
            assert parts * int(profile[0]) <= 7, (gpu, profile)
            assert parts * int(profile[3:-2]) <= int(gpu.rpartition(".")[2][:-2]) + 2, (gpu, profile)


@pytest.mark.parametrize(
    ("changes", "release", "what"),
    [
        ({"share": {"by": "mps", "replicas": 2}}, "1.53.9-0123abcd", "1.54, the first with share.by: mps"),
        (
            {"types": ["p5.48xlarge"], "share": {"by": "mig", "profile": "1g.10gb"}},
            "1.33.0-0123abcd",
            "1.34, the first",
        ),
        ({"parallelPull": True}, "1.43.0-0123abcd", "1.44, the first with parallelPull"),
    ],
)
def test_a_release_has_what_is_asked_of_it(changes: dict[str, Any], release: str, what: str) -> None:
    pool = {**A10G, "os": "bottlerocket", "release": release, **changes}
    assert f"release: '{release}' is before {what}" in refused(**with_pools(a10g=pool))
    plain = {key: one for key, one in pool.items() if key not in ("share", "parallelPull")}
    assert load(**with_pools(a10g=plain)).gpu_pools["a10g"].release == release


def test_a_server_with_shared_memory_is_not_under_mps(tmp_path: Path) -> None:
    pool = {**A10G, "min": 2, "share": {"by": "mps", "replicas": 2}, **BOTTLEROCKET}
    told = refused(**with_pools(on_pool(tmp_path, "vllm"), a10g=pool))
    assert "gpuPool: 'a10g' shares GPUs by MPS, which takes /dev/shm from vllm; name a pool that shares by" in told
    assert load(**with_pools(on_pool(tmp_path, "triton, gpus: 1"), a10g=pool)).models["digits"].gpu_pool == "a10g"


def test_a_pool_has_no_name_that_auto_mode_knows() -> None:
    assert "gpuPools: 'system' is a pool that EKS Auto Mode knows itself" in refused(**with_pools(system=A10G))


def test_a_model_names_a_pool_that_there_is(tmp_path: Path) -> None:
    model = on_pool(tmp_path, "triton, gpus: 1", gpuPool="h100")
    told = refused(**with_pools(model, a10g=A10G, l4={"types": ["g6.xlarge"]}))
    assert told == (
        "modelstack: models.digits.gpuPool: 'h100' is no pool of modelstack:aws.gpuPools, known are a10g, l4; "
        "correct it, or add the pool"
    )
    assert "there is none" in refused(models={"digits": {"recipe": "models/digits/recipe.yaml", "gpuPool": "a10g"}})


@pytest.mark.parametrize(
    ("runtime", "types", "limit"),
    [
        ("triton, gpus: 2", ["g5.xlarge"], "has 1 a node, {} asks for 2 GPUs"),
        ("vllm, tensor_parallel: 8", ["g6.12xlarge"], "has 4 a node, {} asks for 8 GPUs"),
    ],
)
def test_a_model_asks_for_no_more_gpus_than_a_node_has(
    tmp_path: Path, runtime: str, types: list[str], limit: str
) -> None:
    told = refused(**with_pools(on_pool(tmp_path, runtime), a10g={"types": types}))
    assert told.startswith("modelstack:models.digits.gpuPool: 'a10g' ")
    assert limit.format(tmp_path / "recipe.yaml") in told


def test_a_model_asks_for_one_share_of_a_gpu(tmp_path: Path) -> None:
    shared = {"types": ["g6.12xlarge"], "share": {"by": "timeSlicing", "replicas": 4}}
    assert load(**with_pools(on_pool(tmp_path, "triton, gpus: 1"), a10g=shared)).gpu_pools["a10g"].most == 1
    told = refused(**with_pools(on_pool(tmp_path, "triton, gpus: 2"), a10g=shared))
    assert "has one share of a GPU (share.by: timeSlicing)" in told


@pytest.mark.parametrize("runtime", ["triton", "onnxruntime", "onnxruntime, device: cpu"])
def test_a_model_without_gpus_needs_no_pool(tmp_path: Path, runtime: str) -> None:
    told = refused(**with_pools(on_pool(tmp_path, runtime), a10g=A10G))
    assert "asks for no GPU; remove it, or add GPUs to the recipe's runtime" in told


def test_where_there_are_pools_a_model_with_gpus_names_one(tmp_path: Path) -> None:
    model = {"recipe": recipe(tmp_path, "onnxruntime, device: gpu")}
    assert "gpuPool: is missing; " in refused(**with_pools(model, a10g=A10G))
    room = {**A10G, "min": 2}
    assert load(**with_pools({**model, "gpuPool": "a10g"}, a10g=room)).models["digits"].gpu_pool == "a10g"
    told = refused(**{**in_aws(), "models": {"digits": model}})
    assert "asks for 1 GPU, add a pool to aws.gpuPools and name it" in told
    assert load(models={"digits": model}).models["digits"].gpu_pool is None


def test_the_nodes_of_a_replica_share_its_gpus(tmp_path: Path) -> None:
    model = on_pool(tmp_path, "vllm, tensor_parallel: 8", serve={"by": "kserve", "nodes": 2})
    config = {**with_pools(model, a10g={"types": ["g6.12xlarge"], "min": 4}), "kserve": {"installed": True}}
    assert load(**config).models["digits"].gpu_pool == "a10g"


def test_the_nodes_of_a_replica_are_counted_by_whole_gpus(tmp_path: Path) -> None:
    model = on_pool(tmp_path, "vllm, tensor_parallel: 2", serve={"by": "kserve", "nodes": 2})
    shared = {"types": ["g6.xlarge"], "share": {"by": "timeSlicing", "replicas": 4}}
    told = refused(**with_pools(model, a10g=shared), kserve={"installed": True})
    assert "gpuPool: 'a10g' offers shares of GPUs, serve.nodes: 2 are counted by whole ones" in told
