import pytest

from tests.plugins.conformance.harness import Cluster, Project

pytestmark = pytest.mark.e2e

EVERY_KIND = """
at = {"namespace": NAMESPACE}
idle = {"namespace": NAMESPACE, "annotations": {"pulumi.com/skipAwait": "true"}}
labels = {"app": "x"}
pod = {"metadata": {"labels": labels}, "spec": {
    "service_account_name": "default", "automount_service_account_token": False, "host_network": False,
    "security_context": {"run_as_non_root": True, "run_as_user": 65532, "seccomp_profile": {"type": "RuntimeDefault"}},
    "termination_grace_period_seconds": 5,
    "init_containers": [],
    "containers": [{
        "name": "main", "image": "registry.invalid/none:1", "image_pull_policy": "IfNotPresent", "args": [],
        "ports": [{"name": "http", "container_port": 8080}],
        "env": [{"name": "A", "value": ""},
                {"name": "B", "value_from": {"field_ref": {"field_path": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "0.25", "memory": "256Mi"}, "limits": {"cpu": 1, "memory": "1.5Gi"}},
        "readiness_probe": {"http_get": {"path": "/v2/health/ready", "port": "http"}, "period_seconds": 2},
        "lifecycle": {"pre_stop": {"sleep": {"seconds": 3}}},
        "security_context": {"capabilities": {"drop": ["ALL"]}, "read_only_root_filesystem": True,
                             "allow_privilege_escalation": False},
        "volume_mounts": [{"name": "tmp", "mount_path": "/tmp", "read_only": False}]}],
    "volumes": [{"name": "tmp", "empty_dir": {}}]}}
k.apps.v1.Deployment("deployment", metadata=idle, spec={"replicas": 1, "selector": {"match_labels": labels},
    "strategy": {"rolling_update": {"max_unavailable": 0, "max_surge": "25%"}}, "template": pod})
k.apps.v1.DaemonSet("daemons", metadata=idle, spec={"selector": {"match_labels": labels}, "template": pod})
k.apps.v1.StatefulSet("set", metadata=idle, spec={"service_name": "s", "selector": {"match_labels": labels},
    "replicas": 0, "template": pod, "volume_claim_templates": [{"metadata": {"name": "data"}, "spec": {
        "access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}]})
k.batch.v1.CronJob("cron", metadata=idle, spec={"schedule": "0 0 1 1 *", "suspend": True, "job_template": {"spec": {
    "template": {"metadata": {}, "spec": {**pod["spec"], "restart_policy": "Never"}}}}})
k.core.v1.Service("service", metadata=idle, spec={"type": "NodePort", "selector": labels,
    "ports": [{"name": "http", "port": 80, "target_port": "http", "protocol": "TCP"}]})
k.core.v1.ServiceAccount("account", metadata=at, automount_service_account_token=False)
k.core.v1.PersistentVolumeClaim("claim", metadata=idle, spec={"access_modes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "2048Mi"}}})
k.core.v1.ResourceQuota("quota", metadata=at, spec={"hard": {"requests.nvidia.com/gpu": 1, "requests.cpu": "4000m"}})
k.core.v1.LimitRange("limits", metadata=at, spec={"limits": [{"type": "Container", "default": {"cpu": "1000m"}}]})
k.core.v1.Secret("secret", metadata=at, data={"a": "eA=="}, string_data={"b": "x"}, type="Opaque")
k.core.v1.ConfigMap("map", metadata=at, data={"empty": "", "rules.yaml": "a: b\\n"}, binary_data={"z": "AAE="})
k.policy.v1.PodDisruptionBudget("budget", metadata=at, spec={"max_unavailable": 1,
    "selector": {"match_labels": labels}})
k.networking.v1.NetworkPolicy("policy", metadata=at, spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"],
    "ingress": [{"from_": [{"namespace_selector": {}}], "ports": [{"port": 8080}]}], "egress": []})
k.networking.v1.Ingress("ingress", metadata=idle, spec={"rules": [{"host": "x.invalid", "http": {"paths": [{
    "path": "/", "path_type": "Prefix",
    "backend": {"service": {"name": "s", "port": {"name": "http"}}}}]}}]})
k.autoscaling.v2.HorizontalPodAutoscaler("scaler", metadata=at, spec={"max_replicas": 3, "min_replicas": 1,
    "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": "d"},
    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
        "type": "Utilization", "average_utilization": 80}}}]})
role = k.rbac.v1.Role("role", metadata=at, rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get"]}])
k.rbac.v1.RoleBinding("binding", metadata=at,
    role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
    subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}])
"""

OWN_PROVIDER = """
import os, pathlib
text = pathlib.Path(os.environ["KUBECONFIG"]).read_text()
provider = k.Provider("mine", kubeconfig=pulumi.Output.secret(text), namespace=NAMESPACE)
k.core.v1.ConfigMap("settings", metadata={"name": "settings"}, data={"a": "VALUE"},
                    opts=pulumi.ResourceOptions(provider=provider))
"""


def test_a_second_run_of_every_kind_changes_nothing(project: Project) -> None:
    assert project.up(EVERY_KIND).ok
    again = project.run("preview", "--diff", "--expect-no-changes")
    assert again.ok, again.output


def test_a_run_after_a_refresh_of_every_kind_changes_nothing(project: Project) -> None:
    assert project.up(EVERY_KIND).ok
    assert project.refresh().ok
    again = project.run("preview", "--diff", "--expect-no-changes")
    assert again.steps == [], again.output


def test_a_provider_of_the_programs_own_takes_contents_and_namespace(project: Project, cluster: Cluster) -> None:
    result = project.up(OWN_PROVIDER)
    assert result.ok, result.output
    live = cluster.get("v1", "ConfigMap", project.namespace, "settings")
    assert live is not None
    assert project.run("preview", "--expect-no-changes").ok


def test_another_spelling_of_the_same_kubeconfig_replaces_nothing(project: Project) -> None:
    assert project.up(OWN_PROVIDER).ok
    result = project.preview(OWN_PROVIDER.replace(".read_text()", '.read_text() + "# spelled otherwise"'))
    assert result.ok, result.output
    assert result.steps == []


def test_another_cluster_replaces_what_lies_in_the_first(project: Project) -> None:
    assert project.up(OWN_PROVIDER).ok
    moved = '.read_text().replace("127.0.0.1", "localhost")'
    result = project.preview(OWN_PROVIDER.replace(".read_text()", moved))
    assert "replace ConfigMap settings" in result.steps, result.output
