"""Configuration of the parts, rendered into the instance's `etc` folder."""

import json
import shlex
import shutil
from pathlib import Path

import yaml

from local import pki
from local.instance import CLUSTER_DOMAIN, DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, POD_RANGE, Instance
from local.parts import ETC, HAPROXY_HEALTH, PKI, Part, parts

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 3
NOBODY = 65534


def write(instance: Instance, sandbox_image: str) -> None:
    """Render every file of the node's /etc/modelstack and the administrator's kubeconfig; certificates are kept."""
    pki.make(instance.pki)
    for name, text in files(instance, sandbox_image).items():
        path = instance.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # kube-proxy ends when its file is written, even with what it held before.
        if not path.is_file() or path.read_text() != text:
            private(path, text)
    shutil.rmtree(instance.etc / "service", ignore_errors=True)
    for part in parts(instance):
        _write_service(instance.etc / "service" / part.name, part)
        (instance.logs / part.name).mkdir(parents=True, exist_ok=True)
        (instance.logs / part.name / "config").write_text(f"s{LOG_BYTES}\nn{LOG_FILES}\n")
    private(instance.kubeconfig, pki.kubeconfig(instance.pki, "admin", f"https://127.0.0.1:{instance.api_port}"))


def private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.rename(path)


def files(instance: Instance, sandbox_image: str) -> dict[str, str]:
    """File name below /etc/modelstack → content."""
    server = f"https://127.0.0.1:{instance.api_port}"
    users = {"controller-manager", "scheduler", "kubelet", "proxy"}
    kubeconfigs = {f"{user}.kubeconfig": pki.kubeconfig(instance.pki, user, server) for user in sorted(users)}
    return {
        **kubeconfigs,
        "containerd.toml": containerd(sandbox_image),
        f"registries/{instance.registry}/hosts.toml": f'server = "http://{instance.registry}"\n',
        "cni/10-pods.conflist": json.dumps(pod_network(), indent=2),
        "kubelet.yaml": yaml.safe_dump(kubelet(instance), sort_keys=False),
        "kube-proxy.yaml": yaml.safe_dump(kube_proxy(), sort_keys=False),
        "registry.yaml": yaml.safe_dump(registry(instance), sort_keys=False),
        "haproxy.cfg": haproxy(instance),
    }


def _write_service(folder: Path, part: Part) -> None:
    (folder / "log").mkdir(parents=True)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in part.environment.items())
    # A part ends with its supervisor, whose successor could not start it a second time.
    _script(folder / "run", f"exec 2>&1\n{exports}exec setpriv --pdeathsig=KILL {shlex.join(part.command)}\n")
    _script(folder / "log" / "run", f"exec svlogd /var/log/modelstack/{part.name}\n")


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(0o755)


def containerd(sandbox_image: str) -> str:
    """containerd's configuration, version 3."""
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[metrics]
address = "127.0.0.1:1338"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{sandbox_image}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{ETC}/registries"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{ETC}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
SystemdCgroup = false
"""


def pod_network() -> dict[str, object]:
    """The pods' network: routed pairs of interfaces, which need no bridge and so no netfilter module for bridges."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni/addresses",
    }
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(instance: Instance) -> dict[str, object]:
    """The kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": instance.cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "protectKernelDefaults": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        # Absolute limits: a share of a large disk that others fill would evict pods for no fault of theirs.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "500Mi",
            "imagefs.available": "500Mi",
            "nodefs.inodesFree": "1%",
        },
        # What no pod has used for an hour goes, however full the disk is: the registry next door has it still.
        "imageMaximumGCAge": "1h",
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "serializeImagePulls": False,
        # Beside the other logs, on disk: the node's own file system is in memory.
        "podLogsDir": "/var/log/modelstack/pods",
    }


def kube_proxy() -> dict[str, object]:
    """kube-proxy's configuration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE_NAME,
        "clientConnection": {"kubeconfig": f"{ETC}/proxy.kubeconfig"},
        "clusterCIDR": POD_RANGE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{NODE_ADDRESS}/32"],
        "iptables": {"localhostNodePorts": False},
        # 0 leaves the limits alone, which belong to the host.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def registry(instance: Instance) -> dict[str, object]:
    """The registry's configuration."""
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}, "delete": {"enabled": True}},
        "http": {"addr": instance.registry},
    }


def haproxy(instance: Instance) -> str:
    """haproxy's configuration: it listens on the host's loopback and connects inside the node."""
    ports = instance.node_ports
    return f"""\
global
    uid {NOBODY}
    gid {NOBODY}
    maxconn 4096
    log stdout format raw local0 notice

defaults
    mode tcp
    log global
    # A node port without a Service is refused at once.
    retries 0
    timeout connect 5s
    # Watches of the API server are silent for minutes.
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    option clitcpka
    option srvtcpka

listen api
    bind 127.0.0.1:{instance.api_port} namespace host
    server node {NODE_ADDRESS}:{instance.api_port}

listen registry
    bind 127.0.0.1:{instance.registry_port} namespace host
    server node {instance.registry}

listen node-ports
    bind 127.0.0.1:{ports.start}-{ports.stop - 1} namespace host
    server node {NODE_ADDRESS}

frontend health
    mode http
    timeout http-request 5s
    bind 127.0.0.1:{HAPROXY_HEALTH}
    http-request return status 200
"""
