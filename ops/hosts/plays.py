"""Plays that make a Kubernetes cluster of hosts, as plain values; modules are those that ansible-core itself has.

Sources: kubernetes.io, "Creating a cluster with kubeadm" and "Container runtimes"; docs.docker.com, "Install Docker
Engine"; docs.nvidia.com, "Installing the NVIDIA Container Toolkit"; docs.tigera.io, "Install Calico on on-premises".
"""

from __future__ import annotations

from pathlib import PurePosixPath

from ops.hosts.checks import FOLDER, IS_NODE, MISSING, NODE, NVIDIA_PACKAGES, checks, of_kubernetes
from ops.hosts.inventory import CONTROL_PLANE, EVERY, GPU, WORKERS
from ops.hosts.kubeadm import LASTS, join
from ops.hosts.tasks import PRIVATE, READABLE, Values, command, copied, installed, play, repository, task, written
from settings import HostsSettings

FIRST, OTHERS = f"{CONTROL_PLANE}[0]", f"{CONTROL_PLANE}:!{CONTROL_PLANE}[0]"
ADMIN, CONFIG, JOIN = f"{FOLDER}/admin.conf", f"{FOLDER}/kubeadm.yaml", f"{FOLDER}/join.yaml"
KUBECTL = ("kubectl", f"--kubeconfig={ADMIN}")
DOCKER = "https://download.docker.com/linux/{{ ansible_facts.distribution | lower }}"
NVIDIA = "https://nvidia.github.io/libnvidia-container"
CALICO = "https://raw.githubusercontent.com/projectcalico/calico"
# Without those that --limit leaves out, which may be no nodes.
REACHED = (
    f"groups['{WORKERS}'] | map('extract', hostvars) | selectattr('node_made', 'defined') "
    "| map(attribute='inventory_hostname') | list"
)
NODES_SECONDS = 600


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
        *checks(hosts),
        task(
            "Install what the next tasks need",
            "apt",
            {"name": ["ca-certificates", "python3-debian"], "update_cache": True, "cache_valid_time": 3600},
        ),
        *_kernel(),
        *_packages(hosts),
        copied("Set the container runtime up", "containerd.toml", "/etc/containerd/config.toml", "Restart containerd")
        | {"when": f"'{GPU}' not in group_names"},
        task("Apply what has changed", "meta", "flush_handlers"),
        task("Start the node agent with the machine", "systemd_service", {"name": "kubelet", "enabled": True}),
    ]
    # One that is refused, or not there, keeps the others as they are.
    return play("Prepare the hosts", EVERY, tasks, [_restart_containerd()], any_errors_fatal=True)


def _kernel() -> list[Values]:
    modules, file = ["overlay", "br_netfilter"], "/etc/sysctl.d/99-kubernetes.conf"
    settings = "net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n"
    unchanged = {"changed_when": False}
    return [
        task("Turn swap off", "command", {"argv": ["swapoff", "--all"]})
        | {"when": "ansible_facts.swaptotal_mb > 0", "changed_when": True},
        task(
            "Keep swap off",
            "replace",
            {"path": "/etc/fstab", "regexp": r"^([^#\s]\S*\s+\S+\s+swap\s.*)$", "replace": r"# \1"},
        ),
        written("Name the kernel's modules", "/etc/modules-load.d/kubernetes.conf", "\n".join([*modules, ""])),
        # Each time: a run may have ended with the files alone. The module brings the settings along.
        task("Load the kernel's modules", "command", {"argv": ["modprobe", "--all", *modules]}) | unchanged,
        written("Let the kernel forward packets", file, settings),
        task("Read the kernel's settings", "command", {"argv": ["sysctl", f"--load={file}"]}) | unchanged,
    ]


def _restart_containerd() -> Values:
    return task("Restart containerd", "systemd_service", {"name": "containerd", "state": "restarted", "enabled": True})


def _packages(hosts: HostsSettings) -> list[Values]:
    minor = ".".join(hosts.kubernetes.split(".")[:2])
    kubernetes = f"https://pkgs.k8s.io/core:/stable:/v{minor}/deb/"
    pinned = {"containerd.io": hosts.containerd, **of_kubernetes(hosts)}
    return [
        repository("Docker", DOCKER, f"{DOCKER}/gpg", "{{ ansible_facts.distribution_release }}", ["stable"]),
        repository("Kubernetes", kubernetes, f"{kubernetes}Release.key"),
        *installed("Install the runtime and Kubernetes", pinned),
    ]


def _give_gpus(toolkit: str) -> Values:
    deb = f"{NVIDIA}/stable/deb/{{{{ 'arm64' if ansible_facts.architecture == 'aarch64' else 'amd64' }}}}"
    tasks = [
        task("Require NVIDIA's driver", "command", {"argv": ["nvidia-smi", "--list-gpus"]}) | {"changed_when": False},
        repository("NVIDIA", deb, f"{NVIDIA}/gpgkey"),
        *installed("Install the container toolkit", dict.fromkeys(NVIDIA_PACKAGES, toolkit)),
        copied(
            *("Set the container runtime up", "containerd-nvidia.toml"),
            *("/etc/containerd/config.toml", "Restart containerd"),
        ),
    ]
    return play("Give containers GPUs", GPU, tasks, [_restart_containerd()])


