"""A running platform: its status, its names, its supervision."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from local import health, node
from local.instance import Instance, locate
from local.parts import parts
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.oci.upload import put_blob
from tests.conftest import PROJECT, Platform
from tests.local.inside import in_node, kubectl
from tests.registry import flip
from tests.waiting import until

pytestmark = pytest.mark.e2e
PARTS = [part.name for part in parts(Instance("any", Path("/any"), Path("/any"), 7400))]
ASKS = """
import json, socket, ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
context = ssl.create_default_context(cafile=f"{account}/ca.crt")
with urllib.request.urlopen("https://kubernetes.default.svc/version", context=context) as answer:
    version = json.load(answer)["gitVersion"]
print(json.dumps({"version": version, "dns": socket.gethostbyname("kube-dns.kube-system")}))
"""


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Instance:
    return locate(None, platform.environment)


def _local(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=platform.environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_status_shows_every_part_healthy_with_its_version_and_a_log_that_exists(platform: Platform) -> None:
    done = _local(platform, "status", "--json")
    rows = json.loads(done.stdout)
    assert [row["part"] for row in rows] == [*PARTS, "coredns"]
    assert {row["state"] for row in rows} == {"healthy"}, rows
    assert all(row["version"] and Path(row["log"]).is_file() for row in rows), rows
    assert done.returncode == 0


def test_a_second_up_starts_and_pushes_nothing(platform: Platform, instance: Instance) -> None:
    before = instance.record.read_text(), in_node(instance, "cat /run/service/*/supervise/pid")
    done = _local(platform, "up")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert (instance.record.read_text(), in_node(instance, "cat /run/service/*/supervise/pid")) == before


def test_a_pod_resolves_the_names_of_services_and_reaches_the_api_server(
    platform: Platform, instance: Instance
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asks"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "asks",
                    "image": platform.connection.images["base"],
                    "command": ["/usr/bin/python3.11", "-c", ASKS],
                }
            ],
        },
    }
    cluster = kubectl(instance)
    cluster.run("apply", "--filename=-", stdin=json.dumps(pod))
    try:
        phase = ("get", "pod", "asks", "-o=jsonpath={.status.phase}")
        until(lambda: cluster.run(*phase) in {"Succeeded", "Failed"}, "the pod has ended")
        said = cluster.run("logs", "asks")
    finally:
        cluster.run("delete", "pod", "asks", "--now")
    assert json.loads(said) == {"version": "v1.37.2", "dns": "10.96.0.10"}


def test_a_node_port_answers_on_the_hosts_loopback(platform: Platform, instance: Instance) -> None:
    port = instance.node_ports[-1]
    secure = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "serves",
        "image": platform.connection.images["base"],
        "command": ["/usr/bin/python3.11", "-m", "http.server", "--directory", "/usr/share/doc", "8080"],
        "securityContext": secure,
    }
    metadata = {"name": "serves", "labels": {"app": "serves"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    ports = [{"port": 80, "targetPort": 8080, "nodePort": port}]
    spec = {"type": "NodePort", "selector": {"app": "serves"}, "ports": ports}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    cluster = kubectl(instance)
    cluster.run(
        "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod, service]})
    )
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/"), "the node port answers")
    finally:
        cluster.run("delete", "pod/serves", "service/serves", "--now")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_every_port_of_the_platform_listens_on_loopback_alone(instance: Instance) -> None:
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.rpartition(":")[2], 16) in instance.host_ports:
                listening[int(address.rpartition(":")[2], 16)] = address.rpartition(":")[0]
    assert sorted(listening) == instance.host_ports
    assert set(listening.values()) == {"0100007F"}


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_comes_back(platform: Platform, instance: Instance, name: str) -> None:
    supervised = f"/run/service/{name}/supervise/pid"
    before = in_node(instance, f"cat {supervised}")
    in_node(instance, f"kill -KILL {before}")
    until(lambda: in_node(instance, f"cat {supervised}") not in {before, ""}, f"{name} runs again")
    _until_healthy(instance)


def test_a_part_whose_supervisor_was_killed_comes_back_once(platform: Platform, instance: Instance) -> None:
    supervised = "/run/service/registry/supervise/pid"
    before = in_node(instance, f"cat {supervised}").strip()
    supervisor = in_node(instance, f"cut -d' ' -f4 /proc/{before}/stat").strip()
    in_node(instance, f"kill -KILL {supervisor}")
    until(lambda: in_node(instance, f"cat {supervised}").strip() not in {before, ""}, "the registry runs again")
    _until_healthy(instance)
    assert in_node(instance, "cat /proc/[0-9]*/comm").split().count("registry") == 1


def test_a_killed_coredns_comes_back(platform: Platform, instance: Instance) -> None:
    killed = _of_pods(instance, "coredns")
    assert killed
    for process in killed:
        subprocess.run(["kill", "-KILL", process], check=True)
        until(lambda process=process: not Path("/proc", process).exists(), "the process has ended")  # type: ignore[misc]
    _until_healthy(instance)
    assert set(_of_pods(instance, "coredns")) - set(killed)


def _of_pods(instance: Instance, program: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = instance.cgroup in (folder / "cgroup").read_text()
            if ours and (folder / "comm").read_text().strip() == program:
                found.append(folder.name)
        except OSError:
            continue
    assert found, f"no process {program} in {instance.cgroup}"
    return found


def _until_healthy(instance: Instance) -> None:
    running = node.running(instance)
    assert running
    asked = health.targets(instance) | {health.DNS: health.DNS_TARGET}
    until(
        lambda: not any(health.probe(running, asked).values()), f"every part answers ({health.probe(running, asked)})"
    )


def test_status_names_a_part_that_is_down_and_exits_with_4(platform: Platform, instance: Instance) -> None:
    running = node.running(instance)
    assert running
    node.supervise(running, "stop", ("kube-scheduler",), "-w", "10")
    try:
        done = _local(platform, "status")
    finally:
        node.supervise(running, "start", ("kube-scheduler",))
    _until_healthy(instance)
    assert done.returncode == 4
    assert any(line.split()[:2] == ["kube-scheduler", "down"] for line in done.stdout.splitlines()), done.stdout


def test_collect_drops_blobs_that_no_manifest_names_and_keeps_the_images(
    platform: Platform, instance: Instance
) -> None:
    registry = Registry(instance.registry)
    digest = put_blob(registry, "modelstack/unused", b"named by no manifest").digest
    assert _local(platform, "collect").returncode == 0
    assert not registry.has_blob("modelstack/unused", digest)
    for reference in platform.connection.images.values():
        repository, _, manifest = reference.removeprefix(f"{instance.registry}/").partition("@")
        found = registry.get(repository, manifest)
        assert found
        assert all(registry.has_blob(repository, layer["digest"]) for layer in found.parsed["layers"])


def test_a_node_refuses_an_image_in_which_a_byte_was_turned_over_in_storage(
    platform: Platform, instance: Instance
) -> None:
    registry = Registry(instance.registry)
    image = Image("linux/amd64", (entries_layer([Entry("weights", b"weights" * 1000)]),), ImageConfig(user="1:1"))
    push(image, registry, "modelstack/flipped", ["v1"])
    flip(Path(platform.environment["MODELSTACK_DATA"], instance.name, "volumes"), image.layers[0].digest)
    reference = f"{instance.registry}/modelstack/flipped@{image.digest}"
    cluster = kubectl(instance)
    cluster.run("run", "flipped", f"--image={reference}", "--restart=Never", "--command", "--", "/weights")
    try:
        told = ("get", "events", "--field-selector=involvedObject.name=flipped", "-o=jsonpath={.items[*].message}")
        until(lambda: "Failed to pull image" in cluster.run(*told), "the node says that it cannot pull")
        said = cluster.run(*told)
    finally:
        cluster.run("delete", "pod", "flipped", "--now")
        registry.delete("modelstack/flipped", image.digest)
    assert "failed" in said
    assert image.layers[0].digest.removeprefix("sha256:") in said or "digest" in said, said


def test_env_makes_a_bare_pulumi_the_one_built_here_with_its_state_in_the_instance(
    platform: Platform, instance: Instance
) -> None:
    asks = 'eval "$("$0" -m local env)" && pulumi version && pulumi whoami --json'
    own = {"MODELSTACK_INSTANCE", "MODELSTACK_DATA", "MODELSTACK_CACHE", "HOME"}
    environment = {name: value for name, value in platform.environment.items() if name in own}
    go = Path(shutil.which("go") or "").parent
    environment["PATH"] = f"{go}:{os.defpath}"
    done = subprocess.run(
        ["sh", "-c", asks, sys.executable], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    version, _, told = done.stdout.partition("\n")
    assert version == "v3.259.0"
    assert json.loads(told)["url"] == f"file://{instance.data}/state"


def test_kubectl_is_the_platforms_administrator(platform: Platform) -> None:
    done = _local(platform, "kubectl", "--", "get", "nodes", "--output=name")
    assert done.stdout == "node/node\n", done.stderr


def test_logs_shows_the_last_lines_of_one_part(platform: Platform) -> None:
    done = _local(platform, "logs", "containerd")
    log = Path(platform.environment["MODELSTACK_DATA"], platform.connection.instance, "logs/containerd/current")
    assert len(done.stdout.splitlines()) > 1
    assert done.stdout in log.read_text()


def test_logs_of_an_unknown_part_names_the_parts(platform: Platform) -> None:
    done = _local(platform, "logs", "docker")
    assert done.returncode == 3
    assert done.stderr.startswith("error: part: 'docker' is not a part; name one of etcd, kube-apiserver, ")
