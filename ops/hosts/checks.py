"""What is asked of each host before anything of it changes, and what is refused."""

from __future__ import annotations

from ops.hosts.inventory import CONTROL_PLANE, EVERY, GPU
from ops.hosts.tasks import Values, task
from settings import HostsSettings

FOLDER = "/etc/kubernetes"
KUBELET = f"{FOLDER}/kubelet.conf"
# Written as kubeadm has ended well, its own files are there long before; here `kubeadm reset` removes it.
NODE = "/var/lib/kubelet/modelstack-node"
IS_NODE = "node_made.stat.exists"
_NODES = f"groups['{EVERY}'] | map('extract', hostvars) | map(attribute='{IS_NODE}', default=true)"
# Those that are no node yet; of a host that --limit leaves out nothing is known, and nothing done.
MISSING = f"{_NODES} | reject | list | length > 0"
NONE = f"{_NODES} | select | list | length == 0"
NVIDIA_PACKAGES = (
    *("nvidia-container-toolkit", "nvidia-container-toolkit-base"),
    *("libnvidia-container-tools", "libnvidia-container1"),
)


def of_kubernetes(hosts: HostsSettings) -> dict[str, str]:
    """Return the versions of Kubernetes' packages."""
    return dict.fromkeys(("kubelet", "kubeadm", "kubectl"), hosts.kubernetes)


def checks(hosts: HostsSettings) -> list[Values]:
    """Return tasks that change nothing."""
    fits = ["ansible_facts.distribution in ['Debian', 'Ubuntu']", "ansible_facts.service_mgr == 'systemd'"]
    by_apt = "drain it, take the version by apt with --allow-change-held-packages, and run again"
    return [
        task(
            "Require Debian or Ubuntu with systemd",
            "assert",
            {"that": fits, "fail_msg": "is neither Debian nor Ubuntu with systemd; take the host out of the settings"},
        ),
        *_membership(),
        task("Ask what is installed", "package_facts", {"manager": "apt"}) | {"when": IS_NODE},
        _same("Refuse to upgrade a node", of_kubernetes(hosts), "upgrade it with kubeadm upgrade, and run again"),
        _same("Refuse to change a node's runtime", {"containerd.io": hosts.containerd}, by_apt),
        *(
            [_same("Refuse to change a node's toolkit", dict.fromkeys(NVIDIA_PACKAGES, hosts.toolkit), by_apt, GPU)]
            if hosts.toolkit
            else ()
        ),
    ]


def _membership() -> list[Values]:
    half = (
        f"has {KUBELET}, and {NODE} is not there: kubeadm did not end, or others made the node; run kubeadm reset on "
        f"it, or touch {NODE} where it is a whole node of this cluster, and run again"
    )
    second = (
        "is the first control plane of the settings and not yet a node, and others are, or --limit leaves them out; "
        "list one first that is of the cluster, without --limit"
    )
    return [
        task("Ask whether the host is a node", "stat", {"path": NODE}) | {"register": "node_made"},
        task("Ask whether it was to be one", "stat", {"path": KUBELET}) | {"register": "kubelet_conf"},
        task(
            "Refuse half a node",
            "assert",
            {"that": [f"{IS_NODE} or not kubelet_conf.stat.exists"], "fail_msg": half},
        ),
        task("Refuse to start a second cluster", "assert", {"that": [f"{IS_NODE} or ({NONE})"], "fail_msg": second})
        | {"when": f"inventory_hostname == groups['{CONTROL_PLANE}'][0]"},
    ]


def _same(name: str, pinned: dict[str, str], remedy: str, group: str | None = None) -> Values:
    # What is not installed is yet to be.
    found = "(ansible_facts.packages[item.package] | default([item]))[0].version.split('-')[0]"
    says = f"is a node with {{{{ item.package }}}} {{{{ {found} }}}}, the settings say {{{{ item.version }}}}; {remedy}"
    asked = [{"package": package, "version": version} for package, version in pinned.items()]
    asked_of = [IS_NODE, f"'{group}' in group_names"] if group else IS_NODE
    told = {"that": [f"{found} == item.version"], "fail_msg": says, "quiet": True}
    return task(name, "assert", told) | {"loop": asked, "when": asked_of}
