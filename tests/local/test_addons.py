"""What the cluster runs for all stacks: manifests that hold what Kubernetes asks of them, and are applied once."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from local import connection, specs
from local.addons import Addon
from local.instance import locate
from local.kubectl import Kubectl
from tests.conftest import PROJECT, Platform, run_local

ADDONS = {spec.name: spec.addon for spec in specs.ON_DEMAND if spec.addon}


def objects(addon: Addon) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(addon.text({"image": "registry/addon@sha256:0"})))


@pytest.mark.parametrize("addon", ADDONS.values(), ids=ADDONS)
def test_an_addons_manifest_runs_the_baked_image_restricted(addon: Addon) -> None:
    pods = [one["spec"]["template"]["spec"] for one in objects(addon) if one["kind"] == "Deployment"]
    for container in (one for pod in pods for one in pod["containers"]):
        assert container["image"] == "registry/addon@sha256:0"
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not [one for one in container["args"] if "insecure" in one]


@pytest.mark.parametrize("addon", ADDONS.values(), ids=ADDONS)
def test_an_addon_names_the_deployments_of_its_manifest_and_where_they_are(addon: Addon) -> None:
    found = [one["metadata"] for one in objects(addon) if one["kind"] == "Deployment"]
    assert tuple(one["name"] for one in found) == addon.deployments
    assert {one["namespace"] for one in found} == {addon.namespace}


@pytest.mark.parametrize("spec", [specs.METRICS_IMAGE, specs.KEDA_IMAGE], ids=lambda one: one.name)
def test_the_page_on_scaling_names_the_version_that_is_built(spec: specs.ImageSpec) -> None:
    assert spec.program
    page = (PROJECT / "docs" / "scaling.md").read_text().lower()
    assert f"/{spec.name}) {spec.program.version.removeprefix('v')} " in page


def test_keda_reads_the_secrets_of_its_own_namespace_alone() -> None:
    roles = {one["metadata"]["name"]: one for one in objects(ADDONS["keda"]) if one["kind"] == "ClusterRole"}
    everywhere = roles["keda-operator"]
    resources = {name for rule in everywhere["rules"] for name in rule["resources"] if "" in rule["apiGroups"]}
    assert "secrets" not in resources
    assert not {"*"} & {name for rule in everywhere["rules"] if "*" in rule["apiGroups"] for name in rule["resources"]}


def test_keda_makes_nothing_that_runs_as_a_pod() -> None:
    roles = [one for one in objects(ADDONS["keda"]) if one["kind"] in ("ClusterRole", "Role")]
    made = {name for role in roles for rule in role["rules"] if "create" in rule["verbs"] for name in rule["resources"]}
    assert made == {"events", "horizontalpodautoscalers", "leases", "secrets"}


@pytest.mark.e2e
@pytest.mark.soak
def test_baking_the_metrics_server_deploys_it_once_and_it_tells_of_the_nodes_cpu(platform: Platform) -> None:
    run_local(platform.environment, "bake", "metrics-server")
    instance = locate(None, platform.environment)
    assert "metrics-server" in connection.read(instance.connection).images
    kubectl = Kubectl.of(instance)
    asked = ("get", "deployment", "metrics-server", "--namespace=kube-system", "-o=jsonpath={.metadata.generation}")
    generation = kubectl.run(*asked)
    run_local(platform.environment, "bake", "metrics-server")
    assert kubectl.run(*asked) == generation
    assert "cpu" in kubectl.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")


@pytest.mark.e2e
@pytest.mark.soak
def test_baking_keda_deploys_it_once_with_its_kinds_and_the_api_asks_it_for_series(platform: Platform) -> None:
    run_local(platform.environment, "bake", "keda")
    kubectl = Kubectl.of(locate(None, platform.environment))
    asked = ("get", "deployments", "--namespace=keda", "-o=jsonpath={.items[*].metadata.generation}")
    generations = kubectl.run(*asked)
    assert len(generations.split()) == 2
    run_local(platform.environment, "bake", "keda")
    assert kubectl.run(*asked) == generations
    # As the release has them: the module's own files know no lower limit.
    window = "{.spec.versions[0].schema..scaleDown.properties.stabilizationWindowSeconds.maximum}"
    assert kubectl.run("get", "customresourcedefinition", "scaledobjects.keda.sh", f"-o=jsonpath={window}") == "3600"
    assert "externalmetrics" in kubectl.run("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1")
