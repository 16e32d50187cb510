"""Readiness of what runs to an end, keeps a place of its own, or breaks."""

import os

import pytest

from tests.plugins.conformance.harness import Cluster, Project

pytestmark = pytest.mark.e2e

PYTHON = os.environ.get("CONFORMANCE_PYTHON", "/usr/bin/python3.11")


def at(seconds: int, more: str = "") -> str:
    return (
        f'{{"namespace": NAMESPACE, "name": "it", "annotations": {{"pulumi.com/timeoutSeconds": "{seconds}"}}{more}}}'
    )


def template(image: str, command: str = "", policy: str = "Always") -> str:
    run = f', "command": ["{PYTHON}", "-c", "{command}"]' if command else ""
    containers = f'[{{"name": "main", "image": "{image}"{run}}}]'
    return (
        '{"metadata": {"labels": {"app": "it"}}, "spec": {"termination_grace_period_seconds": 0, '
        f'"restart_policy": "{policy}", "containers": {containers}}}}}'
    )


def deployment(pod: str, seconds: int) -> str:
    selector = '{"match_labels": {"app": "it"}}'
    # Without it a program that ends soon counts as available while it runs.
    settled = '"min_ready_seconds": 60'
    spec = f'{{{settled}, "selector": {selector}, "template": {pod}}}'
    return f'k.apps.v1.Deployment("it", metadata={at(seconds)}, spec={spec})'


def job(pod: str, seconds: int) -> str:
    return f'k.batch.v1.Job("it", metadata={at(seconds)}, spec={{"backoff_limit": 0, "template": {pod}}})'


def claim(storage_class: str, seconds: int) -> str:
    return f"""
    k.core.v1.PersistentVolumeClaim("it", metadata={at(seconds)}, spec={{"access_modes": ["ReadWriteOnce"],
        "storage_class_name": {storage_class}, "resources": {{"requests": {{"storage": "1Mi"}}}}}})
    """


def test_a_stateful_set_waits_for_every_replica(project: Project, cluster: Cluster, image: str) -> None:
    result = project.up(
        f"""
        k.apps.v1.StatefulSet("it", metadata={at(120)}, spec={{"replicas": 2, "service_name": "it",
            "selector": {{"match_labels": {{"app": "it"}}}}, "template": {template(image)}}})
        """
    )
    assert result.ok, result.output
    live = cluster.get("apps/v1", "StatefulSet", project.namespace, "it")
    assert live is not None
    assert live["status"]["readyReplicas"] == 2


def test_a_daemon_set_waits_for_every_node(project: Project, cluster: Cluster, image: str) -> None:
    result = project.up(
        f"""
        k.apps.v1.DaemonSet("it", metadata={at(120)}, spec={{"selector": {{"match_labels": {{"app": "it"}}}},
            "template": {template(image)}}})
        """
    )
    assert result.ok, result.output
    live = cluster.get("apps/v1", "DaemonSet", project.namespace, "it")
    assert live is not None
    assert live["status"]["numberAvailable"] == live["status"]["desiredNumberScheduled"] > 0


def test_a_pod_waits_until_it_runs(project: Project, cluster: Cluster, image: str) -> None:
    spec = f'{{"termination_grace_period_seconds": 0, "containers": [{{"name": "main", "image": "{image}"}}]}}'
    result = project.up(f'k.core.v1.Pod("it", metadata={at(120)}, spec={spec})')
    assert result.ok, result.output
    live = cluster.get("v1", "Pod", project.namespace, "it")
    assert live is not None
    assert live["status"]["phase"] == "Running"


def test_a_job_waits_until_it_has_ended_well(project: Project, cluster: Cluster, python_image: str) -> None:
    result = project.up(job(template(python_image, "print(1)", "Never"), 120))
    assert result.ok, result.output
    live = cluster.get("batch/v1", "Job", project.namespace, "it")
    assert live is not None
    assert live["status"]["succeeded"] == 1


def test_a_job_that_fails_ends_the_wait_at_once(project: Project, python_image: str) -> None:
    result = project.up(job(template(python_image, "raise SystemExit(3)", "Never"), 280))
    assert not result.ok
    assert "BackoffLimitExceeded" in result.text
    assert project.state()[0]["initErrors"]


def test_a_deployment_that_crashes_names_the_pod_and_its_exit_code(
    project: Project, cluster: Cluster, python_image: str
) -> None:
    polls = []  # the provider looks once a second, so that the crash has to be there for a while

    def crashed_for_a_while() -> bool:
        pods = cluster.client.list("v1", "Pod", project.namespace)
        statuses = [entry for pod in pods for entry in pod["status"].get("containerStatuses") or []]
        # The kubelet tells the first crashes as ended or as waiting for the next start, whichever it comes to.
        if any(entry["restartCount"] and not entry["state"].get("running") for entry in statuses):
            polls.append(1)
        return len(polls) > 30

    project.write(deployment(template(python_image, "raise SystemExit(3)"), 280))
    code, text = project.interrupted(crashed_for_a_while)
    assert code != 0, text
    reasons = " ".join(project.state()[0]["initErrors"])
    assert "[Pod it-" in reasons
    assert "[CrashLoopBackOff]" in reasons or "[Error]" in reasons
    assert "exit code 3" in reasons


def test_a_pod_that_fits_no_node_is_named_unschedulable(project: Project, image: str) -> None:
    pod = template(image).replace('"name": "main"', '"name": "main", "resources": {"requests": {"cpu": "1000"}}')
    result = project.up(deployment(pod, 5))
    assert not result.ok
    assert "Unschedulable" in result.text
    assert "Insufficient cpu" in result.text


def test_a_claim_that_nothing_can_bind_is_named(project: Project) -> None:
    result = project.up(claim('"none-such"', 3))
    assert not result.ok
    assert "the claim is Pending, storage class none-such" in result.text


def test_a_claim_bound_by_its_first_pod_holds_nothing_up(project: Project) -> None:
    made = """
    late = k.storage.v1.StorageClass("late", provisioner="kubernetes.io/no-provisioner",
                                     volume_binding_mode="WaitForFirstConsumer")
    """
    result = project.up(made + claim("late.metadata.name", 3))
    assert result.ok, result.output
