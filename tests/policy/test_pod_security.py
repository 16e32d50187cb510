"""The Pod Security Standard restricted: each field of its list with a value that it forbids, and one it allows."""

from typing import Any

import pytest

from tests.policy.judging import CONTAINER, POD, Judges, deployment

POLICY = "pod-security-restricted"
SPEC = "spec.template.spec"
# Field of a pod, what may not be, what may.
OF_PODS: list[tuple[str, Any, Any]] = [
    ("hostNetwork", True, False),
    ("hostPID", True, False),
    ("hostIPC", True, False),
    ("volumes.0", {"name": "a", "hostPath": {"path": "/"}}, {"name": "a", "configMap": {"name": "b"}}),
    ("volumes.0", {"name": "a", "nfs": {"server": "s"}}, {"name": "a", "image": {"pullPolicy": "IfNotPresent"}}),
    (
        "volumes.0",
        {"name": "a", "awsElasticBlockStore": {}},
        {"name": "a", "persistentVolumeClaim": {"claimName": "b"}},
    ),
    ("securityContext.runAsNonRoot", False, True),
    ("securityContext.runAsUser", 0, 65532),
    ("securityContext.seccompProfile.type", "Unconfined", "Localhost"),
    ("securityContext.appArmorProfile", {"type": "Unconfined"}, {"type": "RuntimeDefault"}),
    ("securityContext.sysctls", [{"name": "kernel.msgmax"}], [{"name": "net.ipv4.tcp_syncookies"}]),
    ("securityContext.seLinuxOptions", {"type": "spc_t"}, {"type": "container_t", "level": "s0"}),
    ("securityContext.seLinuxOptions", {"user": "root"}, {"user": ""}),
    ("securityContext.seLinuxOptions", {"role": "sysadm_r"}, {}),
    ("securityContext.windowsOptions", {"hostProcess": True}, {"hostProcess": False}),
]
# The same of a container.
OF_CONTAINERS: list[tuple[str, Any, Any]] = [
    ("securityContext.privileged", True, False),
    ("securityContext.allowPrivilegeEscalation", True, False),
    ("securityContext.allowPrivilegeEscalation", None, False),
    ("securityContext.capabilities.drop", ["NET_RAW"], ["ALL", "NET_RAW"]),
    ("securityContext.capabilities", None, {"drop": ["ALL"]}),
    ("securityContext.capabilities.add", ["CHOWN"], ["NET_BIND_SERVICE"]),
    ("securityContext.procMount", "Unmasked", "Default"),
    ("securityContext.runAsNonRoot", False, True),
    ("securityContext.runAsUser", 0, 1000),
    ("securityContext.seccompProfile", {"type": "Unconfined"}, {"type": "RuntimeDefault"}),
    ("securityContext.appArmorProfile", {"type": "Unconfined"}, {"type": "Localhost"}),
    ("securityContext.seLinuxOptions", {"type": "spc_t"}, {"type": "container_init_t"}),
    ("securityContext.windowsOptions", {"hostProcess": True}, {}),
    ("ports", [{"containerPort": 80, "hostPort": 80}], [{"containerPort": 80}]),
    ("livenessProbe.httpGet.host", "169.254.169.254", ""),
    ("readinessProbe.tcpSocket", {"host": "10.0.0.1", "port": 1}, {"port": 1}),
    ("lifecycle", {"preStop": {"httpGet": {"host": "a"}}}, {"preStop": {"sleep": {"seconds": 5}}}),
    ("lifecycle", {"postStart": {"tcpSocket": {"host": "a"}}}, {"postStart": {"exec": {"command": ["a"]}}}),
]


@pytest.mark.parametrize(("field", "bad", "good"), OF_PODS)
def test_a_pods_field_is_judged(field: str, bad: Any, good: Any) -> None:
    judges, given = Judges(), deployment(pod={**POD, "volumes": [{"name": "tmp", "emptyDir": {}}]})
    assert len(judges.judge(POLICY, given.having(f"{SPEC}.{field}", bad))) == 1
    assert judges.judge(POLICY, given.having(f"{SPEC}.{field}", good)) == []


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(("field", "bad", "good"), OF_CONTAINERS)
def test_a_containers_field_is_judged_of_each_kind(kind: str, field: str, bad: Any, good: Any) -> None:
    judges, given = Judges(), deployment(pod={**POD, "containers": [], kind: [CONTAINER]})
    (message,) = judges.judge(POLICY, given.having(f"{SPEC}.{kind}.0.{field}", bad))
    assert f"{SPEC}.{kind}[0].{field.split('.', maxsplit=1)[0]}" in message
    assert judges.judge(POLICY, given.having(f"{SPEC}.{kind}.0.{field}", good)) == []


@pytest.mark.parametrize(("key", "value"), [("runAsNonRoot", True), ("seccompProfile", {"type": "RuntimeDefault"})])
def test_what_the_pod_does_not_say_its_containers_have_to(key: str, value: Any) -> None:
    judges, silent = Judges(), deployment().having(f"{SPEC}.securityContext.{key}", None)
    (message,) = judges.judge(POLICY, silent)
    assert f"containers[0].securityContext.{key}" in message
    assert judges.judge(POLICY, silent.having(f"{SPEC}.containers.0.securityContext.{key}", value)) == []


def test_an_annotation_that_takes_apparmor_away_is_judged() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/server"
    annotated = deployment().having("spec.template.metadata", {"annotations": {key: "unconfined"}})
    (message,) = Judges().judge(POLICY, annotated)
    assert f'spec.template.metadata.annotations["{key}"]' in message
    allowed = deployment().having("spec.template.metadata", {"annotations": {key: "localhost/own", "a": "b"}})
    assert Judges().judge(POLICY, allowed) == []


def test_numbers_are_read_as_the_engine_hands_them_over() -> None:
    assert len(Judges().judge(POLICY, deployment().having(f"{SPEC}.securityContext.runAsUser", 0.0))) == 1
