"""The parts' configuration."""

import json
import re
import tomllib

import pytest
import yaml

from local import config
from local.instance import Instance
from local.parts import parts

PAUSE = "127.0.0.1:7401/modelstack/pause@sha256:00"


@pytest.fixture
def written(unstarted: Instance) -> Instance:
    config.write(unstarted, PAUSE)
    return unstarted


def test_containerd_starts_pods_from_the_pause_image_and_pulls_from_the_registry_over_http(written: Instance) -> None:
    plugins = tomllib.loads((written.etc / "containerd.toml").read_text())["plugins"]
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == PAUSE
    hosts = tomllib.loads((written.etc / "registries" / written.registry / "hosts.toml").read_text())
    assert hosts == {"server": f"http://{written.registry}"}


def test_haproxy_binds_every_port_of_the_instance_on_loopback(written: Instance) -> None:
    text = (written.etc / "haproxy.cfg").read_text()
    bound = re.findall(r"bind (\S+):(\d+)(?:-(\d+))? namespace host", text)
    found = [port for _, first, last in bound for port in range(int(first), int(last or first) + 1)]
    assert found == written.host_ports
    assert {address for address, _, _ in bound} == {"127.0.0.1"}


def test_pods_have_a_default_route_and_addresses_of_the_pod_range(written: Instance) -> None:
    plugin = json.loads((written.etc / "cni" / "10-pods.conflist").read_text())["plugins"][0]
    assert plugin["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]


def test_the_kubelet_asks_for_certificates_and_keeps_to_the_instances_cgroup(written: Instance) -> None:
    kubelet = yaml.safe_load((written.etc / "kubelet.yaml").read_text())
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["cgroupRoot"] == written.cgroup


def test_etcd_asks_for_client_certificates(unstarted: Instance) -> None:
    etcd = next(part for part in parts(unstarted) if part.name == "etcd")
    assert "--client-cert-auth=true" in etcd.command
    assert "--peer-client-cert-auth=true" in etcd.command


def test_files_that_do_not_change_are_not_written_again(written: Instance) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.etc.glob("*.*") if path.is_file()}
    config.write(written, PAUSE)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_every_file_with_a_key_is_for_its_owner_alone(written: Instance) -> None:
    keys = ("client-key-data", "PRIVATE KEY")
    files = [path for path in written.data.rglob("*") if path.is_file()]
    secret = [path for path in files if any(key in path.read_text(errors="replace") for key in keys)]
    assert {written.kubeconfig, *written.etc.glob("*.kubeconfig")} < set(secret)
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_every_part_has_a_service_that_replaces_its_shell_and_a_rotated_log(written: Instance) -> None:
    for part in parts(written):
        run = written.etc / "service" / part.name / "run"
        assert run.read_text().splitlines()[-1].startswith(f"exec setpriv --pdeathsig=KILL {part.command[0]} ")
        assert (written.logs / part.name / "config").read_text() == "s10485760\nn3\n"
