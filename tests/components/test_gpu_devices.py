"""What offers and measures the GPUs of a pool, and how pods share one: each promise of docs/gpu-pools.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import yaml

from tests.components.gpus import LABEL, TAINT, Stacks, kinds, told, urn
from tests.components.programs import Object, Run


def daemons(pools: Run) -> Iterator[tuple[str, Object, Object]]:
    for name, one in pools.of("DaemonSet").items():
        spec = one["spec"]["template"]["spec"]
        (only,) = spec["containers"]
        yield name, spec, only


def test_gpus_are_cut_into_instances_by_bottlerocket(pools: Run) -> None:
    plugin = tomllib.loads(told(pools.of("LaunchTemplate")["h100"]))["settings"]["kubelet-device-plugins"]["nvidia"]
    assert plugin == {"device-partitioning-strategy": "mig", "mig": {"profile": {"h100.80gb": "1g.10gb"}}}


def test_processes_share_gpus_by_bottlerockets_daemon(pools: Run) -> None:
    settings = tomllib.loads(kinds(pools, "EC2NodeClass")["l40s"]["spec"]["userData"])["settings"]
    assert settings["kubelet-device-plugins"]["nvidia"] == {
        "device-sharing-strategy": "mps",
        "mps": {"replicas": 3, "rename-by-default": True},
    }


def test_pods_share_gpus_in_turns_by_the_nvidias_configuration(pools: Run, others: Stacks) -> None:
    config = yaml.safe_load(pools.of("ConfigMap")["nvidia-device-plugin-a10g"]["data"]["config.yaml"])
    shared = config["sharing"]["timeSlicing"]
    assert shared["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]
    assert (shared["renameByDefault"], shared["failRequestsGreaterThanOne"]) == (True, True)
    assert "sharing" not in yaml.safe_load(pools.of("ConfigMap")["nvidia-device-plugin-l4"]["data"]["config.yaml"])
    user_data = told(others["managed"].of("LaunchTemplate")["turns"])
    plugin = tomllib.loads(user_data)["settings"]["kubelet-device-plugins"]["nvidia"]
    assert plugin["time-slicing"] == {"replicas": 2, "rename-by-default": True}


def test_another_share_restarts_the_plugin(pools: Run, others: Stacks) -> None:
    def mark(one: Run) -> str:
        template = one.of("DaemonSet")["nvidia-device-plugin-a10g"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["modelstack.dev/config"])

    assert mark(others["managed"]) != mark(pools)


def test_who_scales_from_zero_knows_of_shares_of_gpus(pools: Run) -> None:
    (overlay,) = kinds(pools, "NodeOverlay").values()
    assert overlay["spec"]["capacity"] == {"nvidia.com/gpu.shared": "3"}
    assert [one["values"] for one in overlay["spec"]["requirements"]] == [["l40s"], ["g6e.xlarge"]]
    assert pools.of("Chart")["karpenter"]["values"]["settings"]["featureGates"] == {"nodeOverlay": True}
    tags = {name: (one["autoscalingGroupName"], one["tag"]) for name, one in pools.of("Tag").items()}
    assert set(tags) == {"a10g-spot", "a10g-on-demand", "h100-on-demand"}
    # Eight GPUs of seven parts each.
    parts = tags["h100-on-demand"][1]
    assert (parts["key"].rpartition("/resources/")[2], parts["value"]) == ("nvidia.com/gpu", "56")
    group, tag = tags["a10g-spot"]
    assert group == "eks-a10g-spot"
    assert tag["key"] == "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu.shared"
    assert tag["value"] == "4"


def test_the_plugin_runs_where_no_operating_system_brings_one(pools: Run) -> None:
    plugins = {name: spec for name, spec, _ in daemons(pools) if name.startswith("nvidia-")}
    assert {name: one["nodeSelector"] for name, one in plugins.items()} == {
        f"nvidia-device-plugin-{pool}": {LABEL: pool} for pool in ("a10g", "l4")
    }


def test_every_gpu_is_measured_but_those_that_aws_looks_after(pools: Run) -> None:
    (spec,) = [spec for name, spec, _ in daemons(pools) if name == "dcgm-exporter"]
    node = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    ((expression,),) = [term["matchExpressions"] for term in node["nodeSelectorTerms"]]
    assert (expression["key"], expression["values"]) == (LABEL, ["a10g", "h100", "l4", "l40s"])


def test_the_exporter_gets_gpus_as_either_operating_system_gives_them(pools: Run) -> None:
    (only,) = [only for name, _, only in daemons(pools) if name == "dcgm-exporter"]
    assert "/var/run/nvidia-container-devices/all" in {one["mountPath"] for one in only["volumeMounts"]}
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in only["env"]


def test_the_pods_of_a_shared_gpu_are_all_told_where_there_are_shares(pools: Run, others: Stacks) -> None:
    def told(run: Run) -> dict[str, str]:
        env = run.of("DaemonSet")["dcgm-exporter"]["spec"]["template"]["spec"]["containers"][0]["env"]
        return {one["name"]: one.get("value", "") for one in env}

    wanted = {"NVIDIA_RESOURCE_NAMES": "nvidia.com/gpu.shared", "KUBERNETES_VIRTUAL_GPUS": "true"}
    assert wanted.items() <= told(pools).items()
    assert not wanted.keys() & told(others["karpenter"]).keys()


def test_series_are_found_by_name_and_by_annotation_and_asked_for_by_the_stack_alone(pools: Run) -> None:
    annotations = pools.of("DaemonSet")["dcgm-exporter"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9400"}
    service = pools.of("Service")["dcgm-exporter"]["spec"]
    assert (service["clusterIP"], service["ports"][0]["name"], service["ports"][0]["port"]) == ("None", "metrics", 9400)
    (rule,) = pools.of("NetworkPolicy")["modelstack-prod-gpu-dcgm-exporter"]["spec"]["ingress"]
    assert rule["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "modelstack-prod"}},
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/instance": "prod"}
            },
        }
    ]
    pods = pools.of("StatefulSet")["prometheus"]["spec"]["template"]["metadata"]["labels"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= pods.items()


def test_the_stacks_prometheus_asks_every_exporter_and_may(pools: Run, others: Stacks) -> None:
    def jobs(run: Run) -> Object:
        config = yaml.safe_load(run.of("ConfigMap")["prometheus"]["data"]["prometheus.yml"])
        return {one["job_name"]: one for one in config["scrape_configs"]}

    job = jobs(pools)["dcgm-exporter"]
    assert job["dns_sd_configs"][0]["names"] == ["_metrics._tcp.dcgm-exporter.modelstack-prod-gpu"]
    # It is no model's.
    assert "relabel_configs" not in job
    rules = pools.of("NetworkPolicy")["prometheus"]["spec"]["egress"]
    namespaced = [peer for rule in rules for peer in rule.get("to", []) if "namespaceSelector" in peer]
    assert namespaced == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "modelstack-prod-gpu"}},
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "dcgm-exporter", "app.kubernetes.io/instance": "prod"}
            },
        }
    ]
    assert "dcgm-exporter" not in {**jobs(others["auto"]), **jobs(others["none"])}


def test_what_offers_gpus_tolerates_their_taint_and_runs_by_digest(pools: Run) -> None:
    assert len(list(daemons(pools))) == 3
    for _, spec, only in daemons(pools):
        assert spec["tolerations"] == [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}]
        assert spec["priorityClassName"] == "system-node-critical"
        assert "@sha256:" in only["image"]


def test_what_mounts_folders_of_the_kubelet_has_a_namespace_of_its_own_and_no_privilege(pools: Run) -> None:
    namespaces = {one["metadata"]["name"]: one["metadata"]["labels"] for one in pools.of("Namespace").values()}
    key = "pod-security.kubernetes.io/enforce"
    assert {name: labels[key] for name, labels in namespaces.items()} == {
        "modelstack-prod": "restricted",
        "modelstack-prod-gpu": "privileged",
        "karpenter": "restricted",
    }
    for name, one in pools.of("DaemonSet").items():
        assert one["metadata"]["namespace"] == "modelstack-prod-gpu", name
    for _, spec, only in daemons(pools):
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert only["securityContext"]["allowPrivilegeEscalation"] is False
        assert spec["automountServiceAccountToken"] is False


def test_the_selectors_of_daemon_sets_find_their_own_pods_alone(pools: Run) -> None:
    sets = pools.of("DaemonSet")
    for name, one in sets.items():
        wanted = one["spec"]["selector"]["matchLabels"].items()
        found = {
            other for other, two in sets.items() if wanted <= two["spec"]["template"]["metadata"]["labels"].items()
        }
        assert found == {name}


def test_gpus_are_offered_before_there_are_nodes(pools: Run) -> None:
    for ending in ("NodeGroup::a10g-spot", "v1:NodePool::l4"):
        assert urn(pools, "DaemonSet::nvidia-device-plugin-a10g") in pools.waits_for(urn(pools, ending))
