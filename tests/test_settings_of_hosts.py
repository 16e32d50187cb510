"""`modelstack:hosts`: what is read, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components import place
from settings import SettingsError
from tests.ops.metal import HOSTS
from tests.test_settings import MODELS, OWN_CLUSTER, load, refused


def on_hosts(**changes: Any) -> dict[str, Any]:
    return {**OWN_CLUSTER, "models": MODELS, "hosts": {**HOSTS, **changes}}


def workers(**changes: Any) -> dict[str, Any]:
    return {"workers": {"cpu": {"hosts": {"cpu-0": "10.0.0.20"}, **changes}}}


def test_hosts_are_a_cluster_of_ones_own() -> None:
    found = load(**on_hosts())
    assert not found.embedded
    assert found.hosts
    assert [name for name, _ in found.hosts.every] == ["cp-0", "cp-1", "cp-2", "cpu-0", "cpu-1", "gpu-0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kubernetes": "1.37"}, "hosts.kubernetes: '1.37': string should match"),
        ({"kubernetes": "1.30.2"}, "hosts.kubernetes: 1.30.2 is older than 1.31, whose kubeadm reads what is rendered"),
        ({"containerd": "1.7.29"}, "hosts.containerd: 1.7.29 is older than 2.0.0, which reads what is rendered"),
        ({"serviceCidr": "10.0.0.0/11"}, "hosts: serviceCidr: 10.0.0.0/11 is wider than /12, which kubeadm refuses"),
        ({"calico": {"version": "v3.31.2"}}, "hosts.calico.sha256: is missing; add it"),
        ({"calico": {"version": "latest", "sha256": "0" * 64}}, "hosts.calico.version: 'latest': string should match"),
        ({"podCidr": "10.244.0.0/24"}, "hosts.podCidr: '10.244.0.0/24' is not a private network of /20 or wider"),
        ({"serviceCidr": "ten"}, "hosts.serviceCidr: 'ten' is no network"),
        ({"serviceCidr": "10.244.0.0/20"}, "hosts: podCidr: 10.244.0.0/16 overlaps serviceCidr 10.244.0.0/20; take"),
        (
            workers(hosts={"cpu-0": "10.244.3.1"}),
            "hosts: cpu-0: 10.244.3.1 lies in 10.244.0.0/16, which is the cluster",
        ),
        (workers(hosts={"cp-0": "10.0.0.20"}), "hosts: 'cp-0' is the host of two; name each host once"),
        (workers(hosts={"cpu-0": "10.0.0.10"}), "hosts: '10.0.0.10' is the address of two; name each host once"),
        (workers(hosts={"gpu": "10.0.0.20"}), "hosts: 'gpu' is the name of a group of Ansible's; rename the host"),
        (workers(hosts={"CPU": "10.0.0.20"}), "hosts.workers.cpu.hosts.CPU"),
        (workers(hosts={}), "hosts.workers.cpu.hosts: "),
        (
            workers(labels={"node-role.kubernetes.io/gpu": ""}),
            "hosts.workers.cpu.labels: 'node-role.kubernetes.io/gpu' is of Kubernetes' own labels",
        ),
        (workers(taints=[{"key": "a", "effect": "Never"}]), "hosts.workers.cpu.taints.0.effect: "),
        (
            {"controlPlane": {"cp-0": "10.0.0.10", "cp-1": "10.0.0.11"}},
            "hosts: controlPlane: 2 hosts bear the end of no more than 1 do; name 1 or 3",
        ),
        (
            {"endpoint": "10.0.0.10"},
            "hosts: endpoint: 10.0.0.10 is one of 3 control planes, and its end would be every",
        ),
        ({"toolkit": None}, "hosts: workers.h100-80: has GPUs, and toolkit is missing; name its version"),
        ({"user": "root; rm"}, "hosts.user: "),
        ({"gpus": 1}, "hosts.gpus: is no known key"),
    ],
)
def test_what_cannot_be_is_refused_by_key_value_and_limit(changes: dict[str, Any], message: str) -> None:
    assert refused(**on_hosts(**changes)).startswith(f"modelstack:{message}")


def test_the_playbook_needs_a_kubeconfig_that_it_can_write() -> None:
    assert "hosts: are made a cluster whose kubeconfig goes to cluster.kubeconfig; set it" in refused(hosts=HOSTS)
    relative = refused(**{**on_hosts(), "cluster": {"kubeconfig": "kubeconfig"}})
    assert (
        "cluster.kubeconfig: 'kubeconfig': the playbook writes it from a folder of its own; begin with ~/" in relative
    )


def test_a_cluster_that_is_not_made_yet_is_told_by_what_makes_it(tmp_path: Path) -> None:
    given = {**on_hosts(), "cluster": {"kubeconfig": str(tmp_path / "none")}}
    with pytest.raises(SettingsError, match=r"is no file; the playbook of `python -m ops hosts render` writes it"):
        place.find(load(**given))
