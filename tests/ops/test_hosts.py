"""What `ops hosts render` writes: who the hosts are, what is done to them in which order, and in which versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.__main__ import main
from ops.hosts.checks import NODE
from ops.hosts.render import INVENTORY, PLAYBOOK, rendered
from settings import HostsSettings
from tests.components.programs import PROJECT
from tests.ops.metal import HOSTS, KUBECONFIG, hosts, small

Values = dict[str, Any]
REGISTRY = {"push": "registry.example.com"}


def files(chosen: HostsSettings | None = None) -> dict[str, str]:
    return rendered(chosen or hosts(), KUBECONFIG, "modelstack-metal")


def plays(chosen: HostsSettings | None = None) -> list[Values]:
    found: list[Values] = yaml.safe_load(files(chosen)[PLAYBOOK])
    return found


def tasks(chosen: HostsSettings | None = None) -> Iterator[Values]:
    for play in plays(chosen):
        for one in (*play["tasks"], *play.get("handlers", ())):
            yield from [*one["block"], *one.get("rescue", ()), *one.get("always", ())] if "block" in one else [one]


def task(name: str, chosen: HostsSettings | None = None) -> Values:
    return next(one for one in tasks(chosen) if one["name"] == name)


def cluster(chosen: HostsSettings | None = None) -> Values:
    found: Values = yaml.safe_load(files(chosen)[INVENTORY])["all"]["children"]["kubernetes"]
    return found


def kubeadm(kind: str) -> Values:
    return next(one for one in yaml.safe_load_all(files()["files/kubeadm.yaml"]) if one["kind"] == kind)


def test_the_same_settings_give_the_same_bytes_in_every_process() -> None:
    told = "import json; from tests.ops.test_hosts import files; print(json.dumps(files()))"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", told], cwd=PROJECT, env=env, capture_output=True, check=True)
        assert json.loads(done.stdout) == files()


def test_every_host_is_in_the_group_of_what_it_does() -> None:
    children = cluster()["children"]
    assert children["control_plane"]["hosts"]["cp-1"] == {"ansible_host": "10.0.0.11"}
    pools = children["workers"]["children"]
    assert {name: list(one["hosts"]) for name, one in pools.items()} == {
        "workers_cpu": ["cpu-0", "cpu-1"],
        "workers_h100_80": ["gpu-0"],
    }
    assert list(children["gpu"]["children"]) == ["workers_h100_80"]
    assert "gpu" not in cluster(small())["children"]


def test_hosts_with_gpus_keep_pods_away_that_ask_for_none_and_are_labelled_by_their_pool() -> None:
    pools = cluster()["children"]["workers"]["children"]
    told = pools["workers_h100_80"]["vars"]
    assert told["node_taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert told["node_labels"] == ["example.com/rack=a1", "modelstack.dev/pool=h100-80"]
    assert pools["workers_cpu"]["vars"]["node_taints"] == []


def test_taints_that_are_set_replace_the_usual_one() -> None:
    workers = {"gpu-a": {"hosts": {"gpu-0": "10.0.0.30"}, "gpu": True, "taints": []}}
    pools = cluster(hosts(workers=workers))["children"]["workers"]["children"]
    assert pools["workers_gpu_a"]["vars"]["node_taints"] == []


def test_a_node_has_its_taints_before_the_first_pod_can_come() -> None:
    joining = next(one for one in plays() if one["name"] == "Join the workers")
    registered = joining["vars"]["join_configuration"]["nodeRegistration"]
    assert registered == {"name": "{{ inventory_hostname }}", "taints": "{{ node_taints }}"}


def test_every_package_is_pinned_and_held() -> None:
    wanted: list[str] = []
    held: list[str] = []
    for one in tasks():
        wanted += [name for name in one.get("ansible.builtin.apt", {}).get("name", ()) if "python3-" not in name]
        held += one["loop"] if "ansible.builtin.dpkg_selections" in one else []
    pinned = dict(name.split("=") for name in wanted if name != "ca-certificates")
    assert sorted(held) == sorted(pinned)
    assert {name: pinned[name] for name in ("containerd.io", "kubelet", "kubeadm", "nvidia-container-toolkit")} == {
        "containerd.io": "2.2.1-*",
        "kubelet": "1.37.2-*",
        "kubeadm": "1.37.2-*",
        "nvidia-container-toolkit": "1.18.1-*",
    }
    assert kubeadm("ClusterConfiguration")["kubernetesVersion"] == "v1.37.2"


def test_a_host_that_failed_before_it_was_a_node_may_get_other_versions() -> None:
    for name in ("Install the runtime and Kubernetes", "Install the container toolkit"):
        told = task(name)["ansible.builtin.apt"]
        assert (told["allow_change_held_packages"], told["allow_downgrade"]) == (True, True)


def test_packages_come_over_tls_from_repositories_whose_key_is_named() -> None:
    repositories = [one["ansible.builtin.deb822_repository"] for one in tasks() if _is(one, "deb822_repository")]
    assert [one["name"] for one in repositories] == ["docker", "kubernetes", "nvidia"]
    for one in repositories:
        assert one["uris"].startswith("https://")
        assert one["signed_by"].startswith("https://")
    assert "/v1.37/" in repositories[1]["uris"]


def test_the_network_of_pods_is_the_file_of_that_hash() -> None:
    fetched = task("Fetch the network of pods")["ansible.builtin.get_url"]
    assert fetched["checksum"] == f"sha256:{'0' * 64}"
    assert "/v3.31.2/" in fetched["url"]


def test_a_node_of_another_version_is_refused_before_anything_of_it_changes() -> None:
    names = [one["name"] for one in plays()[0]["tasks"]]
    refusing = [number for number, name in enumerate(names) if name.startswith(("Refuse", "Require"))]
    assert len(refusing) == 6
    assert max(refusing) < names.index("Install what the next tasks need") < names.index("Turn swap off")
    assert plays()[0]["any_errors_fatal"] is True


def test_what_was_notified_is_done_though_a_later_task_fails() -> None:
    forced = {one["name"]: one.get("force_handlers", False) for one in plays() if "handlers" in one}
    assert forced == {"Prepare the hosts": True, "Give containers GPUs": True}


def test_what_is_done_once_is_not_done_again() -> None:
    """What kubeadm itself writes is there before it has ended."""
    for name in ("Start the cluster", "Make the host a node"):
        (block,) = {str(one["block"]): one for play in plays() for one in play["tasks"] if one["name"] == name}.values()
        *_, called, noted = block["block"]
        assert called["ansible.builtin.command"]["creates"] == noted["ansible.builtin.copy"]["dest"]
        assert (noted["ansible.builtin.copy"]["dest"], block["when"]) == (NODE, "not node_made.stat.exists")
    assert task("Ask whether the host is a node")["ansible.builtin.stat"] == {"path": NODE}


def test_what_a_host_joins_by_is_removed_however_joining_ends() -> None:
    for play in plays()[3:5]:
        (block,) = play["tasks"]
        written = block["block"][0]["ansible.builtin.copy"]["dest"]
        (removed,) = block["always"]
        assert removed["ansible.builtin.file"] == {"path": written, "state": "absent"}


def test_the_token_that_kubeadm_makes_unasked_ends_as_soon_as_the_others() -> None:
    asked = task("Make a token for those that are no node yet")["ansible.builtin.command"]["argv"]
    assert kubeadm("InitConfiguration")["bootstrapTokens"] == [{"ttl": asked[asked.index("--ttl") + 1]}]


def test_control_planes_join_one_after_the_other_before_the_workers() -> None:
    assert [(one["hosts"], one.get("serial")) for one in plays()][2:] == [
        ("control_plane[0]", None),
        ("control_plane:!control_plane[0]", 1),
        ("workers", None),
        ("control_plane[0]", None),
    ]
    assert "certificateKey" in str(plays()[3]["vars"])
    assert "certificateKey" not in str(plays()[4]["vars"])


def test_without_gpus_or_further_control_planes_nobody_has_their_plays() -> None:
    assert [one["hosts"] for one in plays(small())] == ["kubernetes", "control_plane[0]", "workers", "control_plane[0]"]
    assert "files/containerd-nvidia.toml" not in files(small())
    assert "upload-certs" not in files(small())[PLAYBOOK]


def test_nothing_that_holds_a_secret_is_shown_or_readable() -> None:
    secret = ("join_configuration", "admin_conf", "join_command", "certificate_key")
    for one in tasks():
        if any(word in str(one) for word in secret):
            assert one["no_log"] is True, one["name"]
    for name in ("Write how to join", "Write it here, for this user alone"):
        assert task(name)["ansible.builtin.copy"]["mode"] == "0600"
    assert "--skip-token-print" in task("Start the first control plane")["ansible.builtin.command"]["argv"]


def test_the_kubeconfig_goes_where_the_stack_looks_for_it() -> None:
    written = task("Write it here, for this user alone")
    assert written["ansible.builtin.copy"]["dest"] == KUBECONFIG.replace(
        "~", "{{ lookup('ansible.builtin.env', 'HOME') }}"
    )
    assert (written["delegate_to"], written["become"]) == ("localhost", False)
    assert plays()[-1]["tasks"][-1] == written


def test_containers_get_gpus_by_nvidias_runtime_on_hosts_that_have_them_alone() -> None:
    plain, nvidia = (tomllib.loads(files()[f"files/containerd{one}.toml"]) for one in ("", "-nvidia"))
    for found, name in ((plain, "runc"), (nvidia, "nvidia")):
        chosen = found["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]
        assert chosen["default_runtime_name"] == name
        assert chosen["runtimes"][name]["options"]["SystemdCgroup"] is True
    assert kubeadm("KubeletConfiguration")["cgroupDriver"] == "systemd"
    copied = [one for one in tasks() if one["name"] == "Set the container runtime up"]
    assert [one.get("when") for one in copied] == ["'gpu' not in group_names", None]


def test_an_ipv6_address_of_the_api_server_stands_in_brackets() -> None:
    assert "controlPlaneEndpoint: '[fd00::1]:6443'" in files(hosts(endpoint="fd00::1"))["files/kubeadm.yaml"]


def project(folder: Path, **changes: Any) -> Path:
    """Return a project's folder with a stack `metal`."""
    config = {
        "cluster": {"kubeconfig": KUBECONFIG},
        "registry": REGISTRY,
        "base": "registry.example.com/base:1",
        "models": {"digits": {"recipe": "models/digits/recipe.yaml"}},
        "hosts": HOSTS,
        **changes,
    }
    named = {f"modelstack:{key}": one for key, one in config.items() if one is not None}
    (folder / "Pulumi.metal.yaml").write_text(yaml.safe_dump({"config": named}))
    (folder / "Pulumi.yaml").write_text("name: modelstack\n")
    (folder / "models").symlink_to(PROJECT / "models")
    return folder


