"""Plays that make a Kubernetes cluster of hosts, as plain values; modules are those that ansible-core itself has.

Sources: kubernetes.io, "Creating a cluster with kubeadm" and "Container runtimes"; docs.docker.com, "Install Docker
Engine"; docs.nvidia.com, "Installing the NVIDIA Container Toolkit"; docs.tigera.io, "Install Calico on on-premises".
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ops.hosts.inventory import CONTROL_PLANE, EVERY, GPU, WORKERS
from ops.hosts.kubeadm import join
from settings import HostsSettings

Values = dict[str, Any]
FIRST, OTHERS = f"{CONTROL_PLANE}[0]", f"{CONTROL_PLANE}:!{CONTROL_PLANE}[0]"
FOLDER = "/etc/kubernetes"
ADMIN, KUBELET, JOIN = f"{FOLDER}/admin.conf", f"{FOLDER}/kubelet.conf", f"{FOLDER}/join.yaml"
KUBECTL = ("kubectl", f"--kubeconfig={ADMIN}")
DOCKER = "https://download.docker.com/linux/{{ ansible_facts.distribution | lower }}"
NVIDIA = "https://nvidia.github.io/libnvidia-container"
CALICO = "https://raw.githubusercontent.com/projectcalico/calico"
NVIDIA_PACKAGES = (
    *("nvidia-container-toolkit", "nvidia-container-toolkit-base"),
    *("libnvidia-container-tools", "libnvidia-container1"),
)
# Those that are no node yet, as the first play has found them.
MISSING = f"groups['{EVERY}'] | map('extract', hostvars) | rejectattr('kubelet_conf.stat.exists') | list | length > 0"
NODES_SECONDS = 600
PRIVATE, READABLE = "0600", "0644"


def playbook(hosts: HostsSettings, kubeconfig: str) -> list[Values]:
    """Return the plays in their order; the last one writes `kubeconfig` on the machine that runs them."""
    return [
        _prepare(hosts),
        *([_give_gpus(hosts.toolkit)] if hosts.toolkit and any(one.gpu for one in hosts.workers.values()) else ()),
        _start(hosts),
        *([_join("Join the other control planes", OTHERS, hosts, serial=1)] if len(hosts.control_plane) > 1 else ()),
        _join("Join the workers", WORKERS, hosts),
        _finish(kubeconfig),
    ]


def _prepare(hosts: HostsSettings) -> Values:
    tasks = [
        *_known_machine(hosts.kubernetes),
        *_kernel(),
        *_packages(hosts),
        _copied("Set the container runtime up", "containerd.toml", "/etc/containerd/config.toml", "Restart containerd")
        | {"when": f"'{GPU}' not in group_names"},
        _task("Apply what has changed", "meta", "flush_handlers"),
        _task("Start the node agent with the machine", "systemd_service", {"name": "kubelet", "enabled": True}),
    ]
    return _play("Prepare the hosts", EVERY, tasks, [*_kernel_handlers(), _restart_containerd()])


def _known_machine(kubernetes: str) -> list[Values]:
    fits = ["ansible_facts.os_family == 'Debian'", "ansible_facts.service_mgr == 'systemd'"]
    same = f"ansible_facts.packages.kubeadm[0].version.split('-')[0] == '{kubernetes}'"
    other = f"a node of another version; upgrade it with kubeadm upgrade to {kubernetes} first"
    return [
        _task(
            "Require Debian or Ubuntu with systemd",
            "assert",
            {"that": fits, "fail_msg": "is neither Debian nor Ubuntu with systemd; take the host out of the settings"},
        ),
        _task("Ask whether the host is a node", "stat", {"path": KUBELET}) | {"register": "kubelet_conf"},
        _task(
            "Install what the next tasks need",
            "apt",
            {"name": ["ca-certificates", "python3-debian"], "update_cache": True, "cache_valid_time": 3600},
        ),
        _task("Ask what is installed", "package_facts", {"manager": "apt"}),
        _task("Refuse to upgrade a node", "assert", {"that": [same], "fail_msg": other})
        | {"when": "kubelet_conf.stat.exists"},
    ]


def _kernel() -> list[Values]:
    settings = "net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n"
    return [
        _task("Turn swap off", "command", {"argv": ["swapoff", "--all"]})
        | {"when": "ansible_facts.swaptotal_mb > 0", "changed_when": True},
        _task(
            "Keep swap off",
            "replace",
            {"path": "/etc/fstab", "regexp": r"^([^#\s]\S*\s+\S+\s+swap\s.*)$", "replace": r"# \1"},
        ),
        _written("Name the kernel's modules", "/etc/modules-load.d/kubernetes.conf", "overlay\nbr_netfilter\n")
        | {"notify": "Load the kernel's modules"},
        _written("Let the kernel forward packets", "/etc/sysctl.d/99-kubernetes.conf", settings)
        | {"notify": "Read the kernel's settings"},
    ]


def _kernel_handlers() -> list[Values]:
    # In the order in which they run: the module brings the setting along.
    return [
        _task("Load the kernel's modules", "systemd_service", {"name": "systemd-modules-load", "state": "restarted"}),
        _task("Read the kernel's settings", "command", {"argv": ["sysctl", "--system"]}) | {"changed_when": True},
    ]


def _restart_containerd() -> Values:
    return _task("Restart containerd", "systemd_service", {"name": "containerd", "state": "restarted", "enabled": True})


def _packages(hosts: HostsSettings) -> list[Values]:
    minor = ".".join(hosts.kubernetes.split(".")[:2])
    kubernetes = f"https://pkgs.k8s.io/core:/stable:/v{minor}/deb/"
    pinned = {"containerd.io": hosts.containerd, **dict.fromkeys(("kubelet", "kubeadm", "kubectl"), hosts.kubernetes)}
    return [
        _repository("Docker", DOCKER, f"{DOCKER}/gpg", "{{ ansible_facts.distribution_release }}", ["stable"]),
        _repository("Kubernetes", kubernetes, f"{kubernetes}Release.key"),
        *_installed("Install the runtime and Kubernetes", pinned),
    ]


def _give_gpus(toolkit: str) -> Values:
    deb = f"{NVIDIA}/stable/deb/{{{{ 'arm64' if ansible_facts.architecture == 'aarch64' else 'amd64' }}}}"
    tasks = [
        _task("Require NVIDIA's driver", "command", {"argv": ["nvidia-smi", "--list-gpus"]}) | {"changed_when": False},
        _repository("NVIDIA", deb, f"{NVIDIA}/gpgkey"),
        *_installed("Install the container toolkit", dict.fromkeys(NVIDIA_PACKAGES, toolkit)),
        _copied(
            *("Set the container runtime up", "containerd-nvidia.toml"),
            *("/etc/containerd/config.toml", "Restart containerd"),
        ),
    ]
    return _play("Give containers GPUs", GPU, tasks, [_restart_containerd()])


def _start(hosts: HostsSettings) -> Values:
    config, manifest = f"{FOLDER}/kubeadm.yaml", f"{FOLDER}/calico.yaml"
    url = f"{CALICO}/{hosts.calico.version}/manifests/calico.yaml"
    fetched = {"url": url, "dest": manifest, "checksum": f"sha256:{hosts.calico.sha256}", "mode": READABLE}
    # Without the token that it would print.
    start = ["kubeadm", "init", "--config", config, "--skip-token-print"]
    tasks = [
        _copied("Write what the cluster is to be", "kubeadm.yaml", config, mode=PRIVATE),
        _command("Start the first control plane", start, creates=ADMIN),
        _task("Fetch the network of pods", "get_url", fetched),
        _task("Apply the network of pods", "command", {"argv": [*KUBECTL, "apply", "--filename", manifest]})
        | {
            "register": "network_applied",
            "changed_when": "'created' in network_applied.stdout or 'configured' in network_applied.stdout",
        },
        *_invitation(several=len(hosts.control_plane) > 1),
    ]
    return _play("Start the control plane", FIRST, tasks)


def _invitation(*, several: bool) -> list[Values]:
    token = ["kubeadm", "token", "create", "--ttl", "2h", "--print-join-command"]
    uploaded = ["kubeadm", "init", "phase", "upload-certs", "--upload-certs"]
    made = {"when": MISSING, "changed_when": True, "no_log": True}
    return [
        _task("Make a token for those that are no node yet", "command", {"argv": token})
        | {"register": "join_command"}
        | made,
        *(
            [
                _task("Lend them the control plane's certificates", "command", {"argv": uploaded})
                | {"register": "certificate_key"}
                | made
            ]
            if several
            else ()
        ),
    ]


def _join(name: str, group: str, hosts: HostsSettings, serial: int | None = None) -> Values:
    content = {"content": "{{ join_configuration | to_nice_yaml }}", "dest": JOIN, "mode": PRIVATE}
    joining = {"when": "not kubelet_conf.stat.exists"}
    tasks = [
        _task("Write how to join", "copy", content) | joining | {"no_log": True},
        _command("Join the cluster", ["kubeadm", "join", "--config", JOIN], creates=KUBELET),
        _task("Remove the token", "file", {"path": JOIN, "state": "absent"}),
    ]
    told = {"join_configuration": join(hosts, control_plane=serial is not None)}
    # Control planes one after the other: each is a new member of etcd.
    return _play(name, group, tasks, serial=serial, vars=told)


def _finish(kubeconfig: str) -> Values:
    here = {"delegate_to": "localhost", "become": False}
    folder = str(PurePosixPath(kubeconfig).parent)
    labelled = f"{{{{ {[*KUBECTL, 'label', '--overwrite', 'node']} + [item] + hostvars[item].node_labels }}}}"
    ready = [*KUBECTL, "wait", "--for=condition=Ready", "node", "--all", f"--timeout={NODES_SECONDS}s"]
    tasks = [
        _task("Label the workers", "command", {"argv": labelled})
        | {
            "loop": f"{{{{ groups['{WORKERS}'] }}}}",
            "register": "node_labelled",
            "changed_when": "'not labeled' not in node_labelled.stdout",
        },
        _task("Wait for every node", "command", {"argv": ready}) | {"changed_when": False},
        _task("Read the administrator's kubeconfig", "slurp", {"src": ADMIN})
        | {"register": "admin_conf", "no_log": True},
        # A folder that is there keeps its mode.
        _command("Make its folder here", ["mkdir", "-p", "-m", "0700", folder], creates=folder) | here,
        _task(
            "Write it here, for this user alone",
            "copy",
            {"content": "{{ admin_conf.content | b64decode }}", "dest": kubeconfig, "mode": PRIVATE},
        )
        | here
        | {"no_log": True},
    ]
    return _play("Tell of the cluster", FIRST, tasks)


def _play(name: str, group: str, tasks: list[Values], handlers: list[Values] | None = None, **told: Any) -> Values:
    found = {"name": name, "hosts": group, "become": True, **told, "tasks": tasks, "handlers": handlers}
    return {key: one for key, one in found.items() if one is not None}


def _task(name: str, module: str, told: Any) -> Values:
    return {"name": name, f"ansible.builtin.{module}": told}


def _command(name: str, argv: list[str], *, creates: str) -> Values:
    return _task(name, "command", {"argv": argv, "creates": creates})


def _copied(name: str, source: str, target: str, notify: str | None = None, mode: str = READABLE) -> Values:
    told = _task(name, "copy", {"src": source, "dest": target, "mode": mode})
    return told | ({"notify": notify} if notify else {})


def _written(name: str, target: str, content: str) -> Values:
    return _task(name, "copy", {"content": content, "dest": target, "mode": READABLE})


def _repository(whose: str, address: str, key: str, suite: str = "/", components: list[str] | None = None) -> Values:
    told: Values = {"name": whose.lower(), "uris": address, "suites": suite, "signed_by": key}
    return _task(
        f"Name the packages of {whose}", "deb822_repository", told | ({"components": components} if components else {})
    )


def _installed(name: str, pinned: dict[str, str]) -> list[Values]:
    """Return what installs packages in exactly these versions, whatever a distribution adds to their names."""
    wanted = [f"{package}={version}-*" for package, version in pinned.items()]
    held = {"name": "{{ item }}", "selection": "hold"}
    return [
        _task(name, "apt", {"name": wanted, "update_cache": True}),
        _task("Hold them at these versions", "dpkg_selections", held) | {"loop": list(pinned)},
    ]
