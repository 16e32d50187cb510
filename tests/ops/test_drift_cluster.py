"""Drift of objects in a real cluster: what the program leaves to others is none, and no secret is told."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from typing import Any

import pytest

from local.plugins.kubernetes.client import Client
from local.plugins.kubernetes.config import target_of
from tests.conftest import Platform
from tests.provider.stacks import Project

pytestmark = pytest.mark.e2e

PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as kubernetes

cluster = kubernetes.Provider("cluster", kubeconfig=os.environ["CLUSTER"])
name = pulumi.get_stack()
opts = pulumi.ResourceOptions(provider=cluster, ignore_changes=["data.left"])
metadata = {"name": name, "namespace": "default"}
kubernetes.core.v1.ConfigMap("settings", metadata=metadata, data={"left": "to others", "ours": "as it was"}, opts=opts)
hidden = pulumi.Output.secret({"key": "b2xkIHNlc2FtZQ=="})
kubernetes.core.v1.Secret("key", metadata=metadata, data=hidden, opts=pulumi.ResourceOptions(provider=cluster))
"""
NEW = "bmV3IHNlc2FtZQ=="  # pragma: allowlist secret


def test_what_is_left_to_others_is_no_drift_and_a_secret_is_told_by_its_name(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kubeconfig = platform.connection.kubeconfig
    made = Project.make(tmp_path_factory.mktemp("drift") / "project", PROGRAM)
    stack = made.stack(f"drift-{secrets.token_hex(3)}", CLUSTER=kubeconfig)
    done = stack.run("up")
    assert done.code == 0, done.said
    with (stack.folder / f"Pulumi.{stack.name}.yaml").open("a") as settings:
        settings.write("config: {modelstack:cluster: {kubeconfig: none}}\n")

    def drift() -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "ops", "drift", stack.name, "--json"]
        asked = subprocess.run(
            command, cwd=stack.folder, env=stack.environment, capture_output=True, text=True, check=False
        )
        assert "sesame" not in asked.stdout + asked.stderr
        assert NEW not in asked.stdout + asked.stderr
        return asked.returncode, json.loads(asked.stdout)

    try:
        assert drift()[0] == 0
        change(kubeconfig, "configmaps", stack.name, {"left": "changed"})
        assert drift()[0] == 0
        change(kubeconfig, "configmaps", stack.name, {"ours": "changed"})
        change(kubeconfig, "secrets", stack.name, {"key": NEW})
        code, report = drift()
        assert code == 3
        fields = {one["name"]: one["fields"] for one in report["resources"]}
        assert fields["settings"] == [
            {"path": "data.ours", "change": "changed", "state": "as it was", "found": "changed"}
        ]
        assert fields["key"][0] | {"path": ""} == {
            "path": "",
            "change": "changed",
            "state": "[secret]",
            "found": "[secret]",
        }
    finally:
        done = stack.run("destroy")
    assert done.code == 0, done.said


def change(kubeconfig: str, plural: str, name: str, data: dict[str, str]) -> None:
    """Change fields of an object as `kubectl edit` does."""
    path = f"/api/v1/namespaces/default/{plural}/{name}"
    client = Client(target_of(kubeconfig, {}))
    client.request("PATCH", path, {"data": data}, content_type="application/merge-patch+json")
