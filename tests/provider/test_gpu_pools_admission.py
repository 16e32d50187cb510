"""Karpenter's objects of a stack as a real API server takes them, by Karpenter's own definitions, CEL and all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import partial

import pytest

from tests.components.gpus import kinds, with_pools
from tests.components.programs import Object, Run, stack_in
from tests.components.test_gpu_pools_schema import FILES, as_aws_names, folder_of_definitions
from tests.provider.clusters import Kubectl, know
from tests.provider.test_admission import tried
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def known(administrator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the API server know Karpenter's kinds."""
    folder = folder_of_definitions(tmp_path_factory.mktemp("go"))
    for name in FILES.values():
        know(administrator, folder / name)
    yield
    for name in FILES.values():
        administrator.run("delete", "--wait=false", "--filename", str(folder / name))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("pools"), with_pools(), stack="prod")


@pytest.fixture(scope="module")
def namespaces(administrator: Kubectl, made: Run) -> Iterator[list[str]]:
    """Have the namespaces that pools need beside the stack's own."""
    found = [one for one in made.of("Namespace").values() if one["metadata"]["name"] != "modelstack-prod"]
    for one in found:
        administrator.run("apply", "--server-side", "--filename=-", stdin=json.dumps(one))
    names = [one["metadata"]["name"] for one in found]
    for name in names:
        until(partial(_has_account, administrator, name), f"{name} has its account")
    yield names
    administrator.run("delete", "namespace", *names, "--wait=false")


def _has_account(administrator: Kubectl, namespace: str) -> bool:
    asked = ("get", "serviceaccount", "default", "--namespace", namespace, "--ignore-not-found", "--output=name")
    return administrator.run(*asked) != ""


def objects(run: Run) -> list[Object]:
    found = [(name, one) for kind in FILES for name, one in kinds(run, kind).items()]
    return [{**as_aws_names(one), "metadata": {"name": name}} for name, one in found]


@pytest.mark.usefixtures("known")
def test_the_api_server_takes_every_object(administrator: Kubectl, made: Run) -> None:
    taken, refused = tried(administrator, objects(made))
    assert refused == ""
    assert taken == {
        *(f"ec2nodeclass.karpenter.k8s.aws/{name}" for name in ("l4", "l40s")),
        *(f"nodepool.karpenter.sh/{name}" for name in ("l4", "l40s")),
        "nodeoverlay.karpenter.sh/l40s",
    }


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("kind", "change", "refusal"),
    [
        ("EC2NodeClass", {"amiFamily": "Bottlerocket"}, "if set, amiFamily must be 'AL2023' or 'Custom'"),
        ("EC2NodeClass", {"role": "nodes"}, "must specify exactly one of ['role', 'instanceProfile']"),
        ("NodeOverlay", {"capacity": {"cpu": 4}}, "invalid resource restricted"),
    ],
)
def test_its_rules_are_asked(administrator: Kubectl, made: Run, kind: str, change: Object, refusal: str) -> None:
    one = deepcopy(next(one for one in objects(made) if one["kind"] == kind))
    _, refused = tried(administrator, [{**one, "spec": {**one["spec"], **change}}])
    assert refusal in refused


def test_the_api_server_takes_what_runs_on_the_nodes(administrator: Kubectl, made: Run, namespaces: list[str]) -> None:
    found = [one.inputs for one in made.objects() if one.inputs.get("metadata", {}).get("namespace") in namespaces]
    pods = [_pod(one) for one in found if one["kind"] == "DaemonSet"]
    taken, refused = tried(administrator, [*found, *pods])
    assert refused == ""
    assert {one for one in taken if one.startswith("pod/")} == {
        *("pod/dcgm-exporter", "pod/nvidia-device-plugin-a10g", "pod/nvidia-device-plugin-l4"),
    }


def _pod(daemons: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: daemons["metadata"][key] for key in ("name", "namespace")},
        "spec": daemons["spec"]["template"]["spec"],
    }
