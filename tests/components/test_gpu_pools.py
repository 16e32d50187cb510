"""Pools of nodes with GPUs, whichever engine makes them: each promise of docs/gpu-pools.md, by resource."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from model_build import recipe as recipes
from model_build import runtimes
from settings.recipes import WITH_SHARED_MEMORY, server_of
from tests.components.conftest import Program
from tests.components.gpus import (
    LABEL,
    ON,
    ON_AUTO,
    POOLS,
    RESERVED,
    TAINT,
    Stacks,
    kinds,
    node_config,
    recipe_of,
    told,
    urn,
    with_pools,
)
from tests.components.programs import Made, Object, Run
from tests.components.test_kserve import by_kserve
from tests.components.test_serving import NAMED


def requirements(pool: Object) -> dict[str, list[str]]:
    return {one["key"]: one["values"] for one in pool["spec"]["template"]["spec"]["requirements"]}


def test_a_stack_without_pools_makes_nothing_for_them(others: Stacks) -> None:
    made = {one.type for one in others["none"].made}
    assert not {one for one in made if "Gpu" in one or "sqs" in one or "DaemonSet" in one or "helm" in one}


def test_every_node_of_a_pool_has_its_label_and_the_taint(pools: Run, others: Stacks) -> None:
    groups = {name: one for name, one in pools.of("NodeGroup").items() if LABEL in one.get("labels", {})}
    assert {one["labels"][LABEL] for one in groups.values()} == {"a10g", "h100"}
    for one in groups.values():
        assert one["taints"] == [{"key": TAINT, "value": "true", "effect": "NO_SCHEDULE"}]
    made = {**kinds(pools, "NodePool"), **kinds(others["auto"], "NodePool")}
    for name, one in made.items():
        template = one["spec"]["template"]
        assert template["metadata"]["labels"][LABEL] == name
        assert template["spec"]["taints"] == [{"key": TAINT, "value": "true", "effect": "NoSchedule"}]
    assert set(made) == {"l4", "l40s", "t4"}


def test_managed_nodes_run_the_image_of_nvidia_at_the_release_that_is_pinned(pools: Run) -> None:
    groups = pools.of("NodeGroup")
    for name in ("a10g-spot", "a10g-on-demand"):
        assert (groups[name]["amiType"], groups[name]["releaseVersion"]) == ("AL2023_x86_64_NVIDIA", "1.36.2-20260714")
    bottlerocket = groups["h100-on-demand"]
    assert bottlerocket["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"
    assert bottlerocket["releaseVersion"] == POOLS["h100"]["release"]


def test_spot_nodes_have_on_demand_ones_to_fall_back_on(pools: Run) -> None:
    groups = pools.of("NodeGroup")
    spot, fallback = groups["a10g-spot"], groups["a10g-on-demand"]
    assert (spot["capacityType"], fallback["capacityType"]) == ("SPOT", "ON_DEMAND")
    assert spot["labels"] == fallback["labels"]
    assert spot["instanceTypes"] == ["g5.xlarge", "g5.2xlarge"]
    # What is always there is what nobody takes away.
    assert [one["scalingConfig"]["minSize"] for one in (spot, fallback)] == [0, 1]


def test_a_pool_goes_to_zero(pools: Run) -> None:
    scaling = pools.of("NodeGroup")["h100-on-demand"]["scalingConfig"]
    assert scaling == {"minSize": 0, "desiredSize": 0, "maxSize": 2}
    disruption = kinds(pools, "NodePool")["l4"]["spec"]["disruption"]
    assert (disruption["consolidationPolicy"], disruption["consolidateAfter"]) == ("WhenEmptyOrUnderutilized", "120s")


@pytest.mark.parametrize(
    ("name", "limits"), [("l4", {"nodes": "3"}), ("l40s", {"nodes": "4"}), ("t4", {"nvidia.com/gpu": "4"})]
)
def test_a_pool_has_no_more_nodes_than_its_settings_say(pools: Run, others: Stacks, name: str, limits: Object) -> None:
    made = {**kinds(pools, "NodePool"), **kinds(others["auto"], "NodePool")}
    assert made[name]["spec"]["limits"] == limits


def hours(text: str) -> int:
    return int(text.removesuffix("h"))


def test_a_node_of_auto_mode_lives_no_longer_than_aws_takes(others: Stacks) -> None:
    spec = kinds(others["auto"], "NodePool")["t4"]["spec"]["template"]["spec"]
    assert (spec["expireAfter"], spec["terminationGracePeriod"]) == ("336h", "24h")
    assert hours(spec["expireAfter"]) + hours(spec["terminationGracePeriod"]) <= 21 * 24


def test_a_node_of_karpenter_goes_for_another_release_and_not_for_its_age(pools: Run) -> None:
    found = [one["spec"]["template"]["spec"]["expireAfter"] for one in kinds(pools, "NodePool").values()]
    assert found == ["Never", "Never"]
    assert all(one["spec"]["disruption"]["budgets"] == [{"nodes": "1"}] for one in kinds(pools, "NodePool").values())


def test_no_pod_keeps_a_pool_from_going_for_ever_and_pulumi_waits_for_the_last(pools: Run, others: Stacks) -> None:
    for run, names in ((pools, ("l4", "l40s")), (others["auto"], ("t4",))):
        for name in names:
            grace = kinds(run, "NodePool")[name]["spec"]["template"]["spec"]["terminationGracePeriod"]
            assert hours(run.patience[urn(run, f"v1:NodePool::{name}")]) > hours(grace)
            assert run.patience[urn(run, f"NodeClass::{name}")] == "30m"


def test_no_pod_reads_the_metadata_of_a_node_and_every_disk_is_encrypted(pools: Run) -> None:
    templates = pools.of("LaunchTemplate")
    assert {"a10g", "h100"} <= set(templates)
    for one in templates.values():
        assert (one["metadataOptions"]["httpTokens"], one["metadataOptions"]["httpPutResponseHopLimit"]) == (
            "required",
            1,
        )
        assert {disk["ebs"]["encrypted"] for disk in one["blockDeviceMappings"]} == {"true"}
    for one in kinds(pools, "EC2NodeClass").values():
        options = one["spec"]["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
        assert all(disk["ebs"]["encrypted"] for disk in one["spec"]["blockDeviceMappings"])


def test_instances_bear_the_tags_by_which_a_budget_counts(pools: Run) -> None:
    tags = {"modelstack.dev/project": "modelstack", "modelstack.dev/stack": "prod"}
    templates = pools.of("LaunchTemplate")
    assert {"a10g", "h100", "workers", "system"} <= set(templates)
    for name, one in templates.items():
        told = {two["resourceType"]: two["tags"] for two in one["tagSpecifications"]}
        assert told == {kind: {"Name": name, **tags} for kind in ("instance", "volume")}
    assert all(one["spec"]["tags"] == tags for one in kinds(pools, "EC2NodeClass").values())


def test_an_autoscaler_waits_for_whole_gpus_of_a_new_node_and_not_for_shares(pools: Run, others: Stacks) -> None:
    labels = {
        name: one["labels"] for name, one in {**others["managed"].of("NodeGroup"), **pools.of("NodeGroup")}.items()
    }
    key = "k8s.amazonaws.com/accelerator"
    found = {name: one[key] for name, one in labels.items() if key in one}
    assert found == {"plain-on-demand": "nvidia-a10g", "h100-on-demand": "nvidia-h100"}


def test_images_and_pods_lie_on_the_second_disk_of_bottlerocket(pools: Run) -> None:
    disks = {
        one["deviceName"]: one["ebs"]["volumeSize"] for one in pools.of("LaunchTemplate")["h100"]["blockDeviceMappings"]
    }
    assert disks == {"/dev/xvda": 4, "/dev/xvdb": 200}
    told = kinds(pools, "EC2NodeClass")["l40s"]["spec"]["blockDeviceMappings"]
    assert {one["deviceName"]: one["ebs"]["volumeSize"] for one in told} == {"/dev/xvda": "4Gi", "/dev/xvdb": "200Gi"}


def test_reserved_capacity_is_used_first(pools: Run, others: Stacks) -> None:
    assert kinds(pools, "EC2NodeClass")["l40s"]["spec"]["capacityReservationSelectorTerms"] == [{"id": RESERVED}]
    made = kinds(pools, "NodePool")
    assert requirements(made["l40s"])["karpenter.sh/capacity-type"] == ["reserved", "on-demand"]
    assert requirements(made["l4"])["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
    assert requirements(kinds(others["auto"], "NodePool")["t4"])["karpenter.sh/capacity-type"] == ["spot"]


def test_an_instances_own_disks_hold_images_and_pods_where_that_is_asked_for(pools: Run) -> None:
    config = node_config(told(pools.of("LaunchTemplate")["a10g"]))
    assert config["spec"]["instance"] == {"localStorage": {"strategy": "RAID0"}}
    classes = kinds(pools, "EC2NodeClass")
    assert {one["spec"]["instanceStorePolicy"] for one in classes.values()} == {"RAID0"}
    # Karpenter sets them up itself: nothing else may.
    assert "localStorage" not in classes["l4"]["spec"]["userData"]
    assert "bootstrap-commands" not in tomllib.loads(classes["l40s"]["spec"]["userData"])["settings"]


def test_bottlerocket_binds_its_folders_to_the_instances_own_disks(others: Stacks) -> None:
    settings = tomllib.loads(told(others["managed"].of("LaunchTemplate")["turns"]))["settings"]
    found = settings["bootstrap-commands"]["local-disks"]
    assert found["commands"] == [["apiclient", "ephemeral-storage", one] for one in ("init", "bind")]
    assert (found["mode"], found["essential"]) == ("always", True)


def test_layers_are_pulled_side_by_side_where_that_is_asked_for(pools: Run) -> None:
    template, classes = pools.of("LaunchTemplate")["a10g"], kinds(pools, "EC2NodeClass")
    for text in (told(template), classes["l4"]["spec"]["userData"]):
        assert node_config(text)["spec"]["featureGates"] == {"FastImagePull": True}
    settings = tomllib.loads(classes["l40s"]["spec"]["userData"])["settings"]
    assert settings["container-runtime"]["snapshotter"] == "soci"
    plugins = settings["container-runtime-plugins"]
    assert plugins["soci-snapshotter"]["pull-mode"] == "parallel-pull-unpack"
    assert template["blockDeviceMappings"][0]["ebs"]["throughput"] == 600


def test_nodes_that_need_nothing_beside_are_told_nothing(others: Stacks) -> None:
    assert "userData" not in others["managed"].of("LaunchTemplate")["plain"]


def test_a_pool_names_its_class_and_lies_where_other_nodes_do(pools: Run, others: Stacks) -> None:
    auto = others["auto"]
    classes = {**kinds(pools, "EC2NodeClass"), **kinds(auto, "NodeClass")}
    for name, one in {**kinds(pools, "NodePool"), **kinds(auto, "NodePool")}.items():
        reference = one["spec"]["template"]["spec"]["nodeClassRef"]
        found = classes[reference["name"]]
        assert (reference["name"], reference["kind"]) == (name, found["kind"])
        assert reference["group"] == found["apiVersion"].partition("/")[0]
        subnets = [f"Subnet/network-private-{zone}" for zone in "abc"]
        assert [term["id"] for term in found["spec"]["subnetSelectorTerms"]] == subnets
        assert found["spec"]["securityGroupSelectorTerms"] == [{"id": "sg-0c1a57e2"}]


TOLERATED = [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}]


def pod_of(pools: Run, name: str) -> Object:
    found: Object = {**pools.of("Deployment"), **kinds(pools, "Rollout")}[name]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("own", {"nvidia.com/gpu.shared": "1"}),
        ("parts", {"nvidia.com/gpu": "1"}),
        ("text", {"nvidia.com/gpu": "4"}),
        ("processes", {"nvidia.com/gpu.shared": "1"}),
        ("auto", {"nvidia.com/gpu": "1"}),
        ("canary", {"nvidia.com/gpu": "1"}),
    ],
)
def test_a_model_runs_on_the_nodes_of_its_pool(pools: Run, others: Stacks, name: str, gpus: Object) -> None:
    run = others["auto"] if name in ON_AUTO else pools
    spec, pool = pod_of(run, name), {**ON, **ON_AUTO}[name][0]
    assert (spec["nodeSelector"], spec["tolerations"]) == ({LABEL: pool}, TOLERATED)
    limits = spec["containers"][0]["resources"]["limits"]
    assert {key: one for key, one in limits.items() if key.startswith("nvidia")} == gpus
    workload = urn(run, f"Rollout::{name}" if name == "canary" else f"Deployment::{name}")
    assert urn(run, f"GpuNodePool::{pool}") in run.waits_for(workload)


def test_shares_are_kept_apart_by_zones_alone_and_whole_gpus_by_nodes_too(pools: Run) -> None:
    def keys(name: str) -> list[str]:
        return [one["topologyKey"] for one in pod_of(pools, name)["topologySpreadConstraints"]]

    # Karpenter takes ScheduleAnyway for a condition: by nodes, each share would wake one of its own.
    assert keys("processes") == ["topology.kubernetes.io/zone"]
    assert keys("canary") == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_servers_whose_processes_share_memory_are_those_that_mps_is_refused(tmp_path: Path) -> None:
    for number, case in enumerate(NAMED.values()):
        recipe = Path(recipe_of(tmp_path, f"model-{number}", case))
        told = runtimes.of(recipes.load(recipe)).told("baked")
        assert ("sharedMemory" in told) == (server_of(recipe) in WITH_SHARED_MEMORY), case.name


def test_a_model_without_gpus_runs_on_any_other_node(others: Stacks) -> None:
    found = others["managed"]
    assert not {"nodeSelector", "tolerations"} & set(pod_of(found, "digits"))
    assert not [one for one in found.waits_for(urn(found, "Deployment::digits")) if "GpuNodePool" in one]


def test_models_that_kserve_serves_run_there_too_workers_and_all(program: Program, tmp_path: Path) -> None:
    served = by_kserve(tmp_path, "vllm-over-nodes", gpuPool="l4")
    run = program({**with_pools({"l4": POOLS["l4"]}), **served}, stack="prod")
    predictor = kinds(run, "InferenceService")["digits"]["spec"]["predictor"]
    for one in (predictor, predictor["workerSpec"]):
        assert (one["nodeSelector"], one["tolerations"]) == ({LABEL: "l4"}, TOLERATED)
    assert predictor["model"]["resources"]["requests"]["nvidia.com/gpu"] == "2"


def test_every_resource_of_a_pool_is_of_the_providers_that_the_stack_names(pools: Run) -> None:
    made: list[Made] = [one for one in pools.made if one.custom and not one.type.startswith("pulumi:")]
    assert all(
        "modelstack:aws:Ground$pulumi:providers:aws::aws::" in one.provider for one in made if "aws:" in one.type
    )
    assert all("::cluster" in one.provider for one in pools.objects())


def test_pools_of_one_engine_need_nothing_of_another(others: Stacks) -> None:
    assert not others["managed"].of("Queue")
    assert not kinds(others["managed"], "NodePool")
    auto = others["auto"]
    assert not auto.of("DaemonSet")
    assert not {"nvidia", "dcgm"} & set(auto.of("PinnedImage"))
    gates = others["karpenter"].of("Chart")["karpenter"]["values"]["settings"]["featureGates"]
    assert gates == {"nodeOverlay": False}