def _start(hosts: HostsSettings) -> Values:
    manifest = f"{FOLDER}/calico.yaml"
    url = f"{CALICO}/{hosts.calico.version}/manifests/calico.yaml"
    fetched = {"url": url, "dest": manifest, "checksum": f"sha256:{hosts.calico.sha256}", "mode": READABLE}
    # Without the token that it would print.
    start = ["kubeadm", "init", "--config", CONFIG, "--skip-token-print"]
    tasks = [
        copied("Write what the cluster is to be", "kubeadm.yaml", CONFIG, mode=PRIVATE),
        _made("Start the cluster", _by_kubeadm("Start the first control plane", start)),
        task("Fetch the network of pods", "get_url", fetched),
        task("Apply the network of pods", "command", {"argv": [*KUBECTL, "apply", "--filename", manifest]})
        | {
            "register": "network_applied",
            "changed_when": "'created' in network_applied.stdout or 'configured' in network_applied.stdout",
        },
        *_invitation(several=len(hosts.control_plane) > 1),
    ]
    return play("Start the control plane", FIRST, tasks)


def _invitation(*, several: bool) -> list[Values]:
    token = ["kubeadm", "token", "create", "--ttl", LASTS, "--print-join-command"]
    uploaded = ["kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", CONFIG]
    made = {"when": MISSING, "changed_when": True, "no_log": True}
    return [
        task("Make a token for those that are no node yet", "command", {"argv": token})
        | {"register": "join_command"}
        | made,
        *(
            [
                task("Lend them the control plane's certificates", "command", {"argv": uploaded})
                | {"register": "certificate_key"}
                | made
            ]
            if several
            else ()
        ),
    ]


def _join(name: str, group: str, hosts: HostsSettings, serial: int | None = None) -> Values:
    content = {"content": "{{ join_configuration | to_nice_yaml }}", "dest": JOIN, "mode": PRIVATE}
    tasks = [
        task("Write how to join", "copy", content) | {"no_log": True},
        *_by_kubeadm("Join the cluster", ["kubeadm", "join", "--config", JOIN]),
    ]
    removed = task("Remove the token", "file", {"path": JOIN, "state": "absent"})
    told = {"join_configuration": join(hosts, control_plane=serial is not None)}
    # Control planes one after the other: each is a new member of etcd.
    return play(name, group, [_made("Make the host a node", tasks, [removed])], serial=serial, vars=told)


def _by_kubeadm(name: str, argv: list[str]) -> list[Values]:
    return [command(name, argv, creates=NODE), written("Note that kubeadm has ended well", NODE, "A whole node.\n")]


def _made(name: str, tasks: list[Values], always: list[Values] | None = None) -> Values:
    """Return a block that makes a node of a host, and says what to do where it does not."""
    # No reset by itself: what kubeadm stopped at may be another cluster's etcd.
    failed = "kubeadm did not end, see above; mend what it names, run kubeadm reset on the host, and run again"
    told = {"block": tasks, "rescue": [task("Say what to do", "fail", {"msg": failed})]}
    return {"name": name, "when": f"not {IS_NODE}", **told, **({"always": always} if always else {})}


def _finish(kubeconfig: str) -> Values:
    here = {"delegate_to": "localhost", "become": False}
    # By HOME, as the stack reads it: Ansible's own `~` is the account's.
    path = (
        kubeconfig.replace("~", "{{ lookup('ansible.builtin.env', 'HOME') }}", 1)
        if kubeconfig[0] == "~"
        else kubeconfig
    )
    folder = str(PurePosixPath(path).parent)
    labelled = f"{{{{ {[*KUBECTL, 'label', '--overwrite', 'node']} + [item] + hostvars[item].node_labels }}}}"
    ready = [*KUBECTL, "wait", "--for=condition=Ready", "node", "--all", f"--timeout={NODES_SECONDS}s"]
    tasks = [
        task("Label the workers", "command", {"argv": labelled})
        | {
            "loop": f"{{{{ {REACHED} }}}}",
            "register": "node_labelled",
            "changed_when": "'not labeled' not in node_labelled.stdout",
        },
        task("Wait for every node", "command", {"argv": ready}) | {"changed_when": False},
        task("Read the administrator's kubeconfig", "slurp", {"src": ADMIN})
        | {"register": "admin_conf", "no_log": True},
        # A folder that is there keeps its mode.
        command("Make its folder here", ["mkdir", "-p", "-m", "0700", folder], creates=folder) | here,
        task(
            "Write it here, for this user alone",
            "copy",
            {"content": "{{ admin_conf.content | b64decode }}", "dest": path, "mode": PRIVATE},
        )
        | here
        | {"no_log": True},
    ]
    return play("Tell of the cluster", FIRST, tasks)
