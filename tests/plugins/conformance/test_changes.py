import pytest

from tests.plugins.conformance.harness import Cluster, Project

pytestmark = pytest.mark.e2e

SKIP = '"annotations": {"pulumi.com/skipAwait": "true"}'


def deployment(*, label: str = "a", replicas: int = 1, extra: str = "") -> str:
    return f"""
    k.apps.v1.Deployment("web", metadata={{"namespace": NAMESPACE, "name": "web", {SKIP}}}, spec={{
        "replicas": {replicas}, "selector": {{"match_labels": {{"app": "{label}"}}}},
        "template": {{"metadata": {{"labels": {{"app": "{label}"{extra}}}}}, "spec": {{"containers": [
            {{"name": "main", "image": "registry.invalid/none:1",
              "resources": {{"limits": {{"cpu": "0.5", "memory": "1024Mi"}}}}, "env": []}}]}}}}}})
    """


def service(ip: str = "", port: int = 80) -> str:
    fixed = f'"cluster_ip": "{ip}", ' if ip else ""
    return f"""
    k.core.v1.Service("web", metadata={{"namespace": NAMESPACE, "name": "web", {SKIP}}}, spec={{
        {fixed}"selector": {{"app": "a"}}, "ports": [{{"port": {port}}}]}})
    """


def test_a_changed_field_is_updated_in_place(project: Project, cluster: Cluster) -> None:
    project.up(deployment())
    before = cluster.get("apps/v1", "Deployment", project.namespace, "web")
    result = project.up(deployment(replicas=2))
    assert result.steps == ["update Deployment web"], result.output
    after = cluster.get("apps/v1", "Deployment", project.namespace, "web")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["replicas"] == 2


def test_a_field_dropped_from_the_program_is_removed(project: Project, cluster: Cluster) -> None:
    project.up(deployment(extra=', "tier": "x"'))
    result = project.up(deployment())
    assert result.steps == ["update Deployment web"], result.output
    live = cluster.get("apps/v1", "Deployment", project.namespace, "web")
    assert live is not None
    assert live["spec"]["template"]["metadata"]["labels"] == {"app": "a"}


def test_values_the_server_spells_otherwise_are_no_change(project: Project) -> None:
    project.up(deployment())
    again = project.run("preview", "--expect-no-changes")
    assert again.ok, again.output


def test_a_deployments_selector_replaces_it(project: Project, cluster: Cluster) -> None:
    def awaited(label: str) -> str:
        return deployment(label=label, replicas=0).replace(f", {SKIP}", "")

    assert project.up(awaited("a")).ok
    result = project.up(awaited("b"))
    assert result.ok, result.output
    assert result.steps[0] == "delete-replaced Deployment web"
    assert result.steps[-1] == "create-replacement Deployment web"
    live = cluster.get("apps/v1", "Deployment", project.namespace, "web")
    assert live is not None
    assert live["spec"]["selector"]["matchLabels"] == {"app": "b"}


def test_a_services_cluster_ip_replaces_it(project: Project, cluster: Cluster) -> None:
    project.up(service())
    live = cluster.get("v1", "Service", project.namespace, "web")
    assert live is not None
    result = project.preview(service(ip="None"))
    assert "replace Service web" in result.steps, result.output
    result = project.up(service(ip="None"))
    assert result.ok, result.output
    after = cluster.get("v1", "Service", project.namespace, "web")
    assert after is not None
    assert after["spec"]["clusterIP"] == "None"


def test_a_services_port_is_updated_in_place(project: Project) -> None:
    project.up(service())
    assert project.up(service(port=81)).steps == ["update Service web"]


def test_a_jobs_template_replaces_it(project: Project) -> None:
    def job(command: str) -> str:
        return f"""
        k.batch.v1.Job("task", metadata={{"namespace": NAMESPACE, {SKIP}}}, spec={{"template": {{"spec": {{
            "restart_policy": "Never", "containers": [
                {{"name": "main", "image": "registry.invalid/none:1", "command": ["{command}"]}}]}}}}}})
        """

    project.up(job("one"))
    result = project.up(job("two"))
    assert result.ok, result.output
    assert result.steps[0] == "create-replacement Job task"
    assert result.steps[-1] == "delete-replaced Job task"


def test_a_preview_writes_nothing(project: Project, cluster: Cluster) -> None:
    result = project.preview(service())
    assert result.steps == ["create Service web"], result.output
    assert cluster.get("v1", "Service", project.namespace, "web") is None


def test_a_preview_shows_what_the_server_would_refuse(project: Project) -> None:
    result = project.preview(service(port=70000))
    assert not result.ok
    assert "spec.ports[0].port" in result.text


def test_ignored_changes_are_left_to_their_manager(project: Project, cluster: Cluster) -> None:
    def program(tier: str) -> str:
        options = 'opts=pulumi.ResourceOptions(ignore_changes=["spec.replicas"])'
        return deployment(extra=f', "tier": "{tier}"').rstrip().removesuffix(")") + f", {options})"

    assert project.up(program("one")).ok
    cluster.merge("apps/v1", "Deployment", f"{project.namespace}/web", {"spec": {"replicas": 3}})
    result = project.up(program("two"))
    assert result.ok, result.output
    live = cluster.get("apps/v1", "Deployment", project.namespace, "web")
    assert live is not None
    assert live["spec"]["replicas"] == 3
    assert live["spec"]["template"]["metadata"]["labels"]["tier"] == "two"
