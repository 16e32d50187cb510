"""What kubeadm is told, as plain values (kubernetes.io, "kubeadm Configuration (v1beta4)")."""

from __future__ import annotations

from typing import Any

from settings import HostsSettings

Values = dict[str, Any]
API = "kubeadm.k8s.io/v1beta4"
PORT = 6443
LASTS = "2h"  # what hosts join by


def configuration(hosts: HostsSettings, cluster: str) -> list[Values]:
    """Return the documents of `kubeadm init`; `cluster` names the cluster in its kubeconfig."""
    networking = {"podSubnet": hosts.pod_cidr, "serviceSubnet": hosts.service_cidr, "dnsDomain": "cluster.local"}
    return [
        {
            "apiVersion": API,
            "kind": "InitConfiguration",
            # The token that kubeadm makes unasked, a day's where nothing is said.
            "bootstrapTokens": [{"ttl": LASTS}],
            "nodeRegistration": {"name": next(iter(hosts.control_plane))},
        },
        {
            "apiVersion": API,
            "kind": "ClusterConfiguration",
            "clusterName": cluster,
            "kubernetesVersion": f"v{hosts.kubernetes}",
            "controlPlaneEndpoint": endpoint(hosts),
            "networking": networking,
        },
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd"},
    ]


def endpoint(hosts: HostsSettings) -> str:
    """Return where the API server is found, with its port."""
    host = f"[{hosts.endpoint}]" if ":" in hosts.endpoint else hosts.endpoint
    return f"{host}:{PORT}"


def join(hosts: HostsSettings, *, control_plane: bool) -> Values:
    """Return what `kubeadm join` reads, with what Ansible fills in when it is there."""
    first = "hostvars[groups['control_plane'][0]]"
    said = f"{first}.join_command.stdout"
    registration: Values = {"name": "{{ inventory_hostname }}"}
    own: Values = {}
    if control_plane:
        # kubeadm says the key last.
        own = {"controlPlane": {"certificateKey": f"{{{{ {first}.certificate_key.stdout_lines | last }}}}"}}
    else:
        # A node has them before the first pod can come.
        registration["taints"] = "{{ node_taints }}"
    return {
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": endpoint(hosts),
                "token": _found(said, "--token"),
                "caCertHashes": [_found(said, "--discovery-token-ca-cert-hash")],
            }
        },
        "nodeRegistration": registration,
        **own,
    }


def _found(said: str, option: str) -> str:
    return f"{{{{ {said}.split('{option} ')[1].split()[0] }}}}"
