import secrets
import signal

import pytest

from tests.plugins.conformance.harness import Cluster, Project
from tests.waiting import until

pytestmark = pytest.mark.e2e


def deployment(image: str, *, annotations: str = "", replicas: int = 1) -> str:
    return f"""
    k.apps.v1.Deployment("web", metadata={{"namespace": NAMESPACE, "name": "web", "annotations": {{{annotations}}}}},
        spec={{"replicas": {replicas}, "selector": {{"match_labels": {{"app": "web"}}}},
        "template": {{"metadata": {{"labels": {{"app": "web"}}}}, "spec": {{"containers": [
            {{"name": "main", "image": "{image}"}}]}}}}}})
    """


TIMEOUT = '"pulumi.com/timeoutSeconds": "4"'
BROKEN = "registry.invalid/none:1"


def test_skip_await_does_not_wait(project: Project) -> None:
    result = project.up(deployment(BROKEN, annotations='"pulumi.com/skipAwait": "true"'))
    assert result.ok, result.output


def test_a_deployment_that_never_starts_fails_and_stays_in_the_state(project: Project) -> None:
    result = project.up(deployment(BROKEN, annotations=TIMEOUT))
    assert not result.ok
    assert "timed out waiting to be Ready" in result.text
    (entry,) = project.state()
    assert entry["id"] == f"{project.namespace}/web"
    assert entry["initErrors"]


def test_after_the_fix_the_next_run_updates_the_same_object(project: Project, image: str) -> None:
    project.up(deployment(BROKEN, annotations=TIMEOUT))
    result = project.up(deployment(image))
    assert result.ok, result.output
    assert result.steps == ["update Deployment web"]
    assert not project.state()[0].get("initErrors")
    assert project.run("preview", "--expect-no-changes").ok


def test_an_update_that_cannot_start_names_the_reason(project: Project, image: str) -> None:
    assert project.up(deployment(image)).ok
    result = project.up(deployment(BROKEN, annotations='"pulumi.com/timeoutSeconds": "20"'))
    assert not result.ok
    assert "ImagePull" in result.text
    assert project.up(deployment(image)).ok


def test_custom_timeouts_go_before_the_annotation(project: Project) -> None:
    program = deployment(BROKEN, annotations='"pulumi.com/timeoutSeconds": "250"').rstrip().removesuffix(")")
    options = 'opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="3s"))'
    result = project.up(f"{program}, {options})")
    assert not result.ok
    assert "timed out waiting to be Ready" in result.text


def test_a_deployment_of_no_replicas_is_ready(project: Project) -> None:
    result = project.up(deployment(BROKEN, replicas=0))
    assert result.ok, result.output


def test_services_that_select_no_pods_are_ready_at_once(project: Project) -> None:
    result = project.up(
        """
        at = {"namespace": NAMESPACE}
        ports = [{"port": 80}]
        k.core.v1.Service("headless", metadata=at, spec={"cluster_ip": "None", "selector": {"a": "b"}, "ports": ports})
        k.core.v1.Service("plain", metadata=at, spec={"ports": ports})
        k.core.v1.Service("outside", metadata=at, spec={"type": "ExternalName", "external_name": "localhost"})
        """
    )
    assert result.ok, result.output


def test_a_service_waits_for_its_pods(project: Project, cluster: Cluster, image: str) -> None:
    service = """
    k.core.v1.Service("web", metadata={"namespace": NAMESPACE, "name": "web"},
                      spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    """
    result = project.up(deployment(image) + service)
    assert result.ok, result.output
    slices = cluster.client.list("discovery.k8s.io/v1", "EndpointSlice", project.namespace)
    assert any(entry["conditions"]["ready"] for part in slices for entry in part.get("endpoints") or [])


def custom(group: str, annotations: str = "{}", *, definition: bool = True) -> str:
    made = f"""
    crd = k.apiextensions.v1.CustomResourceDefinition("crd", metadata={{"name": "widgets.{group}"}}, spec={{
        "group": "{group}", "scope": "Namespaced",
        "names": {{"plural": "widgets", "singular": "widget", "kind": "Widget"}},
        "versions": [{{"name": "v1", "served": True, "storage": True, "subresources": {{"status": {{}}}},
            "schema": {{"open_apiv3_schema": {{"type": "object", "x_kubernetes_preserve_unknown_fields": True}}}}}}]}})
    """
    return f"""{made if definition else "crd = None"}
    k.apiextensions.CustomResource("widget", api_version="{group}/v1", kind="Widget",
        metadata={{"namespace": NAMESPACE, "name": "widget", "annotations": {annotations}}}, spec={{"size": 3}},
        opts=pulumi.ResourceOptions(depends_on=[crd] if crd else []))
    """


@pytest.fixture
def group() -> str:
    return f"g{secrets.token_hex(4)}.modelstack.dev"


def test_a_definition_and_its_object_come_up_in_one_program(project: Project, cluster: Cluster, group: str) -> None:
    result = project.up(custom(group))
    assert result.ok, result.output
    assert result.steps == ["create CustomResourceDefinition crd", "create Widget widget"]
    live = cluster.get(f"{group}/v1", "Widget", project.namespace, "widget")
    assert live is not None
    assert live["spec"] == {"size": 3}
    assert project.run("preview", "--expect-no-changes").ok


def test_a_preview_before_the_definition_exists_shows_both(project: Project, group: str) -> None:
    result = project.preview(custom(group))
    assert result.ok, result.output
    assert result.steps == ["create CustomResourceDefinition crd", "create Widget widget"]


def test_wait_for_holds_until_the_condition_is_true(project: Project, cluster: Cluster, group: str) -> None:
    waiting = '{"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "3"}'
    result = project.up(custom(group, waiting))
    assert not result.ok
    assert project.state()[-1]["initErrors"]
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    cluster.merge(f"{group}/v1", "Widget", f"{project.namespace}/widget", status, "/status")
    result = project.up()
    assert result.ok, result.output
    assert not project.state()[-1].get("initErrors")


def test_wait_for_takes_a_json_path(project: Project, cluster: Cluster, group: str) -> None:
    met = '{"pulumi.com/waitFor": "jsonpath={.spec.size}=3", "pulumi.com/timeoutSeconds": "3"}'
    assert project.up(custom(group, met)).ok
    unmet = met.replace("=3", "=4")
    result = project.up(custom(group, unmet))
    assert not result.ok
    assert "timed out waiting to be Ready" in result.text


def test_a_pod_the_namespace_forbids_is_named_in_the_error(project: Project, cluster: Cluster) -> None:
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    path = cluster.client.resource("v1", "Namespace").path("", project.namespace)
    cluster.client.request("PATCH", path, labels, content_type="application/merge-patch+json")
    result = project.up(deployment(BROKEN, annotations=TIMEOUT))
    assert not result.ok
    assert "violates PodSecurity" in result.text


def test_an_interrupt_while_waiting_keeps_the_object_and_leaves_no_process(project: Project) -> None:
    project.write(deployment(BROKEN))
    code, text = project.interrupted(lambda: len(project.live_names("Deployment")) == 1)
    assert code != 0, text
    until(lambda: project.processes() == [], "no process is left")
    (entry,) = project.state()
    assert entry["id"] == f"{project.namespace}/web"
    assert entry["initErrors"]


def test_a_killed_engine_takes_its_plugins_along(project: Project) -> None:
    project.write(deployment(BROKEN))
    code, text = project.interrupted(lambda: len(project.live_names("Deployment")) == 1, signal.SIGKILL)
    assert code == -signal.SIGKILL, text
    until(lambda: project.processes() == [], "no process is left")
