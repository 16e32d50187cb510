"""The files of a stack's hosts: an inventory, a playbook, and what it copies; the same bytes for the same settings."""

from __future__ import annotations

from typing import Any

import yaml

from ops.hosts import runtime
from ops.hosts.inventory import inventory
from ops.hosts.kubeadm import configuration
from ops.hosts.plays import playbook
from settings import HostsSettings

INVENTORY, PLAYBOOK = "inventory.yaml", "site.yaml"
HEADER = "# Rendered by `python -m ops hosts render`: what is changed here is lost with the next.\n"
WIDTH = 150  # of ansible-lint's 160


def rendered(hosts: HostsSettings, kubeconfig: str, cluster: str) -> dict[str, str]:
    """Return the files by their paths below one folder."""
    return {
        INVENTORY: _dumped(inventory(hosts)),
        PLAYBOOK: _dumped(playbook(hosts, kubeconfig)),
        "files/kubeadm.yaml": _dumped(*configuration(hosts, cluster)),
        "files/containerd.toml": HEADER + runtime.PLAIN,
        **({"files/containerd-nvidia.toml": HEADER + runtime.NVIDIA} if hosts.toolkit else {}),
    }


def _dumped(*documents: Any) -> str:
    return HEADER + yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, explicit_start=True
    )


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, as Ansible's own style has it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (of an object that occurs twice each is written)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    expression = "'" in text and not {'"', "\\"} & set(text)
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else '"' if expression else None
    )


_Dumper.add_representer(str, _text)