def test_the_command_writes_the_files_and_says_how_to_run_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path))
    assert main(["hosts", "render", "metal", "--out", "out"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "out: 5 files, 5 of them written",
        "ansible-playbook --inventory out/inventory.yaml out/site.yaml",
    ]
    assert {name: (tmp_path / "out" / name).read_text() for name in files()} == files()
    assert main(["hosts", "render", "metal", "--out", "out", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["differing"], told["files"]) == ([], sorted(files()))


def test_a_check_tells_what_differs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path))
    assert main(["hosts", "render", "metal", "--out", "out", "--check"]) == 3
    assert not (tmp_path / "out").exists()
    assert main(["hosts", "render", "metal", "--out", "out"]) == 0
    assert main(["hosts", "render", "metal", "--out", "out", "--check"]) == 0
    playbook = tmp_path / "out" / PLAYBOOK
    playbook.write_text(playbook.read_text() + "# mine\n")
    capsys.readouterr()
    assert main(["hosts", "render", "metal", "--out", "out", "--check"]) == 3
    assert capsys.readouterr().out == "out/site.yaml: is not as rendered\n"


def test_a_playbook_of_others_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path))
    (tmp_path / PLAYBOOK).write_text("- hosts: all\n")
    assert main(["hosts", "render", "metal", "--out", "."]) == 1
    assert "site.yaml was not rendered; name a folder of its own" in capsys.readouterr().err
    assert (tmp_path / PLAYBOOK).read_text() == "- hosts: all\n"


def test_a_stack_without_hosts_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path, hosts=None))
    assert main(["hosts", "render", "metal", "--out", "out"]) == 1
    assert capsys.readouterr().err.startswith("error: Pulumi.metal.yaml: modelstack:hosts: is not set; name the hosts")


def _is(one: Values, module: str) -> bool:
    return f"ansible.builtin.{module}" in one
